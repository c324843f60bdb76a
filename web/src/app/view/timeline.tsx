/** The messages of a conversation: older ones are read when somebody scrolls up, and nothing jumps meanwhile. */
import { useCallback, useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";

import type { Message } from "../api/types";
import type { Conversation } from "../state/state";
import { useKnown, useMessenger } from "./context";
import type { Intent } from "./conversation";
import { Icon } from "./icon";
import { MessageItem, OutgoingItem } from "./message";
import { day, isSameDay } from "./times";

const END_PIXELS = 40; // so close to the end counts as there
const AHEAD = "600px 0px 0px 0px"; // how far before the top older messages are asked for
const FLASH_MS = 1_600; // for which one that was looked for stands out
const GROUP_MS = 5 * 60_000; // messages of one person within this stand together

interface Props {
  conversation: Conversation;
  setIntent: (intent: Intent) => void;
}

export function Timeline({ conversation, setIntent }: Props) {
  const messenger = useMessenger();
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const { id, timeline, outbox, newAfter } = conversation;
  const { messages, hasOlder, older } = timeline;
  const { box, list, look, toEnd, isAtEnd } = useScrolling(conversation);
  const top = useRef<HTMLDivElement>(null);
  const [chosen, setChosen] = useState<string | null>(null); // the message that the keyboard is at
  const current = messages.some((message) => message.id === chosen) ? chosen : messages.at(-1)?.id;
  const oldest = messages[0]?.id;
  const firstNew =
    newAfter === null
      ? undefined
      : messages.find(({ sequence, sender }) => sequence > newAfter && sender.id !== viewerId)?.id;

  useEffect(() => {
    if (!hasOlder || older === "failed") return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) void messenger.readOlder(id);
      },
      { root: box.current, rootMargin: AHEAD },
    );
    observer.observe(top.current!);
    return () => observer.disconnect();
  }, [messenger, id, hasOlder, older, oldest, box]);

  const move = (event: KeyboardEvent<HTMLElement>) => {
    const items = [...list.current!.querySelectorAll<HTMLElement>("article")];
    const at = items.indexOf(event.target as HTMLElement);
    if (at < 0) return;
    const next = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: items.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    items[Math.max(0, Math.min(items.length - 1, next))]!.focus();
  };

  /** Leads to a message, also where it has to be read first. */
  const show = async (messageId: string) => {
    if (!(await messenger.reach(id, messageId))) return;
    requestAnimationFrame(() => {
      const found = list.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(messageId)}"]`);
      if (!found) return;
      found.scrollIntoView({ block: "center" });
      look(); // the scroll event comes too late: what has just grown would lead back to the end
      found.focus({ preventScroll: true });
      found.animate({ background: ["var(--chosen)", "transparent"] }, { duration: FLASH_MS, easing: "ease-in" });
    });
  };

  return (
    <div className="timeline-place">
      <div className="timeline" ref={box}>
        <div ref={top} className="timeline-top">
          {older === "loading" && <span className="spinner" role="status" aria-label="Reading older messages" />}
          {older === "failed" && (
            <button type="button" className="button" onClick={() => void messenger.readOlder(id)}>
              Read older messages
            </button>
          )}
          {!hasOlder && messages.length > 0 && <p className="timeline-start">This is where the conversation begins.</p>}
        </div>
        {messages.length === 0 && outbox.length === 0 && (
          <div className="hint">
            <p>No messages yet. Say hello!</p>
          </div>
        )}
        <ol ref={list} className="messages" onKeyDown={move} aria-label="Messages, oldest first">
          {messages.map((message, index) => {
            const before = messages[index - 1];
            const isFirstOfDay = !before || !isSameDay(before.createdAt, message.createdAt);
            const isFirstNew = message.id === firstNew;
            return (
              <li key={keyOf(message)} data-sequence={message.sequence}>
                {isFirstOfDay && (
                  <p className="day">
                    <span>{day(message.createdAt)}</span>
                  </p>
                )}
                {isFirstNew && (
                  <p className="day new">
                    <span>New messages</span>
                  </p>
                )}
                <MessageItem
                  message={message}
                  conversation={conversation}
                  isFollowing={!isFirstOfDay && !isFirstNew && isTogether(before, message)}
                  isCurrent={message.id === current}
                  choose={setChosen}
                  show={(messageId) => void show(messageId)}
                  setIntent={setIntent}
                />
              </li>
            );
          })}
          {outbox.map((outgoing) => (
            <li key={`${viewerId} ${outgoing.clientMessageId}`}>
              <OutgoingItem outgoing={outgoing} conversationId={id} />
            </li>
          ))}
        </ol>
      </div>
      {!isAtEnd && (
        <button type="button" className="to-end" onClick={toEnd}>
          <Icon name="down" />
          {conversation.unread > 0 ? `${conversation.unread} new` : "Newest"}
        </button>
      )}
    </div>
  );
}

/** The same before it was stored and after. */
function keyOf({ id, sender, clientMessageId }: Message): string {
  return clientMessageId ? `${sender.id} ${clientMessageId}` : id;
}

function isTogether(before: Message, message: Message): boolean {
  if (before.sender.id !== message.sender.id || message.replyTo) return false;
  return Date.parse(message.createdAt) - Date.parse(before.createdAt) < GROUP_MS;
}

/** Keeps what somebody reads in its place, follows the end where they are at the end, and tells what has been seen. */
function useScrolling({ id, timeline: { messages }, outbox }: Conversation) {
  const { marks } = useMessenger();
  const box = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLOListElement>(null);
  const last = useRef({ height: 0, oldest: messages[0]?.id, outgoing: outbox.length, isAtEnd: true });
  const [isAtEnd, setAtEnd] = useState(true);

  const look = useCallback(() => {
    const { scrollTop, clientHeight, scrollHeight } = box.current!;
    last.current.isAtEnd = scrollHeight - clientHeight - scrollTop < END_PIXELS;
    setAtEnd(last.current.isAtEnd);
    if (document.hidden) return;
    const end = box.current!.getBoundingClientRect().bottom + END_PIXELS;
    const items = [...list.current!.querySelectorAll<HTMLElement>("li[data-sequence]")];
    const seen = items.findLast((item) => item.getBoundingClientRect().bottom <= end);
    if (seen) marks.saw(id, Number(seen.dataset["sequence"]));
  }, [id, marks]);

  const toEnd = useCallback(() => {
    box.current!.scrollTop = box.current!.scrollHeight;
  }, []);

  useLayoutEffect(() => {
    const { scrollHeight } = box.current!;
    const before = last.current;
    const oldest = messages[0]?.id;
    const hasSent = outbox.length > before.outgoing;
    if (oldest !== before.oldest && !before.isAtEnd) box.current!.scrollTop += scrollHeight - before.height;
    else if (before.isAtEnd || hasSent) toEnd();
    last.current = { ...before, height: scrollHeight, oldest, outgoing: outbox.length };
    look();
  }, [messages, outbox, look, toEnd]);

  useEffect(() => {
    const element = box.current!;
    const resized = new ResizeObserver(() => {
      if (last.current.isAtEnd) toEnd();
      last.current.height = element.scrollHeight;
    });
    resized.observe(element);
    resized.observe(list.current!);
    element.addEventListener("scroll", look, { passive: true });
    document.addEventListener("visibilitychange", look);
    return () => {
      resized.disconnect();
      element.removeEventListener("scroll", look);
      document.removeEventListener("visibilitychange", look);
    };
  }, [look, toEnd]);

  return { box, list, look, toEnd, isAtEnd };
}
