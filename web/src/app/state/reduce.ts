/** How what this client knows changes: a pure function of what it knew and what happened. */
import type { Id, Message, Opened, Page, Presence, Summary, Typing, Update, User } from "../api/types";
import { messageIn } from "./select";
import {
  EMPTY_TIMELINE,
  NOTHING,
  type Connection,
  type Conversation,
  type Loading,
  type Outgoing,
  type State,
  type Timeline,
} from "./state";
import { applied, changedMessages, inOrder, withoutSent } from "./updates";

export type Event =
  | { type: "signedIn"; viewer: User }
  | { type: "signedOut"; notice?: string }
  | { type: "connection"; connection: Connection }
  | { type: "list"; list: Loading }
  | { type: "summary"; summary: Summary }
  | { type: "left"; id: Id }
  | { type: "opened"; id: Id | null }
  | { type: "reading"; id: Id }
  | { type: "read"; conversation: Opened }
  | { type: "readFailed"; id: Id }
  | { type: "readingOlder"; id: Id }
  | { type: "readOlder"; id: Id; page: Page<Message> }
  | { type: "readOlderFailed"; id: Id }
  | { type: "update"; update: Update }
  | { type: "outgoing"; id: Id; outgoing: Outgoing }
  | { type: "dropped"; id: Id; clientMessageId: string }
  | { type: "message"; message: Message; before: Message | undefined }
  | { type: "marked"; id: Id; deliveredSequence: number; readSequence: number; unread: number | null }
  | { type: "muted"; id: Id; until: string | null }
  | { type: "draft"; id: Id; draft: string }
  | { type: "presence"; presence: Presence }
  | { type: "typing"; typing: Typing | null }
  | { type: "notice"; notice: string | null };

export function reduce(state: State, event: Event): State {
  switch (event.type) {
    case "signedIn":
      return { ...NOTHING, viewer: event.viewer };
    case "signedOut":
      return { ...NOTHING, notice: event.notice ?? null };
    case "connection":
      // Who types is told anew by the next connection.
      return { ...state, connection: event.connection, typing: event.connection === "online" ? state.typing : null };
    case "list":
      return { ...state, list: event.list };
    case "summary":
      return put(state, summarised(state.conversations[event.summary.id], event.summary));
    case "left": {
      const { [event.id]: _, ...conversations } = state.conversations;
      return { ...state, conversations, openId: state.openId === event.id ? null : state.openId };
    }
    case "opened":
      return opened(state, event.id);
    case "reading":
      return withTimeline(state, event.id, (timeline) => ({
        ...timeline,
        loading: timeline.loading === "ready" ? "ready" : "loading",
        meanwhile: [],
      }));
    case "read":
      return read(state, event.conversation);
    case "readFailed":
      return withTimeline(state, event.id, (timeline) => ({
        ...timeline,
        loading: timeline.loading === "ready" ? "ready" : "failed",
        meanwhile: null,
      }));
    case "readingOlder":
      return withTimeline(state, event.id, (timeline) => ({ ...timeline, older: "loading", meanwhile: [] }));
    case "readOlder":
      return withTimeline(state, event.id, (timeline) => withOlder(timeline, event.page));
    case "readOlderFailed":
      return withTimeline(state, event.id, (timeline) => ({ ...timeline, older: "failed", meanwhile: null }));
    case "update":
      return updated(state, event.update);
    case "outgoing":
      return change(state, event.id, (conversation) => ({
        ...conversation,
        outbox: withOutgoing(conversation.outbox, event.outgoing),
      }));
    case "dropped":
      return change(state, event.id, (conversation) => ({
        ...conversation,
        outbox: conversation.outbox.filter(({ clientMessageId }) => clientMessageId !== event.clientMessageId),
      }));
    case "message":
      return answered(state, event.message, event.before);
    case "marked":
      return change(state, event.id, (conversation) => ({
        ...conversation,
        deliveredSequence: Math.max(conversation.deliveredSequence, event.deliveredSequence),
        readSequence: Math.max(conversation.readSequence, event.readSequence),
        unread: isBehind(event, conversation) ? conversation.unread : (event.unread ?? conversation.unread),
      }));
    case "muted":
      return change(state, event.id, (conversation) => ({ ...conversation, mutedUntil: event.until }));
    case "draft":
      return change(state, event.id, (conversation) => ({ ...conversation, draft: event.draft }));
    case "presence":
      return { ...state, presence: { ...state.presence, [event.presence.userId]: event.presence } };
    case "typing":
      return { ...state, typing: event.typing };
    case "notice":
      return { ...state, notice: event.notice };
  }
}

type Read = Pick<Conversation, "readSequence">;

/** Whether an answer is from before another device read on, and counts as unread what has been read since. */
export function isBehind(answer: Read | null, { readSequence }: Read): boolean {
  return (answer?.readSequence ?? 0) < readSequence;
}

function put(state: State, conversation: Conversation): State {
  return { ...state, conversations: { ...state.conversations, [conversation.id]: conversation } };
}

