/** What an update does to a conversation. Each may be applied again, and to a page that was read after it. */
import type { Id, Member, Message, Reaction, Update, User } from "../api/types";
import type { Conversation, Timeline } from "./state";

const MOST_UNREAD = 1000; // the API counts exactly up to here

/** Return the conversation after an update. */
export function applied(conversation: Conversation, update: Update, viewerId: Id): Conversation {
  const changed = changedOutside(conversation, update, viewerId);
  const timeline = changedTimeline(changed.timeline, update);
  return timeline === changed.timeline ? changed : { ...changed, timeline };
}

function changedOutside(before: Conversation, update: Update, viewerId: Id): Conversation {
  const conversation = "cursor" in update ? { ...before, cursor: update.cursor } : before;
  switch (update.__typename) {
    case "MessageSent": {
      const { message } = update;
      const isNew = message.sequence > (conversation.lastMessage?.sequence ?? 0);
      const isOwn = message.sender.id === viewerId;
      const isUnread = isNew && !isOwn && message.sequence > conversation.readSequence;
      return {
        ...conversation,
        lastMessage: isNew ? message : conversation.lastMessage,
        unread: Math.min(MOST_UNREAD, conversation.unread + (isUnread ? 1 : 0)),
        outbox: isOwn ? withoutSent(conversation, message) : conversation.outbox,
      };
    }
    case "MessageEdited":
    case "MessageDeleted": {
      const { lastMessage } = conversation;
      if (!lastMessage) return conversation;
      const [last] = changedMessages([lastMessage], update);
      return last === lastMessage ? conversation : { ...conversation, lastMessage: last! };
    }
    case "MemberAdded": {
      return {
        ...conversation,
        members: [...withoutMember(conversation, update.member.user.id), update.member],
        memberCount: conversation.memberCount + (update.sequence > conversation.countedAt ? 1 : 0),
        role: update.member.user.id === viewerId ? update.member.role : conversation.role,
      };
    }
    case "MemberRoleChanged":
      return {
        ...conversation,
        members: conversation.members.map((member) =>
          member.user.id === update.member.user.id ? { ...member, role: update.member.role } : member,
        ),
        role: update.member.user.id === viewerId ? update.member.role : conversation.role,
      };
    case "MemberRemoved":
      return {
        ...conversation,
        members: withoutMember(conversation, update.userId),
        memberCount: conversation.memberCount - (update.sequence > conversation.countedAt ? 1 : 0),
        role: update.userId === viewerId ? null : conversation.role,
      };
    case "ConversationChanged":
      return { ...conversation, ...update.conversation };
    case "ReceiptMoved": {
      const { userId, deliveredSequence, readSequence } = update;
      const isOwn = userId === viewerId;
      return {
        ...conversation,
        members: conversation.members.map((member) =>
          member.user.id === userId ? moved(member, deliveredSequence, readSequence) : member,
        ),
        ...(isOwn && moved(conversation, deliveredSequence, readSequence)),
        // Another device of the viewer has read to the end. In the middle only the API can count.
        unread: isOwn && readSequence >= (conversation.lastMessage?.sequence ?? 0) ? 0 : conversation.unread,
      };
    }
    default:
      return conversation;
  }
}

/** Markers only move forward, so an older page takes nothing back. */
function moved<Markers extends Pick<Member, "deliveredSequence" | "readSequence">>(
  markers: Markers,
  delivered: number,
  read: number,
): Markers {
  return {
    ...markers,
    deliveredSequence: Math.max(markers.deliveredSequence, delivered),
    readSequence: Math.max(markers.readSequence, read),
  };
}

const withoutMember = ({ members }: Conversation, userId: Id) => members.filter(({ user }) => user.id !== userId);

export function withoutSent({ outbox }: Conversation, { clientMessageId }: Message): Conversation["outbox"] {
  const left = outbox.filter((outgoing) => outgoing.clientMessageId !== clientMessageId);
  return left.length < outbox.length ? left : outbox;
}

function changedTimeline(timeline: Timeline, update: Update): Timeline {
  if (update.__typename === "ReceiptMoved" || update.__typename === "CaughtUp") return timeline;
  const meanwhile = timeline.meanwhile && [...timeline.meanwhile, update];
  if (timeline.loading !== "ready") return meanwhile ? { ...timeline, meanwhile } : timeline;
  const messages = changedMessages(timeline.messages, update);
  return messages === timeline.messages && !meanwhile ? timeline : { ...timeline, messages, meanwhile };
}

/** Return the messages after an update; the same array when it does not touch them. */
export function changedMessages(messages: Message[], update: Update): Message[] {
  switch (update.__typename) {
    case "MessageSent":
      return messages.some(({ id }) => id === update.message.id) ? messages : inOrder([...messages, update.message]);
    case "MessageEdited":
      return change(messages, update.message.id, (message) =>
        update.message.version > message.version && !message.deletedAt
          ? {
              ...message,
              body: update.message.body,
              version: update.message.version,
              editedAt: update.message.editedAt ?? update.at,
            }
          : message,
      );
    case "MessageDeleted":
      return change(
        messages.map((message) =>
          message.replyTo?.id === update.messageId
            ? { ...message, replyTo: { ...message.replyTo, body: null } }
            : message,
        ),
        update.messageId,
        (message) => ({
          ...message,
          body: null,
          attachments: [],
          deletedAt: message.deletedAt ?? update.at,
          reactions: [],
          pinnedAt: null,
        }),
      );
    case "MessagePinned":
      return change(messages, update.message.id, (message) => ({ ...message, pinnedAt: update.at }));
    case "MessageUnpinned":
      return change(messages, update.messageId, (message) => ({ ...message, pinnedAt: null }));
    case "ReactionAdded":
    case "ReactionRemoved":
      return change(messages, update.messageId, (message) => ({
        ...message,
        reactions: reacted(message.reactions, update.emoji, update.actor, update.__typename === "ReactionAdded"),
      }));
    default:
      return messages;
  }
}

function change(messages: Message[], id: Id, how: (message: Message) => Message): Message[] {
  return messages.some((message) => message.id === id)
    ? messages.map((message) => (message.id === id ? how(message) : message))
    : messages;
}

/** Return reactions after one of a user's was added or taken back. */
export function reacted(reactions: Reaction[], emoji: string, user: User, isAdded: boolean): Reaction[] {
  const before = reactions.find((reaction) => reaction.emoji === emoji);
  const had = before?.users.some(({ id }) => id === user.id) ?? false;
  if (had === isAdded) return reactions;
  if (!before) return [...reactions, { emoji, count: 1, users: [user] }];
  const users = isAdded ? [...before.users, user] : before.users.filter(({ id }) => id !== user.id);
  const after = { ...before, count: before.count + (isAdded ? 1 : -1), users };
  return reactions.map((one) => (one === before ? after : one)).filter(({ count }) => count > 0);
}

/** Return messages by their place, each once; of two the later in the list counts. */
export function inOrder(messages: Message[]): Message[] {
  const byId = new Map(messages.map((message) => [message.id, message]));
  return [...byId.values()].sort((one, other) => one.sequence - other.sequence);
}
