/** The operations of this client, by the names that the rest of it uses. */
import type { DocumentTypeDecoration } from "@graphql-typed-document-node/core";

import { InboxDocument, type InboxSubscription, type MarkReadMutation } from "./graphql";
import type { Id, UserError } from "./types";

export {
  AddMembersDocument as ADD_MEMBERS,
  AddReactionDocument as ADD_REACTION,
  ConversationsDocument as CONVERSATIONS,
  CreateConversationDocument as CREATE,
  DeleteMessageDocument as DELETE,
  EditMessageDocument as EDIT,
  LeaveConversationDocument as LEAVE,
  LoginDocument as LOGIN,
  LogoutDocument as LOGOUT,
  MarkDeliveredDocument as MARK_DELIVERED,
  MarkReadDocument as MARK_READ,
  MuteConversationDocument as MUTE,
  OlderDocument as OLDER,
  OpenDocument as OPEN,
  PeopleDocument as PEOPLE,
  PresenceDocument as PRESENCE,
  RefreshSessionDocument as REFRESH,
  RegisterDocument as REGISTER,
  RemoveMemberDocument as REMOVE_MEMBER,
  RemoveReactionDocument as REMOVE_REACTION,
  ResetPasswordDocument as RESET,
  SendMessageDocument as SEND,
  SetMemberRoleDocument as SET_ROLE,
  SetPresenceDocument as SET_PRESENCE,
  SetTypingDocument as SET_TYPING,
  SummaryDocument as SUMMARY_OF,
  TypingDocument as TYPING,
} from "./graphql";

/** The text of an operation, with the types of its variables and of what it answers. */
export type Operation<Data, Variables> = DocumentTypeDecoration<Data, Variables> & { toString: () => string };

/** A mutation takes one input and answers in one payload. */
export type Mutation<Payload, Input> = Operation<{ payload: Payload & { userErrors: UserError[] } }, { input: Input }>;

export type Marked = Omit<MarkReadMutation["payload"], "userErrors">;

/** `after` has a cursor for each conversation, of which `resume/` makes the list. */
export const INBOX: Operation<InboxSubscription, { after: Record<Id, string> }> = InboxDocument as never;
