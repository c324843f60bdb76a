/** How what the messenger knows changes. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { Member, Message, Opened, Summary, Update, User } from "../src/app/api/types";
import { reduce, type Event } from "../src/app/state/reduce";
import { inbox, nameOf, statusOf } from "../src/app/state/select";
import { NOTHING, type State } from "../src/app/state/state";

const user = (id: string): User => ({ id, handle: id, displayName: id.toUpperCase() });
const time = (sequence: number) => new Date(Date.UTC(2030, 0, 1) + sequence * 1_000).toISOString();
const member = (id: string, more: Partial<Member> = {}): Member => ({
  user: user(id),
  role: "MEMBER",
  joinedAt: time(1),
  deliveredSequence: 1,
  readSequence: 1,
  ...more,
});
const message = (sequence: number, sender = "bob", more: Partial<Message> = {}): Message => ({
  id: `m${sequence}`,
  conversationId: "room",
  sequence,
  sender: user(sender),
  body: `body ${sequence}`,
  clientMessageId: `c${sequence}`,
  replyTo: null,
  attachments: [],
  reactions: [],
  version: 1,
  createdAt: time(sequence),
  editedAt: null,
  deletedAt: null,
  pinnedAt: null,
  status: "SENT",
  ...more,
});
const page = <Node>(nodes: Node[], startCursor: string | null = null) => ({
  nodes,
  pageInfo: { hasNextPage: false, hasPreviousPage: startCursor !== null, startCursor, endCursor: null },
});
const summary = (more: Partial<Summary> = {}): Summary => ({
  id: "room",
  kind: "GROUP",
  title: "Room",
  createdAt: time(1),
  archivedAt: null,
  memberCount: 2,
  lastSequence: 3,
  cursor: "cursor 3",
  lastMessage: message(3),
  viewerUnreadCount: 1,
  viewerMembership: { ...member("ann", { role: "OWNER", deliveredSequence: 3, readSequence: 2 }), mutedUntil: null },
  viewerCanSend: { allowed: true, reason: null },
  members: page([member("ann"), member("bob")]),
  ...more,
});
const read = (messages: Message[], before: string | null = null): Opened => ({
  ...summary({ lastMessage: messages.at(-1) ?? null }),
  messages: page(messages, before),
});

type Kind<Name> = Extract<Update, { __typename: Name }>;
const entry = (sequence: number, actor = "bob") => ({
  conversationId: "room",
  sequence,
  cursor: `cursor ${sequence}`,
  at: time(sequence),
  actor: user(actor),
});
const sent = (one: Message): Event => ({
  type: "update",
  update: { __typename: "MessageSent", ...entry(one.sequence, one.sender.id), message: one },
});
const told = (update: Kind<Update["__typename"]>): Event => ({ type: "update", update });

function after(...events: Event[]): State {
  const begun: Event[] = [
    { type: "signedIn", viewer: user("ann") },
    { type: "summary", summary: summary() },
  ];
  return [...begun, ...events].reduce(reduce, NOTHING);
}
const room = (state: State) => state.conversations["room"]!;
const sequences = (state: State) => room(state).timeline.messages.map(({ sequence }) => sequence);

test("a message counts as unread once, and the viewer's own never", () => {
  const state = after(sent(message(4)), sent(message(4)), sent(message(5, "ann")));

  assert.equal(room(state).unread, 2); // with the one from before
  assert.equal(room(state).lastMessage?.sequence, 5);
});

const seen = told({
  __typename: "ReceiptMoved",
  conversationId: "room",
  userId: "ann",
  deliveredSequence: 3,
  readSequence: 3,
});

test("what has been read on another device is not unread here", () => {
  assert.equal(room(after(seen)).unread, 0);
});

test("an answer from before another device read on does not make it unread again", () => {
  const marked: Event = { type: "marked", id: "room", deliveredSequence: 3, readSequence: 2, unread: 1 };

  assert.equal(room(after(marked)).unread, 1);
  assert.equal(room(after(seen, marked)).unread, 0);
  assert.equal(room(after(seen, { type: "summary", summary: summary() })).unread, 0);
});

test("what happens while a page is being read is applied to that page", () => {
  const edited = message(2, "bob", { body: "better", version: 2, editedAt: time(5) });
  const state = after(
    { type: "reading", id: "room" },
    sent(message(4)),
    told({ __typename: "MessageEdited", ...entry(5), message: edited }),
    { type: "read", conversation: read([message(2), message(3)]) },
  );

  assert.deepEqual(sequences(state), [2, 3, 4]);
  assert.equal(room(state).timeline.messages[0]!.body, "better");
});

test("older messages go before those that are here, with what happened to them meanwhile", () => {
  const state = after(
    { type: "reading", id: "room" },
    { type: "read", conversation: read([message(8), message(9)], "before 8") },
    { type: "readingOlder", id: "room" },
    told({ __typename: "ReactionAdded", ...entry(10), messageId: "m7", emoji: "👍" }),
    { type: "readOlder", id: "room", page: page([message(6), message(7)]) },
  );

  assert.deepEqual(sequences(state), [6, 7, 8, 9]);
  assert.equal(room(state).timeline.messages[1]!.reactions[0]!.count, 1);
  assert.equal(room(state).timeline.hasOlder, false);
});

test("reading again takes the place of what was here, and an older summary takes nothing back", () => {
  const state = after(
    { type: "reading", id: "room" },
    { type: "read", conversation: read([message(2), message(3)]) },
    sent(message(4)),
    { type: "summary", summary: summary() },
    { type: "reading", id: "room" },
    { type: "read", conversation: read([message(8), message(9)], "before 8") },
  );

  assert.deepEqual(sequences(state), [8, 9]);
  assert.equal(room(state).lastMessage?.sequence, 9);
});

for (const first of ["answer", "update"] as const) {
  test(`a message on its way is replaced by the stored one when the ${first} comes first`, () => {
    const outgoing = { clientMessageId: "c4", body: "body 4", replyTo: null, createdAt: time(4), problem: null };
    const stored = message(4, "ann");
    const both: Event[] = [{ type: "message", message: stored, before: undefined }, sent(stored)];
    const state = after(
      { type: "reading", id: "room" },
      { type: "read", conversation: read([message(3)]) },
      { type: "outgoing", id: "room", outgoing },
      { type: "outgoing", id: "room", outgoing: { ...outgoing, problem: "Not sent yet." } },
      ...(first === "answer" ? both : both.reverse()),
    );

    assert.deepEqual(room(state).outbox, []);
    assert.deepEqual(sequences(state), [3, 4]);
  });
}

test("an answer that comes late takes nothing back of what updates have told meanwhile", () => {
  const begun: Event[] = [
    { type: "reading", id: "room" },
    { type: "read", conversation: read([message(3)]) },
  ];
  const liked = told({ __typename: "ReactionAdded", ...entry(5), messageId: "m4", emoji: "👍" });
  const stored = message(4, "ann");
  const late = after(...begun, sent(stored), liked, { type: "message", message: stored, before: undefined });
  assert.equal(room(late).timeline.messages[1]!.reactions[0]!.count, 1);

  const edited = { ...stored, body: "edited", version: 2 };
  const sentOnly = after(...begun, sent(stored));
  const before = room(sentOnly).timeline.messages[1];
  const answer: Event = { type: "message", message: edited, before };
  assert.equal(room(reduce(sentOnly, answer)).timeline.messages[1]!.body, "edited");
  const deleted = reduce(sentOnly, told({ __typename: "MessageDeleted", ...entry(5), messageId: "m4" }));
  assert.equal(room(reduce(deleted, answer)).timeline.messages[1]!.body, null);
});

test("an old message that was changed leaves no hole in what is here", () => {
  const state = after(
    { type: "reading", id: "room" },
    { type: "read", conversation: read([message(8), message(9)], "before 8") },
    { type: "message", message: message(2, "ann"), before: undefined },
  );

  assert.deepEqual(sequences(state), [8, 9]);
});

test("a reaction counts once for a person and emoji, and goes with the last", () => {
  const react = (__typename: "ReactionAdded" | "ReactionRemoved", sequence: number) =>
    told({ __typename, ...entry(sequence), messageId: "m3", emoji: "🎉" });
  const begun: Event[] = [
    { type: "reading", id: "room" },
    { type: "read", conversation: read([message(3)]) },
  ];
  const added = after(...begun, react("ReactionAdded", 4), react("ReactionAdded", 4));
  const removed = [react("ReactionRemoved", 5)].reduce(reduce, added);

  assert.deepEqual(room(added).timeline.messages[0]!.reactions, [{ emoji: "🎉", count: 1, users: [user("bob")] }]);
  assert.deepEqual(room(removed).timeline.messages[0]!.reactions, []);
});

test("a deleted message is blank wherever it is shown, also where it is quoted", () => {
  const quotation = { id: "m3", body: "body 3", sender: user("bob") };
  const state = after(
    { type: "reading", id: "room" },
    { type: "read", conversation: read([message(3), message(4, "ann", { replyTo: quotation })]) },
    told({ __typename: "MessageDeleted", ...entry(5), messageId: "m3" }),
  );

  const [deleted, quoting] = room(state).timeline.messages;
  assert.equal(deleted!.body, null);
  assert.equal(quoting!.replyTo!.body, null);
});

test("an edit that comes late does not undo a newer one", () => {
  const newer = message(3, "bob", { body: "third", version: 3, editedAt: time(6) });
  const state = after(
    { type: "reading", id: "room" },
    { type: "read", conversation: read([newer]) },
    told({ __typename: "MessageEdited", ...entry(5), message: { ...newer, body: "second", version: 2 } }),
  );

  assert.equal(room(state).timeline.messages[0]!.body, "third");
});

test("ticks follow the member who is furthest behind, and nobody who came later", () => {
  const members = [
    member("ann"),
    member("bob", { deliveredSequence: 5, readSequence: 5 }),
    member("eve", { deliveredSequence: 5, readSequence: 2 }),
    member("late", { joinedAt: time(9) }),
  ];
  const own = message(4, "ann");
  const conversation = { ...room(after()), members, memberCount: 4 };
  assert.equal(statusOf(own, conversation, "ann"), "DELIVERED");

  const read = members.map((one) => (one.user.id === "eve" ? { ...one, readSequence: 4 } : one));
  assert.equal(statusOf(own, { ...conversation, members: read }, "ann"), "READ");
});

test("members are counted once, also when an entry comes again after they were counted", () => {
  const added = (sequence: number) =>
    told({ __typename: "MemberAdded", ...entry(sequence), member: member(`new${sequence}`) });
  const state = after(added(3), added(4));

  assert.equal(room(state).memberCount, 3); // the summary was of sequence 3
});

test("the list begins with the conversation where something happened last", () => {
  const quiet = summary({ id: "quiet", title: "Quiet", lastMessage: null });
  const state = after({ type: "summary", summary: quiet }, sent(message(4)));

  assert.deepEqual(
    inbox(state).map(({ id }) => id),
    ["room", "quiet"],
  );
});

test("a group without a title is called by its people", () => {
  const group = { ...room(after()), title: null, memberCount: 5 };

  assert.equal(nameOf(group, "ann"), "BOB and 3 more");
});

test("signing out forgets everything", () => {
  assert.deepEqual(after(sent(message(4)), { type: "signedOut" }), NOTHING);
});
