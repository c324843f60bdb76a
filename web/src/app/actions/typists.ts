/** Follows who types in the open conversation, and tells that the viewer does. */
import type { Client } from "../api/client";
import { SET_TYPING, TYPING } from "../api/operations";
import type { Id, Typing } from "../api/types";
import type { Store } from "../state/store";

const RENEW_MS = 3_000; // the API forgets after six seconds
const LONGEST_MS = 10_000; // that is believed of an `expiresAt` by another clock

export class Typists {
  private stopFollowing: () => void = () => {};
  private forgetting: ReturnType<typeof setTimeout> | undefined;
  private told: { id: Id; at: number } | null = null;

  constructor(
    private readonly client: Client,
    private readonly store: Store,
  ) {}

  /** Follow one conversation in place of the one before. */
  watch(conversationId: Id | null): void {
    this.stop();
    if (!conversationId) return;
    this.stopFollowing = this.client.follow(TYPING, { conversationId }, ({ typing }) => this.take(typing));
  }

  stop(): void {
    this.stopFollowing();
    clearTimeout(this.forgetting);
    this.stopFollowing = () => {};
  }

  /** The viewer has typed, or has emptied the box. */
  typed(conversationId: Id, isTyping: boolean): void {
    const isTold = this.told?.id === conversationId && Date.now() - this.told.at < RENEW_MS;
    if (isTyping ? isTold : this.told?.id !== conversationId) return;
    this.told = isTyping ? { id: conversationId, at: Date.now() } : null;
    this.client.whisper(SET_TYPING, { conversationId, typing: isTyping });
  }

  /** The viewer's message has been sent, which ends the typing of it everywhere. */
  sent(): void {
    this.told = null;
  }

  private take(typing: Typing): void {
    clearTimeout(this.forgetting);
    this.store.dispatch({ type: "typing", typing: typing.users.length > 0 ? typing : null });
    const left = Math.min(LONGEST_MS, Math.max(0, Date.parse(typing.expiresAt) - Date.now()));
    this.forgetting = setTimeout(() => this.store.dispatch({ type: "typing", typing: null }), left + 1_000);
  }
}
