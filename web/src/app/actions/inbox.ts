/** Reads conversations, and follows all of them by one subscription from where each was read. */
import type { Client } from "../api/client";
import { CONVERSATIONS, INBOX, OLDER, OPEN, SUMMARY_OF } from "../api/operations";
import type { Id, Page, Summary, Update } from "../api/types";
import { isBehind } from "../state/reduce";
import type { Store } from "../state/store";
import { again, pause } from "./again";
import type { Marks } from "./marks";

const PAUSE_MS = 1_000;
const MOST_PAGES = 10; // of 50: as many as one subscription takes cursors for

export class Inbox {
  private stopFollowing: () => void = () => {};
  private stopping = new AbortController();
  private readonly joining = new Map<Id, Update[]>();
  private readonly turns = new Map<Id, Promise<void>>(); // of the pages of a conversation, the last one that was asked for
  private readonly older = new Map<Id, Promise<void>>(); // pages of older messages that are asked for

  constructor(
    private readonly client: Client,
    private readonly store: Store,
    private readonly marks: Marks,
  ) {}

  /** Read the list, then follow it from there: nothing falls in between. */
  async open(): Promise<void> {
    this.close();
    const { signal } = (this.stopping = new AbortController());
    this.store.dispatch({ type: "list", list: "loading" });
    try {
      const summaries = await this.summaries();
      if (signal.aborted) return;
      for (const summary of summaries) this.store.dispatch({ type: "summary", summary });
      this.store.dispatch({ type: "list", list: "ready" });
      this.follow(summaries);
      this.marks.arrivedAll();
    } catch {
      if (!signal.aborted) this.store.dispatch({ type: "list", list: "failed" });
    }
  }

  close(): void {
    this.stopping.abort();
    this.stopFollowing();
    this.stopFollowing = () => {};
    this.turns.clear();
  }

  /** After an absence: what no update tells of is read, as that the viewer was removed meanwhile. */
  async reconcile(): Promise<void> {
    const { signal } = this.stopping;
    const summaries = await again(() => this.summaries(), signal).catch(() => undefined);
    if (!summaries) return;
    const ids = new Set(summaries.map(({ id }) => id));
    const missing = Object.keys(this.store.state().conversations).filter((id) => !ids.has(id));
    for (const summary of summaries) this.store.dispatch({ type: "summary", summary });
    // One that moved up between two pages is on neither of them.
    for (const id of missing) await again(() => this.summarise(id), signal).catch(() => undefined);
    this.marks.arrivedAll();
  }

  async summarise(id: Id): Promise<void> {
    const ask = async () => (await this.client.ask(SUMMARY_OF, { id })).conversation;
    let conversation = await ask();
    const before = this.store.state().conversations[id];
    // Another device has read on meanwhile, so what was counted is of no use.
    if (before && conversation && isBehind(conversation.viewerMembership, before)) conversation = await ask();
    if (conversation) this.store.dispatch({ type: "summary", summary: conversation });
    else this.store.dispatch({ type: "left", id });
  }

  /** Read a conversation's newest messages. */
  read(id: Id): Promise<void> {
    return this.inTurn(id, async () => {
      if (this.store.state().conversations[id]?.timeline.loading === "ready") return; // asked for twice
      this.store.dispatch({ type: "reading", id });
      try {
        const { conversation } = await this.client.ask(OPEN, { id });
        if (conversation) this.store.dispatch({ type: "read", conversation });
        else this.store.dispatch({ type: "left", id });
      } catch {
        this.store.dispatch({ type: "readFailed", id });
      }
    });
  }

  /** Read the page before the oldest message; whoever asks meanwhile waits for the same page. */
  readOlder(id: Id): Promise<void> {
    const asked = this.older.get(id);
    if (asked) return asked;
    const reading = this.inTurn(id, async () => {
      const timeline = this.store.state().conversations[id]?.timeline;
      if (!timeline?.before || !timeline.hasOlder) return;
      this.store.dispatch({ type: "readingOlder", id });
      try {
        const { conversation } = await this.client.ask(OLDER, { id, before: timeline.before });
        if (conversation) this.store.dispatch({ type: "readOlder", id, page: conversation.messages });
        else this.store.dispatch({ type: "left", id });
      } catch {
        this.store.dispatch({ type: "readOlderFailed", id });
      }
    }).finally(() => this.older.delete(id));
    this.older.set(id, reading);
    return reading;
  }

