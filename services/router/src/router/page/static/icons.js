// Our own line drawings, 24 by 24.
const PATHS = {
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.5 15.5 20 20",
  email: "M4 6h16v12H4zM4 7l8 6 8-6",
  slack: "M9 4v12M15 8v12M4 9h12M8 15h12",
  webchat: "M4 5h16v11H11l-4 4v-4H4zM8 9.5h8M8 12.5h5",
  whatsapp: "M4.5 19.5 6 15.5A8 8 0 1 1 9 18.5zM9.5 9c0 3 2.5 5.5 5.5 5.5",
  messenger: "M12 4c-4.8 0-8.5 3.3-8.5 7.6 0 2.3 1.1 4.3 2.9 5.7V20.5l2.8-1.6c.9.2 1.8.4 2.8.4 4.8 0 8.5-3.4 8.5-7.7S16.8 4 12 4ZM7.5 13l3-3 3 2 3-2.5",
  instagram: "M7 4h10a3 3 0 0 1 3 3v10a3 3 0 0 1-3 3H7a3 3 0 0 1-3-3V7a3 3 0 0 1 3-3ZM12 15.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM16.8 7.2h.01",
  telegram: "m20 5-17 6.5 5.5 2L18 7l-7.5 8v4.5l3-3L17 19z",
  line: "M4 5h16v11h-6l-4 4v-4H4zM8 9v3.5h2M12.5 9v3.5M15 12.5V9l2 3.5V9",
  sms: "M8 3h8a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1ZM11 18h2",
  x: "M5 5l14 14M19 5 5 19",
  mastodon: "M6 17V9a3 3 0 0 1 6 0v4V9a3 3 0 0 1 6 0v6M6 17c2 2.5 7 2.5 9.5 1.5",
  other: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM12 12h.01M8.5 12h.01M15.5 12h.01",
  note: "M6 4h9l4 4v12H6zM9 12h7M9 16h5M14 4v5h5",
  lock: "M7 11h10v9H7zM9 11V8a3 3 0 0 1 6 0v3",
  check: "m5 12.5 4.5 4.5L19 7",
  checks: "m2.5 12.5 4 4L15 7.5M11 15.5l1.5 1L21 7.5",
  clock: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM12 8v4.5l3 2",
  alert: "M12 4.5 21 19.5H3zM12 10v4.5M12 17h.01",
  question: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM9.8 10a2.2 2.2 0 1 1 3 2c-.6.3-.8.7-.8 1.3M12 16h.01",
  reply: "M10 8 5 12.5l5 4.5v-3c4.5 0 7 1 9 4 0-5-3-8.5-9-8.5z",
  send: "m4 12 16-8-5 16-3.5-6.5z",
  paperclip: "m19 11-7.5 7.5a4.5 4.5 0 0 1-6.4-6.4L13 4.3a3 3 0 0 1 4.2 4.2l-7.7 7.7a1.5 1.5 0 0 1-2.1-2.1L14.5 7",
  file: "M7 4h7l4 4v12H7zM14 4v4h4",
  image: "M4 5h16v14H4zM8.5 10.5h.01M5 18l5-5 3 3 3-3 4 4",
  download: "M12 4v11M7.5 11 12 15.5 16.5 11M5 20h14",
  shield: "M12 3.5 19 6v6c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6zM9 12l2.2 2.2L15.5 10",
  unshield: "M12 3.5 19 6v6c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6zM12 8.5V13M12 16h.01",
  person: "M12 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM5 20c.7-3.5 3.5-5.5 7-5.5s6.3 2 7 5.5",
  panel: "M4 5h16v14H4zM15 5v14",
  menu: "M5 12h.01M12 12h.01M19 12h.01",
  close: "m6 6 12 12M18 6 6 18",
  back: "M14.5 5.5 8 12l6.5 6.5",
  down: "m6 9.5 6 6 6-6",
  undo: "M8 8H15a4.5 4.5 0 0 1 0 9H9M8 8l3.5-3.5M8 8l3.5 3.5",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1 1M17.4 17.4l1 1M5.6 18.4l1-1M17.4 6.6l1-1",
  keyboard: "M3 7h18v11H3zM7 11h.01M11 11h.01M15 11h.01M8 14.5h8",
  logout: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9.5",
  api: "m8 8-4 4 4 4M16 8l4 4-4 4",
  route: "M7 5.5a2 2 0 1 0 0 .01ZM17 18.5a2 2 0 1 0 0 .01ZM7 8v3c0 2 1 3 3 3h4c2 0 3 1 3 3",
  refresh: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  filter: "M4 6h16M7 12h10M10 18h4",
  link: "M10 14a3.5 3.5 0 0 0 5 0l3.5-3.5a3.5 3.5 0 0 0-5-5L12.5 6.5M14 10a3.5 3.5 0 0 0-5 0L5.5 13.5a3.5 3.5 0 0 0 5 5l1-1",
  inbox: "M4 13 6.5 5h11L20 13v6H4zM4 13h5l1 2.5h4l1-2.5h5",
};

/** The drawing `name` as an SVG element, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.other);
  svg.append(path);
  return svg;
}

const NAMES = {
  email: "Email", slack: "Slack", webchat: "Web chat", whatsapp: "WhatsApp", messenger: "Messenger", instagram: "Instagram",
  telegram: "Telegram", line: "LINE", sms: "SMS", x: "X", mastodon: "Mastodon",
};
export const CHANNELS = Object.keys(NAMES);
export const channelName = (channel) => NAMES[channel] ?? channel;
export const channelColour = (channel) => `var(--ch-${NAMES[channel] ? channel : "other"})`;
