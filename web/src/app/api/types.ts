/** What the operations of this client answer with: the generated types by the names that the rest of it uses. */
import type {
  AttachmentFragment,
  InboxSubscription,
  LoginMutation,
  MemberFragment,
  MessageFragment,
  OpenedFragment,
  PageInfoFragment,
  PresenceSubscription,
  QuotationFragment,
  ReactionFragment,
  RefusalFragment,
  SummaryFragment,
  TypingSubscription,
  UserFragment,
} from "./graphql";

export type { ConversationKind, DeliveryStatus, MemberRole, PresenceStatus } from "./graphql";

export type Id = string;
export type User = UserFragment;
export type Member = MemberFragment;
export type Quotation = QuotationFragment;
export type Attachment = AttachmentFragment; // a file that is somewhere else
export type Reaction = ReactionFragment;
export type Message = MessageFragment;
export type Summary = SummaryFragment; // a conversation as the list shows it
export type Opened = OpenedFragment; // and as it is opened
export type Update = InboxSubscription["inboxUpdates"];
export type Presence = PresenceSubscription["presence"];
export type Typing = TypingSubscription["typing"];
export type UserError = RefusalFragment;
export type Tokens = Omit<LoginMutation["payload"], "userErrors">;

export interface Page<Node> {
  nodes: Node[];
  pageInfo: PageInfoFragment;
}
