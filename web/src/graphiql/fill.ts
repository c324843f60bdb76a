import { pick, useGraphiQL } from "@graphiql/react";
import type { ExecutionResult } from "graphql";
import { useEffect } from "react";

import { isExpired, tokenOf } from "./token";

const AUTHORIZATION = /("Authorization"\s*:\s*")([^"]*)(?=")/i;
const NO_CONVERSATION = /("conversationId"\s*:\s*")(?=")/;

/** What answers gave that the boxes of later operations ask for. */
export interface Answers {
  token?: string;
  conversationId?: string;
}

/** Whoever signs in gets a token, whoever creates a conversation its id. */
export function answersIn(result: ExecutionResult): Answers {
  const answers: Answers = {};
  for (const payload of Object.values(result.data ?? {}) as (Payload | null)[]) {
    if (payload?.accessToken) answers.token = payload.accessToken;
    if (payload?.conversation?.id) answers.conversationId = payload.conversation.id;
  }
  return answers;
}

interface Payload {
  accessToken?: string | null;
  conversation?: { id?: string } | null;
}

/** The token that a headers box holds. */
export function tokenIn(headers: string): string | undefined {
  return tokenOf(AUTHORIZATION.exec(headers)?.[2]);
}

/** Puts the newest answers where the open tab has nothing; what somebody typed stays. */
export function Fill({ token, conversationId }: Answers): null {
  const { headerEditor, variableEditor } = useGraphiQL(pick("headerEditor", "variableEditor"));
  const tab = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.id);

  useEffect(() => {
    const text = headerEditor?.getValue() ?? "";
    const present = tokenIn(text);
    if (token && (!present || isExpired(present))) {
      headerEditor?.setValue(text.replace(AUTHORIZATION, `$1Bearer ${token}`));
    }
  }, [tab, token, headerEditor]);

  useEffect(() => {
    const text = variableEditor?.getValue() ?? "";
    if (conversationId && NO_CONVERSATION.test(text)) {
      variableEditor?.setValue(text.replace(NO_CONVERSATION, `$1${conversationId}`));
    }
  }, [tab, conversationId, variableEditor]);

  return null;
}
