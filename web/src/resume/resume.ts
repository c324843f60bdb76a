/**
 * Lets subscriptions to `inboxUpdates` and `conversationUpdates` go on after a lost connection exactly where they were.
 * It wraps a graphql-ws client, knows nothing of what shows the updates, and never asks the API anything itself.
 */
import type { Client, FormattedExecutionResult as Result, Sink, SubscribePayload } from "graphql-ws";

/** What every update must be asked for; a `ReceiptMoved` has no place in the log, so it has neither of the last two. */
export interface Update {
  __typename: string;
  conversationId: string;
  sequence?: number;
  cursor?: string;
}

export interface ResumeOptions {
  /**
   * The past up to `cursor` cannot be replayed: read this conversation again. Its later entries wait until that is
   * done; if it fails, the subscription ends with the error.
   */
  resync: (notice: Update & { cursor: string }) => Promise<void> | void;
  /** Where positions outlive the page, together with what the application keeps of the entries up to them. */
  storage?: Pick<Storage, "getItem" | "setItem">;
}

type Placed = Update & { sequence: number; cursor: string };
type Payload = SubscribePayload & { variables?: Record<string, unknown> | null };

const INBOX_CURSORS = 500; // that the API takes at once
const HELD_UPDATES = 1000; // of one conversation while it is read again

/** Return a client that resumes; other operations pass through it as they are. */
export function resuming(client: Client, options: ResumeOptions): Client {
  return {
    ...client,
    subscribe<Data, Extensions>(payload: Payload, sink: Sink<Result<Data, Extensions>>) {
      const field = /\b(inboxUpdates|conversationUpdates)\b/.exec(payload.query)?.[1];
      if (!field) return client.subscribe<Data, Extensions>(payload, sink);
      return new Subscription(payload, sink as Sink<Result>, options, field === "inboxUpdates").start(client);
    },
    iterate: () => Promise.reject(new Error("A resuming client has `subscribe` only.")) as never,
  };
}

class Subscription {
  private readonly positions: Map<string, { sequence: number; cursor: string }>; // the last moved is the last
  private readonly held = new Map<string, Result[]>(); // of conversations that are being read again
  private named = new Set<string>(); // conversations whose cursor the server was given last
  private readonly first: string | undefined;
  private readonly key: string;
  private isOver = false; // nobody wants more
  private isFinished = false; // and the sink knows
  private stop = (): void => {};

  constructor(
    private readonly payload: Payload,
    private readonly sink: Sink<Result>,
    private readonly options: ResumeOptions,
    private readonly isInbox: boolean,
  ) {
    const { after, ...rest } = payload.variables ?? {};
    // Cursors are opaque: which one an update takes the place of is to be known before that update comes.
    if (isInbox && Array.isArray(after)) throw new TypeError("Give `after` as {conversation id: cursor}.");
    this.key = `parley ${isInbox ? "inbox" : "conversation"} ${JSON.stringify(rest)}`;
    this.positions = new Map(JSON.parse(options.storage?.getItem(this.key) ?? "[]"));
    if (!isInbox) this.first = (after as string | null | undefined) ?? undefined;
    if (this.first) this.positions.clear(); // what is given is newer than what was stored
    if (isInbox)
      for (const [id, cursor] of Object.entries(after ?? {})) this.positions.set(id, { sequence: 0, cursor });
  }

  start(client: Client): () => void {
    const subscription = this;
    // The client turns its variables into JSON whenever it connects.
    const variables = {
      ...this.payload.variables,
      get after() {
        return subscription.after();
      },
    };
    const stop = client.subscribe({ ...this.payload, variables } as SubscribePayload, {
      next: (result) => this.next(result as Result),
      error: (error) => this.finish(() => this.sink.error(error)),
      complete: () => this.finish(() => this.sink.complete()),
    });
    return (this.stop = () => {
      this.isOver = true;
      stop();
    });
  }

  private after(): string[] | string | undefined {
    const newest = [...this.positions].slice(this.isInbox ? -INBOX_CURSORS : -1);
    this.named = new Set(newest.map(([id]) => id));
    const cursors = newest.map(([, { cursor }]) => cursor);
    return this.isInbox ? cursors : (cursors[0] ?? this.first);
  }

  private next(result: Result): void {
    const update = Object.values(result.data ?? {})[0] as Update | null | undefined;
    if (this.isOver) return;
    if (!update || update.__typename === "ReceiptMoved") return this.sink.next(result);
    if (!isPlaced(update)) throw new TypeError("Ask for conversationId, sequence and cursor of every update.");
    const { conversationId: id, __typename: type, sequence, cursor } = update as Placed;
    const held = this.held.get(id);
    // When that many are held, they are read as well, up to this one.
    if (held?.length === HELD_UPDATES)
      held.splice(0, HELD_UPDATES, { data: { update: { ...update, __typename: "ResyncRequired" } } });
    else held?.push(result);
    if (held) return;
    const last = this.positions.get(id);
    // It goes on from now although something is known of before: there was no room to name it.
    const isCut = type === "CaughtUp" && last && !this.named.has(id) && last.sequence !== sequence;
    if (type === "ResyncRequired" || isCut) return void this.readAgain(update as Placed);
    if (last && sequence <= last.sequence && type !== "CaughtUp") return; // sent again
    this.sink.next(result);
    this.moveTo(id, sequence, cursor);
  }

  private async readAgain(notice: Placed): Promise<void> {
    const held: Result[] = [];
    this.held.set(notice.conversationId, held);
    try {
      await this.options.resync(notice);
      if (this.isOver) return;
      this.held.delete(notice.conversationId);
      // Only now: whoever reconnects or comes back in between is told again.
      this.moveTo(notice.conversationId, notice.sequence ?? 0, notice.cursor);
      for (const result of held) this.next(result); // one that begins another reading holds those after it
    } catch (error) {
      this.finish(() => this.sink.error(error));
      this.stop();
    }
  }

  private moveTo(id: string, sequence: number, cursor: string): void {
    this.positions.delete(id);
    this.positions.set(id, { sequence, cursor });
    this.options.storage?.setItem(this.key, JSON.stringify([...this.positions]));
  }

  private finish(tell: () => void): void {
    if (!this.isFinished) tell();
    this.isFinished = this.isOver = true;
  }
}

function isPlaced({ __typename, conversationId, cursor, sequence }: Update): boolean {
  return Boolean(conversationId && cursor && (__typename === "ResyncRequired" || sequence !== undefined));
}
