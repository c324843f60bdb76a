/** What the operations of this client answer with, by the names of the schema. */
export type Id = string;

export interface User {
  id: Id;
  handle: string;
  displayName: string;
}

export type ConversationKind = "DIRECT" | "GROUP" | "CHANNEL";
export type MemberRole = "OWNER" | "MODERATOR" | "MEMBER";
export type DeliveryStatus = "SENT" | "DELIVERED" | "READ";
export type PresenceStatus = "ONLINE" | "AWAY" | "OFFLINE" | "UNKNOWN";

export interface Member {
  user: User;
  role: MemberRole;
  joinedAt: string;
  deliveredSequence: number;
  readSequence: number;
}

export interface Quotation {
  id: Id;
  body: string | null; // null once deleted
  sender: User;
}

/** A file that is somewhere else. */
export interface Attachment {
  name: string;
  url: string; // https
  mediaType: string;
  sizeBytes: number;
}

export interface Reaction {
  emoji: string;
  count: number;
  users: User[];
}

export interface Message {
  id: Id;
  conversationId: Id;
  sequence: number;
  sender: User;
  body: string | null; // null once deleted
  clientMessageId: string | null;
  replyTo: Quotation | null;
  attachments: Attachment[];
  reactions: Reaction[];
  version: number;
  createdAt: string;
  editedAt: string | null;
  deletedAt: string | null;
  pinnedAt: string | null;
  status: DeliveryStatus;
}

export interface PageInfo {
  hasNextPage: boolean;
  hasPreviousPage: boolean;
  startCursor: string | null;
  endCursor: string | null;
}

export interface Page<Node> {
  nodes: Node[];
  pageInfo: PageInfo;
}

/** A conversation as the list shows it. */
export interface Summary {
  id: Id;
  kind: ConversationKind;
  title: string | null;
  createdAt: string;
  archivedAt: string | null;
  memberCount: number;
  lastSequence: number;
  cursor: string;
  lastMessage: Message | null;
  viewerUnreadCount: number;
  viewerMembership: (Member & { mutedUntil: string | null }) | null;
  viewerCanSend: { allowed: boolean; reason: string | null };
  members: Page<Member>;
}

/** A conversation as it is opened. */
export type Opened = Summary & { messages: Page<Message> };

interface Entry {
  conversationId: Id;
  sequence: number;
  cursor: string;
  at: string;
  actor: User;
}
export type Update =
  | (Entry & { __typename: "MessageSent" | "MessageEdited" | "MessagePinned"; message: Message })
  | (Entry & { __typename: "MessageDeleted" | "MessageUnpinned"; messageId: Id })
  | (Entry & { __typename: "ReactionAdded" | "ReactionRemoved"; messageId: Id; emoji: string })
  | (Entry & { __typename: "MemberAdded" | "MemberRoleChanged"; member: Member })
  | (Entry & { __typename: "MemberRemoved"; userId: Id })
  | (Entry & {
      __typename: "ConversationChanged";
      conversation: Pick<Summary, "id" | "kind" | "title" | "archivedAt" | "memberCount">;
    })
  | {
      __typename: "ReceiptMoved";
      conversationId: Id;
      userId: Id;
      deliveredSequence: number;
      readSequence: number;
    }
  | { __typename: "CaughtUp"; conversationId: Id; sequence: number; cursor: string }
  | { __typename: "ResyncRequired"; conversationId: Id; reason: string; cursor: string };

export interface Presence {
  userId: Id;
  status: PresenceStatus;
  lastSeenAt: string | null;
  asOf: string;
  validUntil: string;
}

export interface Typing {
  conversationId: Id;
  users: User[];
  expiresAt: string;
}

export interface UserError {
  code: string;
  message: string;
  path: string[] | null;
}

export interface Tokens {
  user: User | null;
  accessToken: string | null;
  refreshToken: string | null;
}
