/** What is shown of what is known. */
import type { DeliveryStatus, Id, Message, PresenceStatus, User } from "../api/types";
import type { Conversation, State } from "./state";

/** Those that the viewer is in, the one where something happened last first. */
export function inbox({ conversations }: State): Conversation[] {
  return Object.values(conversations).sort((one, other) => activity(other).localeCompare(activity(one)));
}

export function activity({ lastMessage, createdAt, outbox }: Conversation): string {
  return outbox.at(-1)?.createdAt ?? lastMessage?.createdAt ?? createdAt;
}

/** A message as it is here; undefined where it has not been read. */
export function messageIn(
  { conversations }: State,
  { id, conversationId }: Pick<Message, "id" | "conversationId">,
): Message | undefined {
  return conversations[conversationId]?.timeline.messages.find((message) => message.id === id);
}

/** Who else is in a direct conversation. */
export function partner({ kind, members }: Conversation, viewerId: Id): User | null {
  return kind === "DIRECT" ? (members.find(({ user }) => user.id !== viewerId)?.user ?? null) : null;
}

export function nameOf(conversation: Conversation, viewerId: Id): string {
  if (conversation.title) return conversation.title;
  const others = conversation.members.map(({ user }) => user).filter(({ id }) => id !== viewerId);
  if (others.length === 0) return conversation.kind === "DIRECT" ? "Direct conversation" : "Just you";
  const unnamed = conversation.memberCount - 1 - others.length;
  return others.map((user) => user.displayName).join(", ") + (unnamed > 0 ? ` and ${unnamed} more` : "");
}

/** How far one of the viewer's messages has come with everybody else who was there when it was sent. */
export function statusOf(
  { sequence, createdAt, status }: Message,
  conversation: Conversation,
  viewerId: Id,
): DeliveryStatus {
  const { members, memberCount } = conversation;
  if (status === "READ" || members.length < memberCount) return status;
  const others = members.filter(({ user, joinedAt }) => user.id !== viewerId && joinedAt <= createdAt);
  if (others.length === 0) return status;
  if (others.every(({ readSequence }) => readSequence >= sequence)) return "READ";
  return others.every(({ deliveredSequence }) => deliveredSequence >= sequence) ? "DELIVERED" : status;
}

export function presenceOf({ presence }: State, userId: Id): PresenceStatus {
  return presence[userId]?.status ?? "UNKNOWN";
}

/** How many others are there, of those whose presence is known. */
export function onlineIn({ members }: Conversation, state: State): number {
  const viewerId = state.viewer?.id;
  return members.filter(({ user }) => user.id !== viewerId && presenceOf(state, user.id) === "ONLINE").length;
}

/** Whose presence is on screen: partners in the list, and the members of the open conversation. */
export function onScreen(state: State): Id[] {
  const viewerId = state.viewer?.id ?? "";
  const partners = inbox(state).flatMap((conversation) => partner(conversation, viewerId)?.id ?? []);
  const open = state.openId ? (state.conversations[state.openId]?.members ?? []) : [];
  const others = open.map(({ user }) => user.id).filter((id) => id !== viewerId);
  return [...new Set([...others, ...partners])].slice(0, 200).sort(); // as many as the API tells of at once
}

export function isMuted({ mutedUntil }: Conversation, now: number): boolean {
  return mutedUntil !== null && Date.parse(mutedUntil) > now;
}

export function unreadIn(state: State): number {
  const now = Date.now();
  return Object.values(state.conversations).reduce(
    (sum, conversation) => sum + (conversation.archivedAt || isMuted(conversation, now) ? 0 : conversation.unread),
    0,
  );
}
