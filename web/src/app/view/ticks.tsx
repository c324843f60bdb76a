/** How far one of the viewer's messages has come. */
import type { Message } from "../api/types";
import { statusOf } from "../state/select";
import type { Conversation } from "../state/state";
import { useKnown } from "./context";

const WORDS = { SENT: "Sent", DELIVERED: "Delivered", READ: "Read" } as const;

export function Ticks({ message, conversation }: { message: Message; conversation: Conversation }) {
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const status = statusOf(message, conversation, viewerId);
  return (
    <svg className={`ticks ${status.toLowerCase()}`} viewBox="0 0 20 12" role="img" aria-label={WORDS[status]}>
      <path d="M1.5 6.5l3.5 3.5 7-8" />
      {status !== "SENT" && <path d="M8.5 9l1.2 1L17 2" />}
    </svg>
  );
}
