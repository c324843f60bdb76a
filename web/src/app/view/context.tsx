/** How components reach what is known and what can be done. */
import { createContext, use, useSyncExternalStore } from "react";

import type { Messenger } from "../actions/messenger";
import type { State } from "../state/state";

export const MessengerContext = createContext<Messenger | null>(null);

export function useMessenger(): Messenger {
  return use(MessengerContext)!;
}

/** Return a part of the state, and render again when that part changes. */
export function useKnown<Part>(select: (state: State) => Part): Part {
  const { store } = useMessenger();
  return useSyncExternalStore(store.subscribe, () => select(store.state()));
}
