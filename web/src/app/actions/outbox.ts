/** Sends messages: shown at once, in their order, tried until the API has taken or refused them, never stored twice. */
import type { Client } from "../api/client";
import { messageOf } from "../api/errors";
import { SEND } from "../api/operations";
import type { Id, Message, Quotation } from "../api/types";
import type { Outgoing } from "../state/state";
import type { Store } from "../state/store";
import { again, pause } from "./again";
import { newId } from "./ids";

const PATIENCE_MS = 60_000; // then people are asked whether to try on

export class Outbox {
  private readonly queues = new Map<Id, Promise<void>>(); // one message of a conversation after the other
  private stopping = new AbortController();

  constructor(
    private readonly client: Client,
    private readonly store: Store,
  ) {}

  send(conversationId: Id, body: string, replyTo: Message | null): void {
    const quotation: Quotation | null = replyTo && { id: replyTo.id, body: replyTo.body, sender: replyTo.sender };
    this.enqueue(conversationId, {
      clientMessageId: newId(),
      body,
      replyTo: quotation,
      createdAt: new Date().toISOString(),
      problem: null,
    });
  }

  /** Try again with the same id: if the first attempt was stored after all, that is the message. */
  retry(conversationId: Id, outgoing: Outgoing): void {
    this.enqueue(conversationId, { ...outgoing, problem: null });
  }

  drop(id: Id, { clientMessageId }: Outgoing): void {
    this.store.dispatch({ type: "dropped", id, clientMessageId });
  }

  /** The API is back: what was given up is tried again. */
  resume(): void {
    for (const { id, outbox } of Object.values(this.store.state().conversations)) {
      for (const outgoing of outbox) if (outgoing.problem) this.retry(id, outgoing);
    }
  }

  stop(): void {
    this.stopping.abort();
    this.stopping = new AbortController();
    this.queues.clear();
  }

  private enqueue(conversationId: Id, outgoing: Outgoing): void {
    this.store.dispatch({ type: "outgoing", id: conversationId, outgoing });
    const before = this.queues.get(conversationId) ?? Promise.resolve();
    this.queues.set(
      conversationId,
      before.then(() => this.deliver(conversationId, outgoing)),
    );
  }

  private async deliver(conversationId: Id, outgoing: Outgoing): Promise<void> {
    const { signal } = this.stopping;
    const { clientMessageId, body, replyTo } = outgoing;
    const input = { conversationId, body, clientMessageId, ...(replyTo && { replyToId: replyTo.id }) };
    const patience = new AbortController();
    const stop = () => patience.abort();
    signal.addEventListener("abort", stop);
    void pause(PATIENCE_MS, patience.signal).then(stop);
    try {
      const payload = await again(() => this.client.change(SEND, input), patience.signal);
      if (payload?.message) this.store.dispatch({ type: "message", message: payload.message, before: undefined });
      else if (!signal.aborted) this.fail(conversationId, outgoing, "Not sent yet.");
    } catch (error) {
      if (!signal.aborted) this.fail(conversationId, outgoing, messageOf(error));
    } finally {
      patience.abort();
      signal.removeEventListener("abort", stop);
    }
  }

  private fail(id: Id, outgoing: Outgoing, problem: string): void {
    this.store.dispatch({ type: "outgoing", id, outgoing: { ...outgoing, problem } });
  }
}
