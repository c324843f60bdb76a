/** The list of conversations, and what concerns the viewer. */
import { useMemo, useState } from "react";

import { activity, inbox, isMuted, nameOf, partner, presenceOf } from "../state/select";
import type { Conversation } from "../state/state";
import { Avatar, PresenceDot } from "./avatar";
import { useKnown, useMessenger } from "./context";
import { Icon, Logo } from "./icon";
import { NewConversation } from "./new-conversation";
import { ThemeSwitch } from "./theme";
import { Ticks } from "./ticks";
import { brief, full } from "./times";

export function List() {
  const messenger = useMessenger();
  const viewer = useKnown((state) => state.viewer)!;
  const loading = useKnown(({ list }) => list);
  const state = useKnown((known) => known.conversations);
  const [filter, setFilter] = useState("");
  const [isWriting, setWriting] = useState(false);
  const conversations = useMemo(() => inbox({ ...messenger.store.state(), conversations: state }), [messenger, state]);
  const wanted = filter.trim().toLocaleLowerCase();
  const shown = conversations.filter((one) => nameOf(one, viewer.id).toLocaleLowerCase().includes(wanted));

  return (
    <nav className="list" aria-label="Conversations">
      <header className="bar">
        <Logo />
        <h2 className="bar-title">Chats</h2>
        <button
          type="button"
          className="icon-button"
          aria-label="New conversation"
          title="New conversation"
          onClick={() => setWriting(true)}
        >
          <Icon name="write" />
        </button>
      </header>
      <div className="list-search">
        <Icon name="search" />
        <input
          type="search"
          aria-label="Filter conversations"
          placeholder="Search"
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      </div>
      <div className="list-body">
        {loading === "loading" && conversations.length === 0 && <Skeleton />}
        {loading === "failed" && (
          <div className="hint" role="alert">
            <p>The conversations could not be read.</p>
            <button type="button" className="button" onClick={() => void messenger.reload()}>
              Try again
            </button>
          </div>
        )}
        {loading === "ready" && shown.length === 0 && (
          <div className="hint">
            <p>{wanted ? "No conversation has such a name." : "No conversations yet."}</p>
            {!wanted && (
              <button type="button" className="button primary" onClick={() => setWriting(true)}>
                Start one
              </button>
            )}
          </div>
        )}
        {shown.length > 0 && (
          <ul className="rows">
            {shown.map((conversation) => (
              <Row key={conversation.id} conversation={conversation} />
            ))}
          </ul>
        )}
      </div>
      <footer className="me">
        <Avatar name={viewer.displayName} seed={viewer.id} size="small" />
        <span className="me-name">
          <strong>{viewer.displayName}</strong>
          <small>@{viewer.handle}</small>
        </span>
        <ThemeSwitch />
        <button
          type="button"
          className="icon-button"
          aria-label="Sign out"
          title="Sign out"
          onClick={() => void messenger.signOut()}
        >
          <Icon name="signOut" />
        </button>
      </footer>
      {isWriting && <NewConversation close={() => setWriting(false)} />}
    </nav>
  );
}

function Row({ conversation }: { conversation: Conversation }) {
  const messenger = useMessenger();
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const isOpen = useKnown(({ openId }) => openId === conversation.id);
  const other = partner(conversation, viewerId);
  const status = useKnown((state) => (other ? presenceOf(state, other.id) : null));
  const name = nameOf(conversation, viewerId);
  const { unread } = conversation;
  const muted = isMuted(conversation, Date.now());
  return (
    <li>
      <button
        type="button"
        className={unread > 0 ? "row is-unread" : "row"}
        aria-current={isOpen ? "true" : undefined}
        onClick={() => messenger.open(conversation.id)}
      >
        <span className="row-face">
          <Avatar name={name} seed={other?.id ?? conversation.id} />
          {status && <PresenceDot status={status} />}
        </span>
        <span className="row-line">
          <span className="row-name">{name}</span>
          <time className="row-time" dateTime={activity(conversation)} title={full(activity(conversation))}>
            {brief(activity(conversation))}
          </time>
        </span>
        <span className="row-line">
          <span className="row-last">
            {conversation.draft && !isOpen ? (
              <>
                <span className="row-draft">Draft:</span> {conversation.draft}
              </>
            ) : (
              <Last conversation={conversation} viewerId={viewerId} />
            )}
          </span>
          <span className="row-marks">
            {muted && (
              <span className="row-muted" title="Muted">
                <Icon name="bellOff" />
                <span className="only-heard">muted</span>
              </span>
            )}
            {unread > 0 && (
              <span className={muted ? "badge quiet" : "badge"}>
                {unread > 99 ? "99+" : unread}
                <span className="only-heard"> unread</span>
              </span>
            )}
          </span>
        </span>
      </button>
    </li>
  );
}

/** The newest message in one line. */
function Last({ conversation, viewerId }: { conversation: Conversation; viewerId: string }) {
  const waiting = conversation.outbox.at(-1);
  if (waiting)
    return (
      <>
        {waiting.problem ? "Not sent: " : "Sending: "}
        {waiting.body}
      </>
    );
  const message = conversation.lastMessage;
  if (!message) return <em>No messages yet</em>;
  const isOwn = message.sender.id === viewerId;
  const isNamed = !isOwn && conversation.kind !== "DIRECT";
  return (
    <>
      {isOwn && !message.deletedAt && <Ticks message={message} conversation={conversation} />}
      {isNamed && <span className="row-who">{message.sender.displayName.split(" ")[0]}: </span>}
      {message.body ?? <em>Message deleted</em>}
    </>
  );
}

function Skeleton() {
  return (
    <div role="status">
      <span className="only-heard">Reading conversations…</span>
      {[0, 1, 2, 3, 4].map((index) => (
        <div key={index} className="row skeleton" aria-hidden="true">
          <span className="avatar medium" />
          <span className="bone" />
          <span className="bone short" />
        </div>
      ))}
    </div>
  );
}
