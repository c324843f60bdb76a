/** Holds what this client knows, and tells who wants to know when it has changed. */
import { reduce, type Event } from "./reduce";
import { NOTHING, type State } from "./state";

export class Store {
  private current: State = NOTHING;
  private readonly listeners = new Set<() => void>();

  readonly state = (): State => this.current;

  readonly dispatch = (event: Event): void => {
    const next = reduce(this.current, event);
    if (next === this.current) return;
    this.current = next;
    for (const listener of [...this.listeners]) listener();
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}
