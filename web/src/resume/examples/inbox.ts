/** What the examples ask for, and what they give back. */
import type { Update } from "../resume";

export interface Message {
  id: string;
  body: string | null;
  clientMessageId: string | null;
}
export type InboxUpdate = Update & { message?: Message };

export const INBOX = `
  subscription Inbox($after: [String!]) {
    inboxUpdates(after: $after) {
      __typename
      ... on ConversationEvent { conversationId sequence cursor }
      ... on MessageSent { message { id body clientMessageId } }
      ... on ReceiptMoved { conversationId userId deliveredSequence readSequence }
      ... on CaughtUp { conversationId sequence cursor }
      ... on ResyncRequired { conversationId reason cursor }
    }
  }`;

/** What an application brings along. */
export interface Inbox {
  url: string;
  /** A function, so that each connection has the newest token. */
  token: () => string;
  /** The `cursor` of each conversation that has been read, by its id. */
  after: Record<string, string>;
  show: (update: InboxUpdate) => void;
  readAgain: (conversationId: string) => Promise<void>;
}
