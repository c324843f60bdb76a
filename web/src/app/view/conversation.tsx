/** One open conversation: who it is with, what was said, and the box to say more. */
import { useState } from "react";

import type { Message } from "../api/types";
import { nameOf, onlineIn, partner, presenceOf } from "../state/select";
import { Avatar, PresenceDot, presenceWord } from "./avatar";
import { Composer } from "./composer";
import { useKnown, useMessenger } from "./context";
import { Icon } from "./icon";
import { Members } from "./members";
import { ago } from "./times";
import { Timeline } from "./timeline";

/** What the box is for, besides a new message. */
export type Intent = { kind: "reply" | "edit"; message: Message } | null;

export function Conversation({ id }: { id: string }) {
  const messenger = useMessenger();
  const conversation = useKnown(({ conversations }) => conversations[id])!;
  const [intent, setIntent] = useState<Intent>(null);
  const [showsMembers, setShowsMembers] = useState(false);
  const { loading } = conversation.timeline;
  return (
    <div className={showsMembers ? "conversation has-panel" : "conversation"}>
      <section className="thread" aria-label="Messages">
        <Head id={id} showsMembers={showsMembers} toggleMembers={() => setShowsMembers(!showsMembers)} />
        {loading === "failed" && (
          <div className="hint fill" role="alert">
            <p>The messages could not be read.</p>
            <button type="button" className="button" onClick={() => messenger.open(id)}>
              Try again
            </button>
          </div>
        )}
        {(loading === "none" || loading === "loading") && (
          <div className="hint fill" role="status">
            <span className="spinner" aria-hidden="true" />
            <p>Reading messages…</p>
          </div>
        )}
        {loading === "ready" && <Timeline conversation={conversation} setIntent={setIntent} />}
        <Typing id={id} />
        <Composer conversation={conversation} intent={intent} setIntent={setIntent} />
      </section>
      {showsMembers && <Members conversation={conversation} close={() => setShowsMembers(false)} />}
    </div>
  );
}

interface HeadProps {
  id: string;
  showsMembers: boolean;
  toggleMembers: () => void;
}

function Head({ id, showsMembers, toggleMembers }: HeadProps) {
  const messenger = useMessenger();
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const conversation = useKnown(({ conversations }) => conversations[id])!;
  const other = partner(conversation, viewerId);
  const presence = useKnown((state) => (other ? state.presence[other.id] : undefined));
  const status = useKnown((state) => (other ? presenceOf(state, other.id) : null));
  const online = useKnown((state) => onlineIn(conversation, state));
  const name = nameOf(conversation, viewerId);
  const detail = () => {
    const { memberCount } = conversation;
    if (!status) return `${memberCount} ${memberCount === 1 ? "member" : "members"}${online > 0 ? `, ${online} online` : ""}`;
    if (status === "OFFLINE" && presence?.lastSeenAt) return `last seen ${ago(presence.lastSeenAt)}`;
    return presenceWord(status);
  };
  return (
    <header className="bar thread-head">
      <button
        type="button"
        className="icon-button only-narrow"
        aria-label="Back to the list"
        onClick={() => messenger.open(null)}
      >
        <Icon name="back" />
      </button>
      <span className="row-face">
        <Avatar name={name} seed={other?.id ?? id} size="small" />
        {status && <PresenceDot status={status} />}
      </span>
      <span className="thread-title">
        <h2>{name}</h2>
        <small>
          {detail()}
          {conversation.archivedAt && " · archived"}
        </small>
      </span>
      <button
        type="button"
        className="icon-button"
        aria-label="Members"
        title="Members"
        aria-expanded={showsMembers}
        onClick={toggleMembers}
      >
        <Icon name="people" />
      </button>
    </header>
  );
}

function Typing({ id }: { id: string }) {
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const typing = useKnown((state) => state.typing);
  const names = (typing?.conversationId === id ? typing.users : [])
    .filter((user) => user.id !== viewerId)
    .map(({ displayName }) => displayName.split(" ")[0]!);
  const words = () => {
    if (names.length > 2) return "Several people are typing";
    return names.length > 0 ? `${names.join(" and ")} ${names.length === 1 ? "is" : "are"} typing` : "";
  };
  return (
    <p className="typing" aria-live="polite">
      {names.length > 0 && (
        <span className="typing-dots" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
      )}
      {words()}
    </p>
  );
}
