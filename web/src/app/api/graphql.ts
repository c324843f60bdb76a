/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** The input of `addMembers`. */
export type AddMembersInput = {
  /** Where to add them. */
  conversationId: string;
  /** Whom to add; at most 100. Who is in already stays as they are. */
  userIds: Array<string>;
};

/** The input of `addReaction`. */
export type AddReactionInput = {
  /** Exactly one emoji. */
  emoji: string;
  /** Which message. */
  messageId: string;
};

/** A file kept elsewhere. */
export type AttachmentInput = {
  /** What it is, as in `image/png`. */
  mediaType: string;
  /** What the file is called; 1 to 255 printable characters. */
  name: string;
  /** How large it is; not negative. */
  sizeBytes: number;
  /** Where it is: an https address of at most 2 048 characters. */
  url: string;
};

/** DIRECT: two people; GROUP: up to 500; CHANNEL: any number, where owners and moderators write. */
export type ConversationKind =
  /** Any number of people, of whom owners and moderators write. */
  | 'CHANNEL'
  /** Two people, who stay in it; it exists once. */
  | 'DIRECT'
  /** Up to 500 people, who all write. */
  | 'GROUP';

/** The input of `createConversation`. */
export type CreateConversationInput = {
  /** Made by the client: with the same one a retry returns the conversation already made. */
  clientConversationId?: string | null | undefined;
  /** Which kind to make. */
  kind?: ConversationKind;
  /** The first members besides the caller; at most 100, one for DIRECT. */
  memberIds: Array<string>;
  /** Its title; none for DIRECT. */
  title?: string | null | undefined;
};

/** The input of `deleteMessage`. */
export type DeleteMessageInput = {
  /** Which message. */
  messageId: string;
};

/** SENT once stored, DELIVERED and READ once that holds for every other active member. */
export type DeliveryStatus =
  /** It has reached a device. */
  | 'DELIVERED'
  /** It has been read. */
  | 'READ'
  /** It is stored for good. */
  | 'SENT';

/** The input of `editMessage`. */
export type EditMessageInput = {
  /** The new body, as in `sendMessage`; the one that it has already changes nothing. */
  body: string;
  /** Refused with CONFLICT when the message has moved on. */
  expectedVersion?: number | null | undefined;
  /** Which message. */
  messageId: string;
};

/** The input of `leaveConversation`. */
export type LeaveConversationInput = {
  /** What to leave. */
  conversationId: string;
};

/** The input of `login`. */
export type LoginInput = {
  /** What this device is called in lists of sessions. */
  device?: string | null | undefined;
  /** The account's handle. */
  handle: string;
  /** The account's password. */
  password: string;
};

/** The input of `markDelivered`. */
export type MarkDeliveredInput = {
  /** The conversation. */
  conversationId: string;
  /** Everything up to and including this has reached the caller. */
  upToSequence: number;
};

/** The input of `markRead`. */
export type MarkReadInput = {
  /** The conversation. */
  conversationId: string;
  /** Everything up to and including this has been read by the caller. */
  upToSequence: number;
};

/** What a member may do in a conversation. */
export type MemberRole =
  /** Reading; and writing, but in a channel. */
  | 'MEMBER'
  /** Writing in a channel, and looking after messages and members. */
  | 'MODERATOR'
  /** Everything, also giving roles. */
  | 'OWNER';

/** The input of `muteConversation`. */
export type MuteConversationInput = {
  /** What to mute, for the caller alone. */
  conversationId: string;
  /** Until when, in the future; null unmutes. */
  until?: string | null | undefined;
};

/** Whether somebody is there; UNKNOWN where that is not known now, or not for others to know. */
export type PresenceStatus =
  /** Devices are connected, and none is in use. */
  | 'AWAY'
  /** No device is connected. */
  | 'OFFLINE'
  /** A device is connected and in use. */
  | 'ONLINE'
  /** Not known now, for example while Redis is away; or not shared. */
  | 'UNKNOWN';

/** The input of `refreshSession`. */
export type RefreshSessionInput = {
  /** The newest refresh token of the session. */
  refreshToken: string;
};