function change(state: State, id: Id, how: (conversation: Conversation) => Conversation): State {
  const conversation = state.conversations[id];
  return conversation ? put(state, how(conversation)) : state;
}

function withTimeline(state: State, id: Id, how: (timeline: Timeline) => Timeline): State {
  return change(state, id, (conversation) => ({ ...conversation, timeline: how(conversation.timeline) }));
}

function summarised(before: Conversation | undefined, summary: Summary): Conversation {
  const { viewerMembership: own, viewerUnreadCount, viewerCanSend, members, lastSequence, ...rest } = summary;
  const last = before?.lastMessage;
  const isNewer = (summary.lastMessage?.sequence ?? 0) >= (last?.sequence ?? 0);
  const isCounted = !before || (isNewer && !isBehind(own, before));
  return {
    newAfter: null,
    timeline: EMPTY_TIMELINE,
    outbox: [],
    draft: "",
    ...before,
    ...rest,
    countedAt: lastSequence,
    lastMessage: isNewer ? summary.lastMessage : last!,
    // Of a conversation that has been opened all members are here, and updates keep them.
    members: before && before.members.length > members.nodes.length ? before.members : members.nodes,
    role: own?.role ?? null,
    mutedUntil: own?.mutedUntil ?? null,
    canSend: viewerCanSend,
    unread: isCounted ? viewerUnreadCount : before.unread,
    deliveredSequence: Math.max(own?.deliveredSequence ?? 0, before?.deliveredSequence ?? 0),
    readSequence: Math.max(own?.readSequence ?? 0, before?.readSequence ?? 0),
  };
}

function opened(state: State, id: Id | null): State {
  const next = { ...state, openId: id, typing: null };
  if (id === null || id === state.openId) return next;
  return change(next, id, (conversation) => ({
    ...conversation,
    newAfter: conversation.unread > 0 ? conversation.readSequence : null,
  }));
}

/** The newest page takes the place of what was here: after a gap nothing before it is certain. */
function read(state: State, { messages: { nodes, pageInfo }, ...summary }: Opened): State {
  const conversation = summarised(state.conversations[summary.id], summary);
  const messages = (conversation.timeline.meanwhile ?? []).reduce(changedMessages, nodes);
  const own = new Set(messages.map(({ clientMessageId }) => clientMessageId));
  return put(state, {
    ...conversation,
    members: summary.members.nodes,
    outbox: conversation.outbox.filter(({ clientMessageId }) => !own.has(clientMessageId)),
    timeline: {
      ...EMPTY_TIMELINE,
      loading: "ready",
      messages,
      hasOlder: pageInfo.hasPreviousPage,
      before: pageInfo.startCursor,
    },
  });
}

function withOlder(timeline: Timeline, { nodes, pageInfo }: Page<Message>): Timeline {
  const older = (timeline.meanwhile ?? []).filter(({ __typename }) => __typename !== "MessageSent");
  return {
    ...timeline,
    messages: inOrder([...older.reduce(changedMessages, nodes), ...timeline.messages]),
    hasOlder: pageInfo.hasPreviousPage,
    before: pageInfo.startCursor,
    older: "ready",
    meanwhile: null,
  };
}

function updated(state: State, update: Update): State {
  const viewerId = state.viewer?.id ?? "";
  const before = state.conversations[update.conversationId];
  const next = change(state, update.conversationId, (conversation) => applied(conversation, update, viewerId));
  if (update.__typename !== "MessageSent" || !before || update.message.sender.id === viewerId) return next;
  if (update.message.sequence <= (before.lastMessage?.sequence ?? 0)) return next;
  return { ...next, heard: `${update.message.sender.displayName}: ${update.message.body ?? ""}` };
}

function withOutgoing(outbox: Outgoing[], outgoing: Outgoing): Outgoing[] {
  const isKnown = outbox.some(({ clientMessageId }) => clientMessageId === outgoing.clientMessageId);
  return isKnown
    ? outbox.map((one) => (one.clientMessageId === outgoing.clientMessageId ? outgoing : one))
    : [...outbox, outgoing];
}

/**
 * A message as a mutation has answered with it, which may come before the update that tells of it. Where it is no more
 * as it was when the mutation was sent, updates have said something newer, and will say what this does.
 */
function answered(state: State, message: Message, before: Message | undefined): State {
  const isOld = messageIn(state, message) !== before;
  return change(state, message.conversationId, (conversation) => {
    const { timeline, lastMessage } = conversation;
    if (isOld) return { ...conversation, outbox: withoutSent(conversation, message) };
    const isLast = message.sequence >= (lastMessage?.sequence ?? 0);
    // A message that is not the newest here may lie before what has been read, where it would leave a hole.
    const isInside = message.sequence >= (timeline.messages[0]?.sequence ?? 0);
    return {
      ...conversation,
      lastMessage: isLast ? message : lastMessage,
      outbox: withoutSent(conversation, message),
      timeline:
        timeline.loading === "ready" && isInside
          ? { ...timeline, messages: inOrder([...timeline.messages, message]) }
          : timeline,
    };
  });
}
