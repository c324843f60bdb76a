/** The operations of this client, each with the types of its variables and of what it answers. */
import type {
  Id,
  Member,
  MemberRole,
  Message,
  Opened,
  Page,
  Presence,
  PresenceStatus,
  Summary,
  Tokens,
  Typing,
  Update,
  User,
  UserError,
} from "./types";

/** The text of an operation; the types exist for the compiler alone. */
export interface Operation<Data, Variables> {
  text: string;
  types?: (variables: Variables) => Data;
}
const operation = <Data, Variables = Record<string, never>>(text: string): Operation<Data, Variables> => ({ text });

/** A mutation takes one input and answers in one payload. */
export type Mutation<Payload, Input> = Operation<{ payload: Payload & { userErrors: UserError[] } }, { input: Input }>;
const mutation = <Payload, Input>(field: string, inputType: string, selection: string): Mutation<Payload, Input> =>
  operation(`mutation ${field[0]!.toUpperCase()}${field.slice(1)}($input: ${inputType}!) {
  payload: ${field}(input: $input) { ${selection} userErrors { code message path } }
}`);

const USER = "{ id handle displayName }";
const MEMBER = `{ user ${USER} role joinedAt deliveredSequence readSequence }`;
const MESSAGE = `{
  id conversationId sequence sender ${USER} body clientMessageId
  replyTo { id body sender ${USER} }
  attachments { name url mediaType sizeBytes }
  reactions { emoji count users ${USER} }
  version createdAt editedAt deletedAt pinnedAt status
}`;
const PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";
const SUMMARY = `
  id kind title createdAt archivedAt memberCount lastSequence cursor
  lastMessage ${MESSAGE}
  viewerUnreadCount
  viewerMembership { user ${USER} role joinedAt deliveredSequence readSequence mutedUntil }
  viewerCanSend { allowed reason }`;
const TOKENS = `user ${USER} accessToken refreshToken`;

export const REGISTER = mutation<Tokens, { handle: string; password: string; displayName?: string; device: string }>(
  "register",
  "RegisterInput",
  TOKENS,
);
export const LOGIN = mutation<Tokens, { handle: string; password: string; device: string }>(
  "login",
  "LoginInput",
  TOKENS,
);
export const RESET = mutation<Tokens, { token: string; newPassword: string; device: string }>(
  "resetPassword",
  "ResetPasswordInput",
  TOKENS,
);
export const REFRESH = mutation<Tokens, { refreshToken: string }>("refreshSession", "RefreshSessionInput", TOKENS);
export const LOGOUT = operation<{ logout: { sessionId: Id | null } }>("mutation Logout { logout { sessionId } }");

// Three members are enough for a name: of a direct conversation, or of a group that has no title.
export const CONVERSATIONS = operation<{ viewer: { conversations: Page<Summary> } }, { after: string | null }>(`
  query Conversations($after: String) {
    viewer {
      conversations(first: 50, after: $after) {
        nodes { ${SUMMARY} members(first: 4) { nodes ${MEMBER} ${PAGE_INFO} } }
        ${PAGE_INFO}
      }
    }
  }`);
export const SUMMARY_OF = operation<{ conversation: Summary | null }, { id: Id }>(`
  query Summary($id: ID!) {
    conversation(id: $id) { ${SUMMARY} members(first: 4) { nodes ${MEMBER} ${PAGE_INFO} } }
  }`);
export const OPEN = operation<{ conversation: Opened | null }, { id: Id }>(`
  query Open($id: ID!) {
    conversation(id: $id) {
      ${SUMMARY}
      members(first: 100) { nodes ${MEMBER} ${PAGE_INFO} }
      messages(last: 50) { nodes ${MESSAGE} ${PAGE_INFO} }
    }
  }`);
export const OLDER = operation<{ conversation: { messages: Page<Message> } | null }, { id: Id; before: string }>(`
  query Older($id: ID!, $before: String!) {
    conversation(id: $id) { messages(last: 50, before: $before) { nodes ${MESSAGE} ${PAGE_INFO} } }
  }`);
export const PEOPLE = operation<{ users: { nodes: User[] } }, { search: string }>(
  `query People($search: String!) { users(search: $search, first: 8) { nodes ${USER} } }`,
);

type OfConversation<More = object> = { conversationId: Id } & More;
type ConversationPayload = { conversation: { id: Id } | null };
const CONVERSATION_ID = "conversation { id }";
export const CREATE = mutation<
  ConversationPayload,
  { kind: "DIRECT" | "GROUP"; title?: string; memberIds: Id[]; clientConversationId: string }