/** The input of `register`. */
export type RegisterInput = {
  /** What this device is called in lists of sessions. */
  device?: string | null | undefined;
  /** The name to show; the handle when left out. */
  displayName?: string | null | undefined;
  /** 2 to 32 of a-z, 0-9, _ and .; compared in lower case, never given twice. */
  handle: string;
  /** 8 to 256 characters. */
  password: string;
};

/** The input of `removeMember`. */
export type RemoveMemberInput = {
  /** Where to remove them. */
  conversationId: string;
  /** Whom to remove. */
  userId: string;
};

/** The input of `removeReaction`. */
export type RemoveReactionInput = {
  /** The emoji to take back. */
  emoji: string;
  /** Which message. */
  messageId: string;
};

/** The input of `resetPassword`. */
export type ResetPasswordInput = {
  /** What this device is called in lists of sessions. */
  device?: string | null | undefined;
  /** 8 to 256 characters. */
  newPassword: string;
  /** From a one-time reset link. */
  token: string;
};

/** Why a cursor cannot be served. */
export type ResyncReason =
  /** It is of another log, as before a restored backup. */
  | 'EPOCH_CHANGED'
  /** It is of before the caller joined, or joined again. */
  | 'NOT_VISIBLE'
  /** More has happened since than is sent again. */
  | 'TOO_FAR_BEHIND';

/** The input of `sendMessage`. */
export type SendMessageInput = {
  /** At most 10 files. */
  attachments?: Array<AttachmentInput> | null | undefined;
  /** 1 to 10 000 characters and at most 32 768 bytes, not only white space. */
  body: string;
  /** Made by the client, one for each message, 1 to 64 printable ASCII characters: sending it again, at any time and to any instance, returns the message already stored; with another body, quotation or attachment it is refused with CONFLICT. */
  clientMessageId: string;
  /** Where to say it. */
  conversationId: string;
  /** A message of the same conversation to quote; not a deleted one. */
  replyToId?: string | null | undefined;
};

/** The input of `setMemberRole`. */
export type SetMemberRoleInput = {
  /** Where. */
  conversationId: string;
  /** The new role; there may be several owners. */
  role: MemberRole;
  /** Whose role; it can be the caller. */
  userId: string;
};

/** The input of `setPresence`. */
export type SetPresenceInput = {
  /** What this device says of itself: ONLINE or AWAY. */
  status: PresenceStatus;
};

/** The input of `setTyping`. */
export type SetTypingInput = {
  /** The conversation. */
  conversationId: string;
  /** Whether the caller is typing. Repeat true every few seconds; a message ends it. */
  typing: boolean;
};

/** Why a mutation was refused. */
export type UserErrorCode =
  /** It is no longer, or already, as the caller assumes. */
  | 'CONFLICT'
  /** The caller may not do that. */
  | 'FORBIDDEN'
  /** The password or the token is not the right one. */
  | 'INVALID_CREDENTIALS'
  /** A value cannot be accepted as it is. */
  | 'INVALID_INPUT'
  /** It does not exist, or the caller may not know that it does. */
  | 'NOT_FOUND'
  /** One too many; it can be accepted later, as it is. */
  | 'RATE_LIMITED';

export type UserFragment = { id: string, handle: string, displayName: string };

export type MemberFragment = { role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } };

export type MessageFragment = { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> };

export type QuotationFragment = { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } };

export type AttachmentFragment = { name: string, url: string, mediaType: string, sizeBytes: number };

export type ReactionFragment = { emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> };

export type PageInfoFragment = { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null };

export type MembersFragment = { nodes: Array<{ role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } };

export type MessagesFragment = { nodes: Array<{ id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } };

