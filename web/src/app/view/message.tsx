/** One message, and what can be done with it. */
import { useState, type KeyboardEvent } from "react";

import type { Attachment, Message, Quotation, Reaction } from "../api/types";
import type { Conversation, Outgoing } from "../state/state";
import { Avatar, hueOf } from "./avatar";
import { useKnown, useMessenger } from "./context";
import type { Intent } from "./conversation";
import { Icon, type IconName } from "./icon";
import { size } from "./sizes";
import { Ticks } from "./ticks";
import { clock, full } from "./times";
import { Words } from "./words";

const EMOJI = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];
const EMOJI_NAMES = ["Thumbs up", "Heart", "Laughing", "Party", "Surprised", "Thanks"];

interface Props {
  message: Message;
  conversation: Conversation;
  /** Whether it belongs to the one above: then it needs no name. */
  isFollowing: boolean;
  /** Whether the Tab key leads here. */
  isCurrent: boolean;
  choose: (id: string) => void;
  /** Leads to the message that this one answers. */
  show: (id: string) => void;
  setIntent: (intent: Intent) => void;
}

export function MessageItem({ message, conversation, isFollowing, isCurrent, choose, show, setIntent }: Props) {
  const messenger = useMessenger();
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const isOwn = message.sender.id === viewerId;
  const isNamed = !isOwn && !isFollowing && conversation.kind !== "DIRECT";
  const canWrite = conversation.canSend.allowed && !conversation.archivedAt;
  const classes = ["message", isOwn && "own", isFollowing && "following", message.deletedAt && "deleted"];
  return (
    <article
      className={classes.filter(Boolean).join(" ")}
      tabIndex={isCurrent ? 0 : -1}
      data-id={message.id}
      aria-label={`${isOwn ? "You" : message.sender.displayName}, ${clock(message.createdAt)}: ${message.body ?? "deleted"}`}
      onFocus={() => choose(message.id)}
    >
      {!isOwn && (
        <span className="message-face">
          {!isFollowing && <Avatar name={message.sender.displayName} seed={message.sender.id} size="small" />}
        </span>
      )}
      <div className="message-column">
        <div className="bubble">
          {isNamed && (
            <strong className={`message-sender ink-${hueOf(message.sender.id)}`}>{message.sender.displayName}</strong>
          )}
          {message.replyTo && <Quote quotation={message.replyTo} isCurrent={isCurrent} show={show} />}
          <span className="message-body">
            {message.body === null ? <em>Message deleted</em> : <Words text={message.body} isCurrent={isCurrent} />}
          </span>
          {message.attachments.length > 0 && <Attachments attachments={message.attachments} isCurrent={isCurrent} />}
          <span className="message-meta">
            {message.pinnedAt && <span>pinned</span>}
            {message.editedAt && !message.deletedAt && <span>edited</span>}
            <time dateTime={message.createdAt} title={full(message.createdAt)}>
              {clock(message.createdAt)}
            </time>
            {isOwn && !message.deletedAt && <Ticks message={message} conversation={conversation} />}
          </span>
        </div>
        {message.reactions.length > 0 && (
          <Reactions message={message} reactions={message.reactions} viewerId={viewerId} isCurrent={isCurrent} />
        )}
      </div>
      {!message.deletedAt && (
        <Actions
          canEdit={isOwn && canWrite}
          canDelete={isOwn || (conversation.kind !== "DIRECT" && conversation.role !== "MEMBER")}
          canReply={canWrite}
          isCurrent={isCurrent}
          react={(emoji) => {
            const mine = message.reactions.find((one) => one.emoji === emoji)?.users.some(({ id }) => id === viewerId);
            void messenger.react(message, emoji, !mine);
          }}
          reply={() => setIntent({ kind: "reply", message })}
          edit={() => setIntent({ kind: "edit", message })}
          remove={() => void messenger.delete(message)}
        />
      )}
    </article>
  );
}

function Attachments({ attachments, isCurrent }: { attachments: Attachment[]; isCurrent: boolean }) {
  return (
    <ul className="attachments" aria-label="Attachments">
      {attachments.map(({ name, url, sizeBytes }, index) => (
        <li key={index}>
          <a href={url} target="_blank" rel="noopener noreferrer" tabIndex={isCurrent ? 0 : -1}>
            <Icon name="file" />
            <span className="attachment-name">{name}</span>
            <small>{size(sizeBytes)}</small>
          </a>
        </li>
      ))}
    </ul>
  );
}

interface QuoteProps {
  quotation: Quotation;
  isCurrent: boolean;
  /** None while the answer is on its way. */
  show?: (id: string) => void;
}

function Quote({ quotation: { id, body, sender }, isCurrent, show }: QuoteProps) {
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  return (
    <blockquote className="quote">
      <button
        type="button"
        tabIndex={isCurrent ? 0 : -1}
        disabled={!show}
        title="Show the message"
        onClick={() => show?.(id)}
      >
        <strong>{sender.id === viewerId ? "You" : sender.displayName}</strong>
        <span>{body ?? <em>Message deleted</em>}</span>
      </button>
    </blockquote>
  );
}

