/** What people can do, and what goes on by itself while somebody is signed in. Knows nothing of what is on screen. */
import { Client } from "../api/client";
import { messageOf } from "../api/errors";
import {
  ADD_MEMBERS,
  ADD_REACTION,
  CREATE,
  DELETE,
  EDIT,
  LEAVE,
  LOGIN,
  MUTE,
  PEOPLE,
  REGISTER,
  REMOVE_MEMBER,
  REMOVE_REACTION,
  RESET,
  SET_ROLE,
  type Mutation,
} from "../api/operations";
import type { Id, MemberRole, Message, User } from "../api/types";
import { messageIn } from "../state/select";
import { Store } from "../state/store";
import { Inbox } from "./inbox";
import { newId } from "./ids";
import { Marks } from "./marks";
import { Outbox } from "./outbox";
import { Presences } from "./presences";
import { Typists } from "./typists";

const DEVICE = "Web client";
const FOREVER = "2100-01-01T00:00:00.000Z";

export class Messenger {
  readonly store = new Store();
  readonly outbox: Outbox;
  readonly marks: Marks;
  readonly typists: Typists;
  private readonly client: Client;
  private readonly inbox: Inbox;
  private readonly presences: Presences;

  constructor() {
    this.client = new Client(
      {
        connected: () => this.connected(),
        lost: () => this.store.dispatch({ type: "connection", connection: "reconnecting" }),
        signedOut: () => this.leave("You have been signed out."),
      },
      { resync: ({ conversationId }) => this.inbox.readAgain(conversationId) },
    );
    this.marks = new Marks(this.client, this.store);
    this.inbox = new Inbox(this.client, this.store, this.marks);
    this.outbox = new Outbox(this.client, this.store);
    this.presences = new Presences(this.client, this.store);
    this.typists = new Typists(this.client, this.store);
    const { user } = this.client.session;
    if (user) this.enter(user);
  }

  // ------------------------------------------------------------ people

  async signIn(handle: string, password: string): Promise<void> {
    await this.client.begin(LOGIN, { handle, password, device: DEVICE });
    this.enter(this.client.session.user!);
  }

  async signUp(handle: string, password: string, displayName: string): Promise<void> {
    await this.client.begin(REGISTER, { handle, password, device: DEVICE, ...(displayName && { displayName }) });
    this.enter(this.client.session.user!);
  }

  /** Set another password by the token of a reset link, which ends all sessions and begins one here. */
  async resetPassword(token: string, newPassword: string): Promise<void> {
    await this.client.begin(RESET, { token, newPassword, device: DEVICE });
    this.enter(this.client.session.user!);
  }

  async signOut(): Promise<void> {
    this.leave();
    await this.client.end();
  }

  /** Return people whose handle begins like this. */
  async find(search: string): Promise<User[]> {
    if (search.length < 2) return []; // shorter ones are refused
    const { users } = await this.client.ask(PEOPLE, { search });
    return users.nodes.filter(({ id }) => id !== this.store.state().viewer?.id);
  }

  // ------------------------------------------------------------ conversations

  async reload(): Promise<void> {
    await this.inbox.open();
  }

  open(id: Id | null): void {
    this.store.dispatch({ type: "opened", id });
    this.typists.watch(id);
    if (id && this.store.state().conversations[id]?.timeline.loading !== "ready") void this.inbox.read(id);
  }

  /** Keep what was written and not sent, for as long as this page lives. */
  keepDraft(id: Id, draft: string): void {
    this.store.dispatch({ type: "draft", id, draft });
  }

  /** Read older messages until one is here; return whether it is. */
  async reach(id: Id, messageId: Id): Promise<boolean> {
    for (;;) {
      const timeline = this.store.state().conversations[id]?.timeline;
      if (timeline?.messages.some((message) => message.id === messageId)) return true;
      if (!timeline?.hasOlder || timeline.before === null) return false;
      await this.inbox.readOlder(id);
      if (this.store.state().conversations[id]?.timeline.older === "failed") return false;
    }
  }

