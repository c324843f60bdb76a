/** A person's or a group's initials in a colour of their own, and a dot that says whether they are there. */
import type { PresenceStatus } from "../api/types";

const HUES = 8;
const WORDS: Record<PresenceStatus, string> = {
  ONLINE: "online",
  AWAY: "away",
  OFFLINE: "offline",
  UNKNOWN: "presence unknown",
};

export function Avatar({ name, seed, size = "medium" }: { name: string; seed: string; size?: "small" | "medium" }) {
  return (
    <span className={`avatar ${size} hue-${hueOf(seed)}`} aria-hidden="true">
      {initialsOf(name)}
    </span>
  );
}

export function PresenceDot({ status }: { status: PresenceStatus }) {
  return (
    <span className={`dot ${status.toLowerCase()}`} title={WORDS[status]}>
      <span className="only-heard">({WORDS[status]})</span>
    </span>
  );
}

export const presenceWord = (status: PresenceStatus): string => WORDS[status];

export function hueOf(seed: string): number {
  let sum = 0;
  for (const character of seed) sum = (sum * 31 + character.codePointAt(0)!) % 65_521;
  return sum % HUES;
}

function initialsOf(name: string): string {
  const words = name.match(/[\p{L}\p{N}]+/gu) ?? [];
  const first = [...(words[0] ?? "?")][0]!;
  const last = words.length > 1 ? [...words.at(-1)!][0]! : "";
  return (first + last).toLocaleUpperCase();
}
