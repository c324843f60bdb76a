/** People of a running Parley, whose every act is tried until it is answered. */
import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";

export const URL = process.env["PARLEY_URL"]!;
export const PATIENCE_MS = 60_000;

export interface Person {
  id: string;
  token: string;
  refreshToken: string;
}

export async function register(): Promise<Person> {
  const handle = `n${crypto.randomUUID().replaceAll("-", "").slice(0, 20)}`;
  const { user, accessToken, refreshToken } = await mutate(
    `register(input: $input) { user { id } accessToken refreshToken userErrors { code } }`,
    "RegisterInput",
    { handle, password: "correct horse battery" },
  );
  return { id: user.id, token: accessToken, refreshToken };
}

export async function talk(owner: Person, other: Person): Promise<{ id: string; cursor: string }> {
  const clientConversationId = crypto.randomUUID();
  const input = { memberIds: [other.id], clientConversationId };
  const field = `createConversation(input: $input) { conversation { id cursor } userErrors { code } }`;
  return (await mutate(field, "CreateConversationInput", input, owner)).conversation;
}

export async function send(sender: Person, conversationId: string, clientMessageId: string): Promise<void> {
  const input = { conversationId, clientMessageId, body: clientMessageId };
  const field = `sendMessage(input: $input) { message { id } userErrors { code } }`;
  assert.ok((await mutate(field, "SendMessageInput", input, sender)).message);
}

/** Ask until there is an answer: all of these may be repeated. */
export async function mutate(field: string, type: string, input: object, caller?: Person): Promise<any> {
  const headers = {
    "Content-Type": "application/json",
    ...(caller && { Authorization: `Bearer ${caller.token}` }),
  };
  const body = JSON.stringify({ query: `mutation ($input: ${type}!) { ${field} }`, variables: { input } });
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const response = await fetch(`${URL}/graphql`, {
      method: "POST",
      headers,
      body,
      signal: AbortSignal.timeout(5_000),
    })
      .then((answer) => answer.json())
      .catch((error: unknown) => ({ errors: [{ message: String(error), extensions: { retryable: true } }] }));
    if (!response.errors) return Object.values(response.data)[0];
    assert.ok(response.errors[0].extensions.retryable && Date.now() < deadline, JSON.stringify(response.errors));
    await wait(50);
  }
}
