/** Follows who is there of those on screen, believes it no longer than it may, and tells when nobody looks here. */
import type { Client } from "../api/client";
import { PRESENCE, SET_PRESENCE } from "../api/operations";
import type { Id, Presence } from "../api/types";
import { onScreen } from "../state/select";
import type { Store } from "../state/store";

const SETTLE_MS = 300; // while a page of updates comes in
const AWAY_MS = 60_000; // a hidden page says so after this long

export class Presences {
  private followed = "";
  private stopFollowing: () => void = () => {};
  private stopListening: () => void = () => {};
  private settling: ReturnType<typeof setTimeout> | undefined;
  private hiding: ReturnType<typeof setTimeout> | undefined;
  private isAway = false;
  private readonly ends = new Map<Id, ReturnType<typeof setTimeout>>();

  constructor(
    private readonly client: Client,
    private readonly store: Store,
  ) {}

  start(): void {
    const unsubscribe = this.store.subscribe(() => this.changed());
    document.addEventListener("visibilitychange", this.looked);
    this.stopListening = () => {
      unsubscribe();
      document.removeEventListener("visibilitychange", this.looked);
    };
  }

  stop(): void {
    this.stopListening();
    this.stopFollowing();
    clearTimeout(this.settling);
    this.settling = undefined;
    clearTimeout(this.hiding);
    for (const timer of this.ends.values()) clearTimeout(timer);
    this.followed = "";
    this.stopFollowing = this.stopListening = () => {};
  }

  private changed(): void {
    this.settling ??= setTimeout(() => {
      this.settling = undefined;
      this.follow(onScreen(this.store.state()));
    }, SETTLE_MS);
  }

  private follow(userIds: Id[]): void {
    if (userIds.join() === this.followed) return;
    this.followed = userIds.join();
    this.stopFollowing();
    if (userIds.length === 0) return;
    this.stopFollowing = this.client.follow(PRESENCE, { userIds }, ({ presence }) => this.take(presence));
  }

  private take(presence: Presence): void {
    this.store.dispatch({ type: "presence", presence });
    clearTimeout(this.ends.get(presence.userId));
    // Between two clocks only a difference counts.
    const good = Date.parse(presence.validUntil) - Date.parse(presence.asOf);
    const end = () => this.store.dispatch({ type: "presence", presence: { ...presence, status: "UNKNOWN" } });
    this.ends.set(presence.userId, setTimeout(end, good));
  }

  private readonly looked = (): void => {
    clearTimeout(this.hiding);
    if (document.hidden) this.hiding = setTimeout(() => this.tell(true), AWAY_MS);
    else if (this.isAway) this.tell(false);
  };

  private tell(isAway: boolean): void {
    this.isAway = isAway;
    this.client.whisper(SET_PRESENCE, { status: isAway ? "AWAY" : "ONLINE" }); // left unheard, the API finds out by itself
  }
}
