/** The box to write in: a new message, an answer to one, or another wording of one's own. */
import { useEffect, useRef, useState, type KeyboardEvent } from "react";

import { messageOf } from "../api/errors";
import type { Conversation } from "../state/state";
import { useKnown, useMessenger } from "./context";
import type { Intent } from "./conversation";
import { Icon } from "./icon";

const LONGEST = 10_000; // characters that the API takes

interface Props {
  conversation: Conversation;
  intent: Intent;
  setIntent: (intent: Intent) => void;
}

export function Composer({ conversation, intent, setIntent }: Props) {
  const messenger = useMessenger();
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const box = useRef<HTMLTextAreaElement>(null);
  const { id, canSend, archivedAt } = conversation;
  const [text, setText] = useState(conversation.draft);
  const [problem, setProblem] = useState("");
  const draft = useRef<string | null>(null); // what was written before an edit began; null while none is under way
  const unsent = useRef("");

  useEffect(() => {
    unsent.current = draft.current ?? text;
  });
  useEffect(() => () => messenger.keepDraft(id, unsent.current.trimEnd()), [messenger, id]);
  useEffect(() => {
    setProblem("");
    if (intent?.kind === "edit") {
      draft.current ??= box.current?.value ?? "";
      setText(intent.message.body ?? "");
    } else if (draft.current !== null) {
      setText(draft.current);
      draft.current = null;
    }
    if (intent) box.current?.focus();
  }, [intent]);
  useEffect(() => {
    // On a phone the keyboard would cover what was opened.
    if (matchMedia("(hover: hover)").matches) box.current?.focus();
  }, []);

  const write = (value: string) => {
    setText(value);
    messenger.typists.typed(id, value.trim() !== "");
  };
  const cancel = () => {
    setIntent(null);
    box.current?.focus();
  };
  const submit = async () => {
    const body = text.trim();
    if (!body) return;
    if (intent?.kind !== "edit") {
      messenger.outbox.send(id, body, intent?.message ?? null);
      messenger.typists.sent();
      setText("");
      setIntent(null);
      return;
    }
    try {
      if (body !== intent.message.body) await messenger.edit(intent.message, body);
      cancel();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  const press = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void submit();
    } else if (event.key === "Escape" && intent) {
      event.preventDefault();
      cancel();
    } else if (event.key === "ArrowUp" && text === "" && !intent) {
      const message = conversation.timeline.messages.findLast((one) => one.sender.id === viewerId && one.body !== null);
      if (!message) return;
      event.preventDefault();
      setIntent({ kind: "edit", message });
    }
  };

  if (archivedAt || !canSend.allowed) {
    const reason = archivedAt ? "This conversation is archived." : canSend.reason;
    return <p className="composer-closed">{reason ?? "You cannot write here."}</p>;
  }
  const isEdit = intent?.kind === "edit";
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {intent && (
        <div className="composer-intent">
          <Icon name={isEdit ? "edit" : "reply"} />
          <span>
            <strong>{isEdit ? "Edit message" : `Reply to ${intent.message.sender.displayName}`}</strong>
            <span className="composer-quoted">{intent.message.body}</span>
          </span>
          <button
            type="button"
            className="icon-button"
            aria-label={isEdit ? "Cancel edit" : "Cancel reply"}
            onClick={cancel}
          >
            <Icon name="close" />
          </button>
        </div>
      )}
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <div className="composer-line">
        <textarea
          ref={box}
          rows={1}
          maxLength={LONGEST}
          aria-label={isEdit ? "New wording" : "Message"}
          placeholder="Write a message"
          value={text}
          onChange={(event) => write(event.target.value)}
          onKeyDown={press}
          onBlur={() => messenger.typists.typed(id, false)}
        />
        <button
          type="submit"
          className="button primary round"
          aria-label={isEdit ? "Save" : "Send"}
          disabled={!text.trim()}
        >
          <Icon name="send" />
        </button>
      </div>
    </form>
  );
}