interface ReactionsProps {
  message: Message;
  reactions: Reaction[];
  viewerId: string;
  isCurrent: boolean;
}

function Reactions({ message, reactions, viewerId, isCurrent }: ReactionsProps) {
  const messenger = useMessenger();
  return (
    <ul className="reactions" aria-label="Reactions">
      {reactions.map(({ emoji, count, users }) => {
        const isMine = users.some(({ id }) => id === viewerId);
        const names = users.map(({ id, displayName }) => (id === viewerId ? "you" : displayName)).join(", ");
        return (
          <li key={emoji}>
            <button
              type="button"
              className="reaction"
              aria-pressed={isMine}
              aria-label={`${emoji} ${count}, by ${names}`}
              title={names}
              tabIndex={isCurrent ? 0 : -1}
              onClick={() => void messenger.react(message, emoji, !isMine)}
            >
              <span className="glyph">{emoji}</span> <span className="count">{count}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

interface ActionsProps {
  canEdit: boolean;
  canDelete: boolean;
  canReply: boolean;
  isCurrent: boolean;
  react: (emoji: string) => void;
  reply: () => void;
  edit: () => void;
  remove: () => void;
}

function Actions({ canEdit, canDelete, canReply, isCurrent, react, reply, edit, remove }: ActionsProps) {
  const [asks, setAsks] = useState<"none" | "emoji" | "remove">("none");
  const tabIndex = isCurrent ? 0 : -1;
  const escape = (event: KeyboardEvent<HTMLElement>) => {
    if (event.key !== "Escape" || asks === "none") return;
    event.stopPropagation();
    setAsks("none");
    event.currentTarget.closest<HTMLElement>("article")?.focus();
  };
  const toggle = (what: "emoji" | "remove") => setAsks(asks === what ? "none" : what);
  return (
    <div
      className={asks === "none" ? "actions" : "actions is-asking"}
      role="group"
      aria-label="Actions"
      onKeyDown={escape}
    >
      {asks === "emoji" && (
        <div className="emoji" role="group" aria-label="React with">
          {EMOJI.map((emoji, index) => (
            <button
              key={emoji}
              type="button"
              aria-label={EMOJI_NAMES[index]}
              autoFocus={index === 0}
              onClick={() => {
                react(emoji);
                setAsks("none");
              }}
            >
              <span className="glyph">{emoji}</span>
            </button>
          ))}
        </div>
      )}
      {asks === "remove" && (
        <div className="emoji" role="group" aria-label="Delete this message?">
          <button type="button" className="button danger" autoFocus onClick={remove}>
            Delete for everyone
          </button>
        </div>
      )}
      <Action icon="smile" name="React" tabIndex={tabIndex} isExpanded={asks === "emoji"} act={() => toggle("emoji")} />
      {canReply && <Action icon="reply" name="Reply" tabIndex={tabIndex} act={reply} />}
      {canEdit && <Action icon="edit" name="Edit" tabIndex={tabIndex} act={edit} />}
      {canDelete && (
        <Action
          icon="trash"
          name="Delete"
          tabIndex={tabIndex}
          isExpanded={asks === "remove"}
          act={() => toggle("remove")}
        />
      )}
    </div>
  );
}

interface ActionProps {
  icon: IconName;
  name: string;
  tabIndex: number;
  isExpanded?: boolean;
  act: () => void;
}

function Action({ icon, name, tabIndex, isExpanded, act }: ActionProps) {
  return (
    <button
      type="button"
      className="icon-button"
      tabIndex={tabIndex}
      aria-label={name}
      title={name}
      aria-expanded={isExpanded}
      onClick={act}
    >
      <Icon name={icon} />
    </button>
  );
}

/** A message that the API has not acknowledged yet. */
export function OutgoingItem({ outgoing, conversationId }: { outgoing: Outgoing; conversationId: string }) {
  const { outbox } = useMessenger();
  return (
    <article
      className={outgoing.problem ? "message own failed" : "message own sending"}
      aria-label={`You: ${outgoing.body}`}
    >
      <div className="message-column">
        <div className="bubble">
          {outgoing.replyTo && (
            <Quote quotation={outgoing.replyTo} isCurrent={false} />
          )}
          <span className="message-body">
            <Words text={outgoing.body} isCurrent={false} />
          </span>
          <span className="message-meta">
            <time dateTime={outgoing.createdAt}>{clock(outgoing.createdAt)}</time>
            {!outgoing.problem && <span className="clock" role="img" aria-label="Sending" />}
          </span>
        </div>
        {outgoing.problem && (
          <p className="message-problem" role="alert">
            {outgoing.problem}
            <button type="button" className="link" onClick={() => outbox.retry(conversationId, outgoing)}>
              Retry
            </button>
            <button type="button" className="link" onClick={() => outbox.drop(conversationId, outgoing)}>
              Discard
            </button>
          </p>
        )}
      </div>
    </article>
  );
}