export type ConversationFragment = { id: string, kind: ConversationKind, title: string | null, createdAt: string, archivedAt: string | null, memberCount: number, lastSequence: number, cursor: string, viewerUnreadCount: number, lastMessage: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, viewerMembership: { mutedUntil: string | null, role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, viewerCanSend: { allowed: boolean, reason: string | null } };

export type SummaryFragment = { id: string, kind: ConversationKind, title: string | null, createdAt: string, archivedAt: string | null, memberCount: number, lastSequence: number, cursor: string, viewerUnreadCount: number, members: { nodes: Array<{ role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } }, lastMessage: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, viewerMembership: { mutedUntil: string | null, role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, viewerCanSend: { allowed: boolean, reason: string | null } };

export type OpenedFragment = { id: string, kind: ConversationKind, title: string | null, createdAt: string, archivedAt: string | null, memberCount: number, lastSequence: number, cursor: string, viewerUnreadCount: number, members: { nodes: Array<{ role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } }, messages: { nodes: Array<{ id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } }, lastMessage: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, viewerMembership: { mutedUntil: string | null, role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, viewerCanSend: { allowed: boolean, reason: string | null } };

export type ConversationsQueryVariables = Exact<{
  after?: string | null | undefined;
}>;


export type ConversationsQuery = { viewer: { conversations: { nodes: Array<{ id: string, kind: ConversationKind, title: string | null, createdAt: string, archivedAt: string | null, memberCount: number, lastSequence: number, cursor: string, viewerUnreadCount: number, members: { nodes: Array<{ role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } }, lastMessage: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, viewerMembership: { mutedUntil: string | null, role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, viewerCanSend: { allowed: boolean, reason: string | null } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } } } };

export type SummaryQueryVariables = Exact<{
  id: string;
}>;


export type SummaryQuery = { conversation: { id: string, kind: ConversationKind, title: string | null, createdAt: string, archivedAt: string | null, memberCount: number, lastSequence: number, cursor: string, viewerUnreadCount: number, members: { nodes: Array<{ role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } }, lastMessage: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, viewerMembership: { mutedUntil: string | null, role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, viewerCanSend: { allowed: boolean, reason: string | null } } | null };

export type OpenQueryVariables = Exact<{
  id: string;
}>;


export type OpenQuery = { conversation: { id: string, kind: ConversationKind, title: string | null, createdAt: string, archivedAt: string | null, memberCount: number, lastSequence: number, cursor: string, viewerUnreadCount: number, members: { nodes: Array<{ role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } }, messages: { nodes: Array<{ id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } }, lastMessage: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, viewerMembership: { mutedUntil: string | null, role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, viewerCanSend: { allowed: boolean, reason: string | null } } | null };

export type OlderQueryVariables = Exact<{
  id: string;
  before: string;
}>;


export type OlderQuery = { conversation: { id: string, messages: { nodes: Array<{ id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } } } | null };

export type PeopleQueryVariables = Exact<{
  search: string;
}>;


export type PeopleQuery = { users: { nodes: Array<{ id: string, handle: string, displayName: string }> } };

type Refusal_InputError_Fragment = { code: UserErrorCode, message: string, path: Array<string> | null };

type Refusal_RateLimitError_Fragment = { code: UserErrorCode, message: string, path: Array<string> | null };

export type RefusalFragment =
  | Refusal_InputError_Fragment
  | Refusal_RateLimitError_Fragment
;

export type RegisterMutationVariables = Exact<{
  input: RegisterInput;
}>;


export type RegisterMutation = { payload: { accessToken: string | null, refreshToken: string | null, user: { id: string, handle: string, displayName: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type LoginMutationVariables = Exact<{
  input: LoginInput;
}>;


export type LoginMutation = { payload: { accessToken: string | null, refreshToken: string | null, user: { id: string, handle: string, displayName: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type ResetPasswordMutationVariables = Exact<{
  input: ResetPasswordInput;
}>;


export type ResetPasswordMutation = { payload: { accessToken: string | null, refreshToken: string | null, user: { id: string, handle: string, displayName: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type RefreshSessionMutationVariables = Exact<{
  input: RefreshSessionInput;
}>;


export type RefreshSessionMutation = { payload: { accessToken: string | null, refreshToken: string | null, user: { id: string, handle: string, displayName: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type LogoutMutationVariables = Exact<{ [key: string]: never; }>;


export type LogoutMutation = { logout: { sessionId: string | null } };

export type CreateConversationMutationVariables = Exact<{
  input: CreateConversationInput;
}>;


export type CreateConversationMutation = { payload: { conversation: { id: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type AddMembersMutationVariables = Exact<{
  input: AddMembersInput;
}>;


export type AddMembersMutation = { payload: { conversation: { id: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type RemoveMemberMutationVariables = Exact<{
  input: RemoveMemberInput;
}>;


export type RemoveMemberMutation = { payload: { conversation: { id: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type SetMemberRoleMutationVariables = Exact<{
  input: SetMemberRoleInput;
}>;


export type SetMemberRoleMutation = { payload: { conversation: { id: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type LeaveConversationMutationVariables = Exact<{
  input: LeaveConversationInput;
}>;


export type LeaveConversationMutation = { payload: { conversation: { id: string } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type MuteConversationMutationVariables = Exact<{
  input: MuteConversationInput;
}>;


export type MuteConversationMutation = { payload: { conversation: { id: string, viewerMembership: { mutedUntil: string | null } | null } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type SendMessageMutationVariables = Exact<{
  input: SendMessageInput;
}>;


export type SendMessageMutation = { payload: { message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type EditMessageMutationVariables = Exact<{
  input: EditMessageInput;
}>;


export type EditMessageMutation = { payload: { message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type DeleteMessageMutationVariables = Exact<{
  input: DeleteMessageInput;
}>;


export type DeleteMessageMutation = { payload: { message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type AddReactionMutationVariables = Exact<{
  input: AddReactionInput;
}>;


export type AddReactionMutation = { payload: { message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type RemoveReactionMutationVariables = Exact<{
  input: RemoveReactionInput;
}>;


export type RemoveReactionMutation = { payload: { message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type MarkDeliveredMutationVariables = Exact<{
  input: MarkDeliveredInput;
}>;


export type MarkDeliveredMutation = { payload: { viewerUnreadCount: number | null, member: { role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type MarkReadMutationVariables = Exact<{
  input: MarkReadInput;
}>;


export type MarkReadMutation = { payload: { viewerUnreadCount: number | null, member: { role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type SetTypingMutationVariables = Exact<{
  input: SetTypingInput;
}>;


export type SetTypingMutation = { payload: { expiresAt: string | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type SetPresenceMutationVariables = Exact<{
  input: SetPresenceInput;
}>;


export type SetPresenceMutation = { payload: { presence: { status: PresenceStatus } | null, userErrors: Array<
      | { code: UserErrorCode, message: string, path: Array<string> | null }
      | { code: UserErrorCode, message: string, path: Array<string> | null }
    > } };

export type InboxSubscriptionVariables = Exact<{
  after?: Array<string> | null | undefined;
}>;


export type InboxSubscription = { inboxUpdates:
    | { __typename: 'CaughtUp', conversationId: string, sequence: number, cursor: string }
    | { __typename: 'ConversationChanged', conversationId: string, sequence: number, cursor: string, at: string, actor: { id: string, handle: string, displayName: string }, conversation: { id: string, kind: ConversationKind, title: string | null, archivedAt: string | null, memberCount: number } }
    | { __typename: 'MemberAdded', conversationId: string, sequence: number, cursor: string, at: string, actor: { id: string, handle: string, displayName: string }, member: { role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } }
    | { __typename: 'MemberRemoved', conversationId: string, sequence: number, cursor: string, at: string, userId: string, actor: { id: string, handle: string, displayName: string } }
    | { __typename: 'MemberRoleChanged', conversationId: string, sequence: number, cursor: string, at: string, actor: { id: string, handle: string, displayName: string }, member: { role: MemberRole, joinedAt: string, deliveredSequence: number, readSequence: number, user: { id: string, handle: string, displayName: string } } }
    | { __typename: 'MessageDeleted', conversationId: string, sequence: number, cursor: string, at: string, messageId: string, actor: { id: string, handle: string, displayName: string } }
    | { __typename: 'MessageEdited', conversationId: string, sequence: number, cursor: string, at: string, actor: { id: string, handle: string, displayName: string }, message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } }
    | { __typename: 'MessagePinned', conversationId: string, sequence: number, cursor: string, at: string, actor: { id: string, handle: string, displayName: string }, message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } }
    | { __typename: 'MessageSent', conversationId: string, sequence: number, cursor: string, at: string, actor: { id: string, handle: string, displayName: string }, message: { id: string, conversationId: string, sequence: number, body: string | null, clientMessageId: string | null, version: number, createdAt: string, editedAt: string | null, deletedAt: string | null, pinnedAt: string | null, status: DeliveryStatus, sender: { id: string, handle: string, displayName: string }, replyTo: { id: string, body: string | null, sender: { id: string, handle: string, displayName: string } } | null, attachments: Array<{ name: string, url: string, mediaType: string, sizeBytes: number }>, reactions: Array<{ emoji: string, count: number, users: Array<{ id: string, handle: string, displayName: string }> }> } }
    | { __typename: 'MessageUnpinned', conversationId: string, sequence: number, cursor: string, at: string, messageId: string, actor: { id: string, handle: string, displayName: string } }
    | { __typename: 'ReactionAdded', conversationId: string, sequence: number, cursor: string, at: string, messageId: string, emoji: string, actor: { id: string, handle: string, displayName: string } }
    | { __typename: 'ReactionRemoved', conversationId: string, sequence: number, cursor: string, at: string, messageId: string, emoji: string, actor: { id: string, handle: string, displayName: string } }
    | { __typename: 'ReceiptMoved', conversationId: string, userId: string, deliveredSequence: number, readSequence: number }
    | { __typename: 'ResyncRequired', conversationId: string, reason: ResyncReason, cursor: string }
   };

export type TypingSubscriptionVariables = Exact<{
  conversationId: string;
}>;


export type TypingSubscription = { typing: { conversationId: string, expiresAt: string, users: Array<{ id: string, handle: string, displayName: string }> } };

export type PresenceSubscriptionVariables = Exact<{
  userIds: Array<string>;
}>;


export type PresenceSubscription = { presence: { userId: string, status: PresenceStatus, lastSeenAt: string | null, asOf: string, validUntil: string } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const UserFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment User on User {
  id
  handle
  displayName
}
    `, {"fragmentName":"User"}) as unknown as TypedDocumentString<UserFragment, unknown>;
export const QuotationFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
    fragment User on User {
  id
  handle
  displayName
}`, {"fragmentName":"Quotation"}) as unknown as TypedDocumentString<QuotationFragment, unknown>;
export const AttachmentFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
    `, {"fragmentName":"Attachment"}) as unknown as TypedDocumentString<AttachmentFragment, unknown>;
export const ReactionFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
    fragment User on User {
  id
  handle
  displayName
}`, {"fragmentName":"Reaction"}) as unknown as TypedDocumentString<ReactionFragment, unknown>;
export const MessageFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}`, {"fragmentName":"Message"}) as unknown as TypedDocumentString<MessageFragment, unknown>;
export const MemberFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
    fragment User on User {
  id
  handle
  displayName
}`, {"fragmentName":"Member"}) as unknown as TypedDocumentString<MemberFragment, unknown>;
export const ConversationFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Conversation on Conversation {
  id
  kind
  title
  createdAt
  archivedAt
  memberCount
  lastSequence
  cursor
  lastMessage {
    ...Message
  }
  viewerUnreadCount
  viewerMembership {
    ...Member
    mutedUntil
  }
  viewerCanSend {
    allowed
    reason
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}`, {"fragmentName":"Conversation"}) as unknown as TypedDocumentString<ConversationFragment, unknown>;
export const PageInfoFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
    `, {"fragmentName":"PageInfo"}) as unknown as TypedDocumentString<PageInfoFragment, unknown>;
export const MembersFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Members on MemberConnection {
  nodes {
    ...Member
  }
  pageInfo {
    ...PageInfo
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}`, {"fragmentName":"Members"}) as unknown as TypedDocumentString<MembersFragment, unknown>;
export const SummaryFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Summary on Conversation {
  ...Conversation
  members(first: 4) {
    ...Members
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
fragment Members on MemberConnection {
  nodes {
    ...Member
  }
  pageInfo {
    ...PageInfo
  }
}
fragment Conversation on Conversation {
  id
  kind
  title
  createdAt
  archivedAt
  memberCount
  lastSequence
  cursor
  lastMessage {
    ...Message
  }
  viewerUnreadCount
  viewerMembership {
    ...Member
    mutedUntil
  }
  viewerCanSend {
    allowed
    reason
  }
}`, {"fragmentName":"Summary"}) as unknown as TypedDocumentString<SummaryFragment, unknown>;
export const MessagesFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Messages on MessageConnection {
  nodes {
    ...Message
  }
  pageInfo {
    ...PageInfo
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}`, {"fragmentName":"Messages"}) as unknown as TypedDocumentString<MessagesFragment, unknown>;
export const OpenedFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Opened on Conversation {
  ...Conversation
  members(first: 100) {
    ...Members
  }
  messages(last: 50) {
    ...Messages
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
fragment Members on MemberConnection {
  nodes {
    ...Member
  }
  pageInfo {
    ...PageInfo
  }
}
fragment Messages on MessageConnection {
  nodes {
    ...Message
  }
  pageInfo {
    ...PageInfo
  }
}
fragment Conversation on Conversation {
  id
  kind
  title
  createdAt
  archivedAt
  memberCount
  lastSequence
  cursor
  lastMessage {
    ...Message
  }
  viewerUnreadCount
  viewerMembership {
    ...Member
    mutedUntil
  }
  viewerCanSend {
    allowed
    reason
  }
}`, {"fragmentName":"Opened"}) as unknown as TypedDocumentString<OpenedFragment, unknown>;
export const RefusalFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Refusal on UserError {
  code
  message
  path
}
    `, {"fragmentName":"Refusal"}) as unknown as TypedDocumentString<RefusalFragment, unknown>;
export const ConversationsDocument = /*#__PURE__*/ new TypedDocumentString(`
    query Conversations($after: String) {
  viewer {
    conversations(first: 50, after: $after) {
      nodes {
        ...Summary
      }
      pageInfo {
        ...PageInfo
      }
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
fragment Members on MemberConnection {
  nodes {
    ...Member
  }
  pageInfo {
    ...PageInfo
  }
}
fragment Conversation on Conversation {
  id
  kind
  title
  createdAt
  archivedAt
  memberCount
  lastSequence
  cursor
  lastMessage {
    ...Message
  }
  viewerUnreadCount
  viewerMembership {
    ...Member
    mutedUntil
  }
  viewerCanSend {
    allowed
    reason
  }
}
fragment Summary on Conversation {
  ...Conversation
  members(first: 4) {
    ...Members
  }
}`) as unknown as TypedDocumentString<ConversationsQuery, ConversationsQueryVariables>;
export const SummaryDocument = /*#__PURE__*/ new TypedDocumentString(`
    query Summary($id: ID!) {
  conversation(id: $id) {
    ...Summary
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
fragment Members on MemberConnection {
  nodes {
    ...Member
  }
  pageInfo {
    ...PageInfo
  }
}
fragment Conversation on Conversation {
  id
  kind
  title
  createdAt
  archivedAt
  memberCount
  lastSequence
  cursor
  lastMessage {
    ...Message
  }
  viewerUnreadCount
  viewerMembership {
    ...Member
    mutedUntil
  }
  viewerCanSend {
    allowed
    reason
  }
}
fragment Summary on Conversation {
  ...Conversation
  members(first: 4) {
    ...Members
  }
}`) as unknown as TypedDocumentString<SummaryQuery, SummaryQueryVariables>;
export const OpenDocument = /*#__PURE__*/ new TypedDocumentString(`
    query Open($id: ID!) {
  conversation(id: $id) {
    ...Opened
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
fragment Members on MemberConnection {
  nodes {
    ...Member
  }
  pageInfo {
    ...PageInfo
  }
}
fragment Messages on MessageConnection {
  nodes {
    ...Message
  }
  pageInfo {
    ...PageInfo
  }
}
fragment Conversation on Conversation {
  id
  kind
  title
  createdAt
  archivedAt
  memberCount
  lastSequence
  cursor
  lastMessage {
    ...Message
  }
  viewerUnreadCount
  viewerMembership {
    ...Member
    mutedUntil
  }
  viewerCanSend {
    allowed
    reason
  }
}
fragment Opened on Conversation {
  ...Conversation
  members(first: 100) {
    ...Members
  }
  messages(last: 50) {
    ...Messages
  }
}`) as unknown as TypedDocumentString<OpenQuery, OpenQueryVariables>;
export const OlderDocument = /*#__PURE__*/ new TypedDocumentString(`
    query Older($id: ID!, $before: String!) {
  conversation(id: $id) {
    id
    messages(last: 50, before: $before) {
      ...Messages
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment PageInfo on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
fragment Messages on MessageConnection {
  nodes {
    ...Message
  }
  pageInfo {
    ...PageInfo
  }
}`) as unknown as TypedDocumentString<OlderQuery, OlderQueryVariables>;
export const PeopleDocument = /*#__PURE__*/ new TypedDocumentString(`
    query People($search: String!) {
  users(search: $search, first: 8) {
    nodes {
      ...User
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}`) as unknown as TypedDocumentString<PeopleQuery, PeopleQueryVariables>;
export const RegisterDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation Register($input: RegisterInput!) {
  payload: register(input: $input) {
    user {
      ...User
    }
    accessToken
    refreshToken
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<RegisterMutation, RegisterMutationVariables>;
export const LoginDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation Login($input: LoginInput!) {
  payload: login(input: $input) {
    user {
      ...User
    }
    accessToken
    refreshToken
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<LoginMutation, LoginMutationVariables>;
export const ResetPasswordDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation ResetPassword($input: ResetPasswordInput!) {
  payload: resetPassword(input: $input) {
    user {
      ...User
    }
    accessToken
    refreshToken
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<ResetPasswordMutation, ResetPasswordMutationVariables>;
export const RefreshSessionDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation RefreshSession($input: RefreshSessionInput!) {
  payload: refreshSession(input: $input) {
    user {
      ...User
    }
    accessToken
    refreshToken
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<RefreshSessionMutation, RefreshSessionMutationVariables>;
export const LogoutDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation Logout {
  logout {
    sessionId
  }
}
    `) as unknown as TypedDocumentString<LogoutMutation, LogoutMutationVariables>;
export const CreateConversationDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation CreateConversation($input: CreateConversationInput!) {
  payload: createConversation(input: $input) {
    conversation {
      id
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<CreateConversationMutation, CreateConversationMutationVariables>;
export const AddMembersDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation AddMembers($input: AddMembersInput!) {
  payload: addMembers(input: $input) {
    conversation {
      id
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<AddMembersMutation, AddMembersMutationVariables>;
export const RemoveMemberDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation RemoveMember($input: RemoveMemberInput!) {
  payload: removeMember(input: $input) {
    conversation {
      id
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<RemoveMemberMutation, RemoveMemberMutationVariables>;
export const SetMemberRoleDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation SetMemberRole($input: SetMemberRoleInput!) {
  payload: setMemberRole(input: $input) {
    conversation {
      id
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<SetMemberRoleMutation, SetMemberRoleMutationVariables>;
export const LeaveConversationDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation LeaveConversation($input: LeaveConversationInput!) {
  payload: leaveConversation(input: $input) {
    conversation {
      id
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<LeaveConversationMutation, LeaveConversationMutationVariables>;
export const MuteConversationDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation MuteConversation($input: MuteConversationInput!) {
  payload: muteConversation(input: $input) {
    conversation {
      id
      viewerMembership {
        mutedUntil
      }
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<MuteConversationMutation, MuteConversationMutationVariables>;
export const SendMessageDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation SendMessage($input: SendMessageInput!) {
  payload: sendMessage(input: $input) {
    message {
      ...Message
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<SendMessageMutation, SendMessageMutationVariables>;
export const EditMessageDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation EditMessage($input: EditMessageInput!) {
  payload: editMessage(input: $input) {
    message {
      ...Message
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<EditMessageMutation, EditMessageMutationVariables>;
export const DeleteMessageDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation DeleteMessage($input: DeleteMessageInput!) {
  payload: deleteMessage(input: $input) {
    message {
      ...Message
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<DeleteMessageMutation, DeleteMessageMutationVariables>;
export const AddReactionDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation AddReaction($input: AddReactionInput!) {
  payload: addReaction(input: $input) {
    message {
      ...Message
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<AddReactionMutation, AddReactionMutationVariables>;
export const RemoveReactionDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation RemoveReaction($input: RemoveReactionInput!) {
  payload: removeReaction(input: $input) {
    message {
      ...Message
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<RemoveReactionMutation, RemoveReactionMutationVariables>;
export const MarkDeliveredDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation MarkDelivered($input: MarkDeliveredInput!) {
  payload: markDelivered(input: $input) {
    member {
      ...Member
    }
    viewerUnreadCount
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<MarkDeliveredMutation, MarkDeliveredMutationVariables>;
export const MarkReadDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation MarkRead($input: MarkReadInput!) {
  payload: markRead(input: $input) {
    member {
      ...Member
    }
    viewerUnreadCount
    userErrors {
      ...Refusal
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<MarkReadMutation, MarkReadMutationVariables>;
export const SetTypingDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation SetTyping($input: SetTypingInput!) {
  payload: setTyping(input: $input) {
    expiresAt
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<SetTypingMutation, SetTypingMutationVariables>;
export const SetPresenceDocument = /*#__PURE__*/ new TypedDocumentString(`
    mutation SetPresence($input: SetPresenceInput!) {
  payload: setPresence(input: $input) {
    presence {
      status
    }
    userErrors {
      ...Refusal
    }
  }
}
    fragment Refusal on UserError {
  code
  message
  path
}`) as unknown as TypedDocumentString<SetPresenceMutation, SetPresenceMutationVariables>;
export const InboxDocument = /*#__PURE__*/ new TypedDocumentString(`
    subscription Inbox($after: [String!]) {
  inboxUpdates(after: $after) {
    __typename
    ... on ConversationEvent {
      conversationId
      sequence
      cursor
      at
      actor {
        ...User
      }
    }
    ... on MessageSent {
      message {
        ...Message
      }
    }
    ... on MessageEdited {
      message {
        ...Message
      }
    }
    ... on MessagePinned {
      message {
        ...Message
      }
    }
    ... on MessageDeleted {
      messageId
    }
    ... on MessageUnpinned {
      messageId
    }
    ... on ReactionAdded {
      messageId
      emoji
    }
    ... on ReactionRemoved {
      messageId
      emoji
    }
    ... on MemberAdded {
      member {
        ...Member
      }
    }
    ... on MemberRoleChanged {
      member {
        ...Member
      }
    }
    ... on MemberRemoved {
      userId
    }
    ... on ConversationChanged {
      conversation {
        id
        kind
        title
        archivedAt
        memberCount
      }
    }
    ... on ReceiptMoved {
      conversationId
      userId
      deliveredSequence
      readSequence
    }
    ... on CaughtUp {
      conversationId
      sequence
      cursor
    }
    ... on ResyncRequired {
      conversationId
      reason
      cursor
    }
  }
}
    fragment User on User {
  id
  handle
  displayName
}
fragment Member on Member {
  user {
    ...User
  }
  role
  joinedAt
  deliveredSequence
  readSequence
}
fragment Message on Message {
  id
  conversationId
  sequence
  sender {
    ...User
  }
  body
  clientMessageId
  replyTo {
    ...Quotation
  }
  attachments {
    ...Attachment
  }
  reactions {
    ...Reaction
  }
  version
  createdAt
  editedAt
  deletedAt
  pinnedAt
  status
}
fragment Quotation on Message {
  id
  body
  sender {
    ...User
  }
}
fragment Attachment on Attachment {
  name
  url
  mediaType
  sizeBytes
}
fragment Reaction on ReactionGroup {
  emoji
  count
  users {
    ...User
  }
}`) as unknown as TypedDocumentString<InboxSubscription, InboxSubscriptionVariables>;
export const TypingDocument = /*#__PURE__*/ new TypedDocumentString(`
    subscription Typing($conversationId: ID!) {
  typing(conversationId: $conversationId) {
    conversationId
    users {
      ...User
    }
    expiresAt
  }
}
    fragment User on User {
  id
  handle
  displayName
}`) as unknown as TypedDocumentString<TypingSubscription, TypingSubscriptionVariables>;
export const PresenceDocument = /*#__PURE__*/ new TypedDocumentString(`
    subscription Presence($userIds: [ID!]!) {
  presence(userIds: $userIds) {
    userId
    status
    lastSeenAt
    asOf
    validUntil
  }
}
    `) as unknown as TypedDocumentString<PresenceSubscription, PresenceSubscriptionVariables>;