>("createConversation", "CreateConversationInput", CONVERSATION_ID);
export const ADD_MEMBERS = mutation<ConversationPayload, OfConversation<{ userIds: Id[] }>>(
  "addMembers",
  "AddMembersInput",
  CONVERSATION_ID,
);
export const REMOVE_MEMBER = mutation<ConversationPayload, OfConversation<{ userId: Id }>>(
  "removeMember",
  "RemoveMemberInput",
  CONVERSATION_ID,
);
export const SET_ROLE = mutation<ConversationPayload, OfConversation<{ userId: Id; role: MemberRole }>>(
  "setMemberRole",
  "SetMemberRoleInput",
  CONVERSATION_ID,
);
export const LEAVE = mutation<ConversationPayload, OfConversation>(
  "leaveConversation",
  "LeaveConversationInput",
  CONVERSATION_ID,
);
export const MUTE = mutation<
  { conversation: { id: Id; viewerMembership: { mutedUntil: string | null } | null } | null },
  OfConversation<{ until: string | null }>
>("muteConversation", "MuteConversationInput", "conversation { id viewerMembership { mutedUntil } }");

type MessagePayload = { message: Message | null };
const CHANGED = `message ${MESSAGE}`;
export const SEND = mutation<MessagePayload, OfConversation<{ body: string; clientMessageId: string; replyToId?: Id }>>(
  "sendMessage",
  "SendMessageInput",
  CHANGED,
);
export const EDIT = mutation<MessagePayload, { messageId: Id; body: string; expectedVersion: number }>(
  "editMessage",
  "EditMessageInput",
  CHANGED,
);
export const DELETE = mutation<MessagePayload, { messageId: Id }>("deleteMessage", "DeleteMessageInput", CHANGED);
export const ADD_REACTION = mutation<MessagePayload, { messageId: Id; emoji: string }>(
  "addReaction",
  "AddReactionInput",
  CHANGED,
);
export const REMOVE_REACTION = mutation<MessagePayload, { messageId: Id; emoji: string }>(
  "removeReaction",
  "RemoveReactionInput",
  CHANGED,
);

export type Marked = { member: Member | null; viewerUnreadCount: number | null };
const MARKED = `member ${MEMBER} viewerUnreadCount`;
export const MARK_DELIVERED = mutation<Marked, OfConversation<{ upToSequence: number }>>(
  "markDelivered",
  "MarkDeliveredInput",
  MARKED,
);
export const MARK_READ = mutation<Marked, OfConversation<{ upToSequence: number }>>(
  "markRead",
  "MarkReadInput",
  MARKED,
);
export const SET_TYPING = mutation<{ expiresAt: string | null }, OfConversation<{ typing: boolean }>>(
  "setTyping",
  "SetTypingInput",
  "expiresAt",
);
export const SET_PRESENCE = mutation<{ presence: { status: PresenceStatus } | null }, { status: "ONLINE" | "AWAY" }>(
  "setPresence",
  "SetPresenceInput",
  "presence { status }",
);

/** Everything that happens in any of the viewer's conversations. `after` has a cursor for each (see `resume/`). */
export const INBOX = operation<{ inboxUpdates: Update }, { after: Record<Id, string> }>(`
  subscription Inbox($after: [String!]) {
    inboxUpdates(after: $after) {
      __typename
      ... on ConversationEvent { conversationId sequence cursor at actor ${USER} }
      ... on MessageSent { message ${MESSAGE} }
      ... on MessageEdited { message ${MESSAGE} }
      ... on MessagePinned { message ${MESSAGE} }
      ... on MessageDeleted { messageId }
      ... on MessageUnpinned { messageId }
      ... on ReactionAdded { messageId emoji }
      ... on ReactionRemoved { messageId emoji }
      ... on MemberAdded { member ${MEMBER} }
      ... on MemberRoleChanged { member ${MEMBER} }
      ... on MemberRemoved { userId }
      ... on ConversationChanged { conversation { id kind title archivedAt memberCount } }
      ... on ReceiptMoved { conversationId userId deliveredSequence readSequence }
      ... on CaughtUp { conversationId sequence cursor }
      ... on ResyncRequired { conversationId reason cursor }
    }
  }`);
export const TYPING = operation<{ typing: Typing }, { conversationId: Id }>(`
  subscription Typing($conversationId: ID!) {
    typing(conversationId: $conversationId) { conversationId users ${USER} expiresAt }
  }`);
export const PRESENCE = operation<{ presence: Presence }, { userIds: Id[] }>(`
  subscription Presence($userIds: [ID!]!) {
    presence(userIds: $userIds) { userId status lastSeenAt asOf validUntil }
  }`);
