/** Points in time, in the words of the reader's language. */
const HAS_HALVES = new Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions().hour12; // 9:05 PM, but 09:05
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: HAS_HALVES ? "numeric" : "2-digit", minute: "2-digit" });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const LONG_DATE = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const WITH_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const DAY_MS = 86_400_000;

export const clock = (iso: string): string => CLOCK.format(new Date(iso));
export const full = (iso: string): string => FULL.format(new Date(iso));

/** As short as a list needs it: the time of today, the day of this week, else the date. */
export function brief(iso: string, now = new Date()): string {
  const days = daysBetween(new Date(iso), now);
  if (days === 0) return clock(iso);
  return (days < 7 ? WEEKDAY : DATE).format(new Date(iso));
}

/** The day, as it stands between messages. */
export function day(iso: string, now = new Date()): string {
  const date = new Date(iso);
  const days = daysBetween(date, now);
  if (days < 2) return capitalised(RELATIVE.format(-days, "day"));
  return (date.getFullYear() === now.getFullYear() ? LONG_DATE : WITH_YEAR).format(date);
}

export function isSameDay(one: string, other: string): boolean {
  return daysBetween(new Date(one), new Date(other)) === 0;
}

/** How long ago, roughly. */
export function ago(iso: string, now = Date.now()): string {
  const minutes = Math.max(0, Math.round((now - Date.parse(iso)) / 60_000));
  if (minutes < 60) return RELATIVE.format(-minutes, "minute");
  if (minutes < 1_440) return RELATIVE.format(-Math.round(minutes / 60), "hour");
  return RELATIVE.format(-Math.round(minutes / 1_440), "day");
}

function daysBetween(one: Date, other: Date): number {
  const midnight = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((midnight(other) - midnight(one)) / DAY_MS);
}

const capitalised = (text: string): string => text.charAt(0).toLocaleUpperCase() + text.slice(1);