  /** After a gap: what is here is read again until that succeeds. */
  readAgain(id: Id): Promise<void> {
    return this.inTurn(id, async () => {
      const isRead = this.store.state().conversations[id]?.timeline.loading !== "none";
      if (isRead) this.store.dispatch({ type: "reading", id });
      await again(async () => {
        if (!isRead) return this.summarise(id);
        const { conversation } = await this.client.ask(OPEN, { id });
        if (conversation) this.store.dispatch({ type: "read", conversation });
      }, this.stopping.signal);
    });
  }

  /** Pages of one conversation are read one after the other: each fits what is here when its turn comes. */
  private inTurn(id: Id, read: () => Promise<void>): Promise<void> {
    const turn = (this.turns.get(id) ?? Promise.resolve()).then(read);
    this.turns.set(
      id,
      turn.catch(() => {}),
    );
    return turn;
  }

  private async summaries(): Promise<Summary[]> {
    const summaries: Summary[] = [];
    let after: string | null = null;
    for (let page = 0; page < MOST_PAGES; page++) {
      const answer: { viewer: { conversations: Page<Summary> } } = await this.client.ask(CONVERSATIONS, { after });
      const { nodes, pageInfo } = answer.viewer.conversations;
      summaries.push(...nodes);
      if (!pageInfo.hasNextPage) break;
      after = pageInfo.endCursor;
    }
    return summaries;
  }

  private follow(summaries: Summary[]): void {
    const after = Object.fromEntries(summaries.map(({ id, cursor }) => [id, cursor]));
    this.stopFollowing = this.client.follow(
      INBOX,
      { after },
      ({ inboxUpdates }) => this.take(inboxUpdates),
      (error) => {
        // It ends by an error only: everything is read anew.
        const { signal } = this.stopping;
        if (error.isRetryable) void pause(PAUSE_MS, signal).then(() => (signal.aborted ? undefined : this.open()));
        else this.store.dispatch({ type: "list", list: "failed" });
      },
    );
  }

  private take(update: Update): void {
    const { viewer, conversations } = this.store.state();
    const id = update.conversationId;
    const isOut = update.__typename === "MemberRemoved" && update.userId === viewer?.id;
    if (isOut) return this.store.dispatch({ type: "left", id });
    if (!conversations[id]) return void this.join(update);
    this.store.dispatch({ type: "update", update });
    if (update.__typename === "MessageSent" && update.message.sender.id !== viewer?.id) this.marks.arrived(id);
    if (isForTheApi(update, viewer?.id, this.store.state().conversations[id]!.unread))
      void this.summarise(id).catch(() => {});
  }

  /** Read a conversation that the viewer has come into, then apply what has happened there meanwhile. */
  private async join(first: Update): Promise<void> {
    const id = first.conversationId;
    const meanwhile = this.joining.get(id);
    if (meanwhile) return void meanwhile.push(first);
    const updates = [first];
    this.joining.set(id, updates);
    try {
      await again(() => this.summarise(id), this.stopping.signal);
    } catch {
      return; // out again
    } finally {
      this.joining.delete(id);
    }
    for (const update of updates) this.store.dispatch({ type: "update", update });
    this.marks.arrived(id);
  }
}

/** Whether only the API knows what follows: how many are unread after a place in the middle, who may write now. */
function isForTheApi(update: Update, viewerId: Id | undefined, unread: number): boolean {
  switch (update.__typename) {
    case "ReceiptMoved":
      return update.userId === viewerId && unread > 0;
    case "MemberRoleChanged":
      return update.member.user.id === viewerId;
    default:
      return update.__typename === "ConversationChanged";
  }
}