  readonly readOlder = (id: Id): Promise<void> => this.inbox.readOlder(id);

  /** Begin a conversation and open it. Trying again with the same `clientConversationId` makes no second one. */
  async converse(people: User[], title: string, clientConversationId: string): Promise<void> {
    const isDirect = people.length === 1 && !title;
    const { conversation } = await this.client.change(CREATE, {
      kind: isDirect ? "DIRECT" : "GROUP",
      ...(title && { title }),
      memberIds: people.map(({ id }) => id),
      clientConversationId,
    });
    await this.inbox.summarise(conversation!.id);
    this.open(conversation!.id);
  }

  async leaveConversation(conversationId: Id): Promise<void> {
    if (await this.try(LEAVE, { conversationId })) this.store.dispatch({ type: "left", id: conversationId });
  }

  async addMember(conversationId: Id, user: User): Promise<void> {
    await this.client.change(ADD_MEMBERS, { conversationId, userIds: [user.id] });
  }

  async removeMember(conversationId: Id, userId: Id): Promise<void> {
    await this.try(REMOVE_MEMBER, { conversationId, userId });
  }

  async setRole(conversationId: Id, userId: Id, role: MemberRole): Promise<void> {
    await this.try(SET_ROLE, { conversationId, userId, role });
  }

  async mute(conversationId: Id, isMuted: boolean): Promise<void> {
    const until = isMuted ? FOREVER : null;
    if (await this.try(MUTE, { conversationId, until }))
      this.store.dispatch({ type: "muted", id: conversationId, until });
  }

  // ------------------------------------------------------------ messages

  /** Give a message another body; whoever has changed it meanwhile wins. */
  async edit(edited: Message, body: string): Promise<void> {
    const input = { messageId: edited.id, body, expectedVersion: edited.version };
    await this.changeMessage(edited, () => this.client.change(EDIT, input));
  }

  async delete(message: Message): Promise<void> {
    await this.changeMessage(message, () => this.try(DELETE, { messageId: message.id }));
  }

  async react(message: Message, emoji: string, isAdded: boolean): Promise<void> {
    const mutation = isAdded ? ADD_REACTION : REMOVE_REACTION;
    await this.changeMessage(message, () => this.try(mutation, { messageId: message.id, emoji }));
  }

  readonly dismissNotice = (): void => this.store.dispatch({ type: "notice", notice: null });

  readonly newId = newId;

  // ------------------------------------------------------------ inside

  private enter(viewer: User): void {
    this.store.dispatch({ type: "signedIn", viewer });
    this.presences.start();
    this.marks.start();
    void this.inbox.open();
  }

  private leave(notice?: string): void {
    this.inbox.close();
    this.presences.stop();
    this.marks.stop();
    this.typists.stop();
    this.outbox.stop();
    this.store.dispatch({ type: "signedOut", ...(notice && { notice }) });
  }

  private connected(): void {
    const isAgain = this.store.state().connection === "reconnecting";
    this.store.dispatch({ type: "connection", connection: "online" });
    if (!isAgain) return;
    this.outbox.resume();
    this.marks.resume();
    void this.inbox.reconcile();
  }

  /** Change a message and show what the API answers, unless updates have told something newer meanwhile. */
  private async changeMessage(
    changed: Message,
    change: () => Promise<{ message: Message | null } | null>,
  ): Promise<void> {
    const before = messageIn(this.store.state(), changed);
    const payload = await change();
    if (payload?.message) this.store.dispatch({ type: "message", message: payload.message, before });
  }

  /** Change something; where that fails, say why at the foot of the page. */
  private async try<Payload, Input>(mutation: Mutation<Payload, Input>, input: Input): Promise<Payload | null> {
    try {
      return await this.client.change(mutation, input);
    } catch (error) {
      this.store.dispatch({ type: "notice", notice: messageOf(error) });
      return null;
    }
  }
}
