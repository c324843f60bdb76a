/** What this client knows. Plain values: whatever changes them is in `reduce.ts`. */
import type {
  ConversationKind,
  Id,
  Member,
  MemberRole,
  Message,
  Presence,
  Quotation,
  Typing,
  Update,
  User,
} from "../api/types";

export type Loading = "none" | "loading" | "ready" | "failed";

/** A message on its way. It becomes a `Message` by the same `clientMessageId`. */
export interface Outgoing {
  clientMessageId: string;
  body: string;
  replyTo: Quotation | null;
  createdAt: string;
  /** Why it was not sent; null while it is being tried. */
  problem: string | null;
}

/** The messages that are here, oldest first: a part of the conversation's end without holes. */
export interface Timeline {
  loading: Loading;
  messages: Message[];
  hasOlder: boolean;
  before: string | null; // cursor of the page before; null when there is none
  older: Loading;
  /** What happened while a page was being read, to be applied to that page; null when none is. */
  meanwhile: Update[] | null;
}

export interface Conversation {
  id: Id;
  kind: ConversationKind;
  title: string | null;
  createdAt: string;
  archivedAt: string | null;
  memberCount: number;
  countedAt: number; // the sequence at which the members were counted
  members: Member[]; // the first few, until it has been opened
  role: MemberRole | null; // the viewer's; null once out
  mutedUntil: string | null;
  canSend: { allowed: boolean; reason: string | null };
  cursor: string;
  lastMessage: Message | null;
  unread: number;
  deliveredSequence: number; // the viewer's own
  readSequence: number;
  /** What the viewer had read when it was opened, where the line is drawn; null when all. */
  newAfter: number | null;
  timeline: Timeline;
  outbox: Outgoing[];
  draft: string; // what was written and not sent before another one was opened
}

export type Connection = "connecting" | "online" | "reconnecting";

export interface State {
  viewer: User | null;
  connection: Connection;
  list: Loading;
  conversations: Readonly<Record<Id, Conversation>>;
  openId: Id | null;
  presence: Readonly<Record<Id, Presence>>;
  typing: Typing | null; // in the open conversation
  /** What to tell the people at the screen, and, in words only heard, what has just come. */
  notice: string | null;
  heard: string;
}

export const EMPTY_TIMELINE: Timeline = {
  loading: "none",
  messages: [],
  hasOlder: false,
  before: null,
  older: "none",
  meanwhile: null,
};

export const NOTHING: State = {
  viewer: null,
  connection: "connecting",
  list: "none",
  conversations: {},
  openId: null,
  presence: {},
  typing: null,
  notice: null,
  heard: "",
};
