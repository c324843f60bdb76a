/** How components reach what is known and what can be done. */
import { createContext, use, useSyncExternalStore } from "react";

import type { Desk, State } from "../watch/desk";

export const DeskContext = createContext<Desk | null>(null);

export function useDesk(): Desk {
  return use(DeskContext)!;
}

/** Return a part of the state, and render again when that part changes. */
export function useKnown<Part>(select: (state: State) => Part): Part {
  const desk = useDesk();
  return useSyncExternalStore(desk.subscribe, () => select(desk.state()));
}
