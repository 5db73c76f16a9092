// How times, people and sizes are said.
const MINUTE = 60_000;
const DAY = 86_400_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const longDay = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const longDayYear = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate()).getTime();
const daysAgo = (moment, now) => Math.round((midnight(now) - midnight(moment)) / DAY);

export const timeOfDay = (text) => clock.format(new Date(text));
export const fullTime = (text) => full.format(new Date(text));
export const dayKey = (text) => String(midnight(new Date(text)));

export function dayName(text, now = new Date()) {
  const moment = new Date(text);
  const ago = daysAgo(moment, now);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  return moment.getFullYear() === now.getFullYear() ? longDay.format(moment) : longDayYear.format(moment);
}

export function shortTime(text, now = new Date()) {
  const moment = new Date(text);
  const past = now - moment;
  if (past >= 0 && past < MINUTE) return "now";
  const ago = daysAgo(moment, now);
  if (ago <= 0) return clock.format(moment);
  return ago < 7 ? weekday.format(moment) : shortDay.format(moment);
}

export function sizeOf(bytes) {
  if (bytes === null || bytes === undefined) return "";
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** `email:ann@b.example` without its channel. */
export const addressOf = (identity) => (identity ?? "").slice((identity ?? "").indexOf(":") + 1);
export const nameOf = (who) => who?.display_name || addressOf(who?.identity) || "Unknown";

export function initials(name) {
  const words = name.replace(/[^\p{L}\p{N}\s@._-]/gu, "").split(/[\s@._-]+/).filter(Boolean);
  const letters = words.length > 1 && !name.includes("@") ? words[0][0] + words.at(-1)[0] : (words[0] ?? "?").slice(0, 2);
  return letters.toUpperCase();
}

/** A hue that stays with a person. */
export function hueOf(text) {
  let sum = 7;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return sum % 360;
}
