/** Tells the API what has arrived here and what has been read, at most once a second for a conversation. */
import type { Client } from "../api/client";
import { MARK_DELIVERED, MARK_READ, type Marked, type Mutation } from "../api/operations";
import type { Id } from "../api/types";
import type { Conversation } from "../state/state";
import type { Store } from "../state/store";

const PAUSE_MS = 1_000;

type Mark = Mutation<Marked, { conversationId: Id; upToSequence: number }>;

export class Marks {
  private readonly seen = new Map<Id, number>(); // the newest sequence that was on screen
  private readonly waiting = new Map<Id, ReturnType<typeof setTimeout>>();
  private readonly lastAt = new Map<Id, number>();
  private isRunning = false;

  constructor(
    private readonly client: Client,
    private readonly store: Store,
  ) {}

  start(): void {
    this.isRunning = true;
  }

  stop(): void {
    this.isRunning = false;
    for (const timer of this.waiting.values()) clearTimeout(timer);
    this.waiting.clear();
    this.seen.clear();
  }

  /** What could not be told during an absence is told now. */
  resume(): void {
    this.arrivedAll();
  }

  /** Messages of others have come. */
  arrived(id: Id): void {
    this.schedule(id);
  }

  arrivedAll(): void {
    for (const id of Object.keys(this.store.state().conversations)) this.schedule(id);
  }

  /** Somebody looks at a message. */
  saw(id: Id, sequence: number): void {
    if (sequence <= (this.seen.get(id) ?? 0)) return;
    this.seen.set(id, sequence);
    this.schedule(id);
  }

  private schedule(id: Id): void {
    const conversation = this.store.state().conversations[id];
    if (!this.isRunning || !conversation || this.waiting.has(id) || !this.due(conversation)) return;
    const wait = Math.max(0, (this.lastAt.get(id) ?? 0) + PAUSE_MS - Date.now());
    this.waiting.set(
      id,
      setTimeout(() => void this.mark(id), wait),
    );
  }

  /** What is to be told: reading implies delivery, so it comes first. */
  private due(conversation: Conversation): [Mark, number] | null {
    const read = this.seen.get(conversation.id) ?? 0;
    if (read > conversation.readSequence) return [MARK_READ, read];
    const last = conversation.lastMessage?.sequence ?? 0;
    return last > conversation.deliveredSequence ? [MARK_DELIVERED, last] : null;
  }

  private async mark(id: Id): Promise<void> {
    this.lastAt.set(id, Date.now());
    const conversation = this.store.state().conversations[id];
    const due = conversation && this.due(conversation);
    let isTold = false;
    try {
      if (due) {
        const [mutation, upToSequence] = due;
        const { member, viewerUnreadCount } = await this.client.change(mutation, { conversationId: id, upToSequence });
        isTold = true;
        if (member) {
          const { deliveredSequence, readSequence } = member;
          this.store.dispatch({ type: "marked", id, deliveredSequence, readSequence, unread: viewerUnreadCount });
        }
      }
    } catch {
      // The next message, or the next connection, tells of it as well.
    } finally {
      this.waiting.delete(id);
    }
    if (isTold) this.schedule(id);
  }
}
