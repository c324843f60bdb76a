/** Figures in words: short enough for an axis, with their unit where they stand alone. */
export type Unit = "perSecond" | "perMinute" | "ms" | "seconds" | "count" | "share";

const THREE = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const WHOLE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 3 });
const SHARE = new Intl.NumberFormat(undefined, { style: "percent", maximumSignificantDigits: 3 });

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function figure(value: number | null, unit: Unit): string {
  if (value === null) return "–";
  if (unit === "share") return SHARE.format(value);
  if (unit === "perSecond") return `${number(value)} /s`;
  if (unit === "perMinute") return `${number(value)} /min`;
  if (unit === "ms") return value >= 1_000 ? `${THREE.format(value / 1_000)} s` : `${THREE.format(value)} ms`;
  if (unit === "seconds") return value >= MINUTE ? lasting(value) : `${THREE.format(value)} s`;
  return number(value);
}

/** What stands at an axis; its unit stands above the chart. */
export function tick(value: number, unit: Unit): string {
  return unit === "share" ? SHARE.format(value) : number(value);
}

function number(value: number): string {
  if (Math.abs(value) >= 10_000) return SHORT.format(value);
  return Math.abs(value) >= 100 || Number.isInteger(value) ? WHOLE.format(value) : THREE.format(value);
}

/** How long, in the two largest units. */
export function lasting(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min${and(whole % MINUTE, "s")}`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)} h${and((whole % HOUR) / MINUTE, "min")}`;
  return `${Math.floor(whole / DAY)} d${and((whole % DAY) / HOUR, "h")}`;
}

const and = (rest: number, unit: string): string => (rest >= 1 ? ` ${Math.floor(rest)} ${unit}` : "");
