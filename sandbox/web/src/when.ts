// Moments as Slack shows them: in the reader's own zone, with today and yesterday in words.

const DAY = 86_400_000;

/** The zone that dates are shown in (undefined: the reader's) and what "today" means. */
export type Clock = { now: number; zone: string | undefined };

export function momentOf(ts: string): number {
  return Math.round(Number(ts) * 1000);
}

export function clockTime(at: number, { zone }: Clock, seconds = false): string {
  const shown: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return formatted(at, zone, seconds ? { ...shown, second: "2-digit" } : shown);
}

export function dayName(at: number, clock: Clock): string {
  return pretty(at, clock, { weekday: "long", day: "numeric", month: "long" });
}

/** "today at 14:02", for sentences and tooltips. */
export function fullTime(at: number, clock: Clock): string {
  return `${formatted(at, clock.zone, { dateStyle: "full" })}, ${clockTime(at, clock, true)}`;
}

/** The text of a Slack date: `format` with its {tokens} filled in, or the fallback when it is not a date. */
export function slackDate(seconds: number, format: string, fallback: string, clock: Clock): string {
  const at = seconds * 1000;
  if (!Number.isFinite(at) || Math.abs(at) > 8.64e15) return fallback;
  return format.replace(/\{(\w+)\}/g, (token, name: string) => TOKENS[name]?.(at, clock) ?? token);
}

const LONG: Intl.DateTimeFormatOptions = { weekday: "long", day: "numeric", month: "long", year: "numeric" };
const MIDDLE: Intl.DateTimeFormatOptions = { day: "numeric", month: "long", year: "numeric" };
const SHORT: Intl.DateTimeFormatOptions = { day: "numeric", month: "short", year: "numeric" };

const TOKENS: Record<string, (at: number, clock: Clock) => string> = {
  date: (at, { zone }) => formatted(at, zone, MIDDLE),
  date_num: (at, { zone }) => isoDay(at, zone),
  date_short: (at, { zone }) => formatted(at, zone, SHORT),
  date_long: (at, { zone }) => formatted(at, zone, LONG),
  date_pretty: (at, clock) => pretty(at, clock, MIDDLE),
  date_short_pretty: (at, clock) => pretty(at, clock, SHORT),
  date_long_pretty: (at, clock) => pretty(at, clock, LONG),
  time: (at, clock) => clockTime(at, clock),
  time_secs: (at, clock) => clockTime(at, clock, true),
  ago: (at, clock) => ago(at, clock.now),
};

function pretty(at: number, { now, zone }: Clock, otherwise: Intl.DateTimeFormatOptions): string {
  const day = isoDay(at, zone);
  if (day === isoDay(now, zone)) return "today";
  if (day === isoDay(now - DAY, zone)) return "yesterday";
  if (day === isoDay(now + DAY, zone)) return "tomorrow";
  return formatted(at, zone, otherwise);
}

function ago(at: number, now: number): string {
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const minutes = Math.round((at - now) / 60_000);
  if (Math.abs(minutes) < 60) return relative.format(minutes, "minute");
  if (Math.abs(minutes) < 1440) return relative.format(Math.round(minutes / 60), "hour");
  return relative.format(Math.round(minutes / 1440), "day");
}

function isoDay(at: number, zone: string | undefined): string {
  return formatted(at, zone, { year: "numeric", month: "2-digit", day: "2-digit" }, "sv-SE");
}

function formatted(
  at: number,
  zone: string | undefined,
  options: Intl.DateTimeFormatOptions,
  locale = "en-GB",
): string {
  return new Intl.DateTimeFormat(locale, zone ? { ...options, timeZone: zone } : options).format(at);
}
