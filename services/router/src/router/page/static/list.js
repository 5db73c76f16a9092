// The list of conversations: filters, search, unread dots, newest activity first.
import { get } from "./client.js";
import { byId, fill, h } from "./dom.js";
import { CHANNELS, channelName, icon } from "./icons.js";
import { menu, toast } from "./overlays.js";
import { avatar, channelDot } from "./people.js";
import { fullTime, nameOf, shortTime } from "./words.js";

const SEEN = "threadline.seen";
const STATUSES = [["open", "Open"], ["snoozed", "Snoozed"], ["resolved", "Resolved"], ["", "All"]];
const filter = { status: "open", channel: "", brand: "", q: "" };
const items = new Map();
let brands = [];
let next = null;
let current = null;
let asked = 0;
let onOpen = () => {};

function readSeen() {
  try {
    return JSON.parse(localStorage.getItem(SEEN)) ?? {};
  } catch {
    return {};
  }
}
const seen = readSeen();

/** Note that the conversation was read as it is now; the browser keeps the newest 2000 of these notes. */
export function markSeen(talk) {
  if (seen[talk.conversation_id] >= talk.last_activity_at) return;
  seen[talk.conversation_id] = talk.last_activity_at;
  const kept = Object.entries(seen).sort((a, b) => (a[1] < b[1] ? 1 : -1)).slice(0, 2000);
  localStorage.setItem(SEEN, JSON.stringify(Object.fromEntries(kept)));
  draw();
}

const isUnread = (talk) => talk.status === "open" && !(seen[talk.conversation_id] >= talk.last_activity_at);
const ordered = () => [...items.values()].sort((a, b) => (a.last_activity_at < b.last_activity_at ? 1 : a.last_activity_at > b.last_activity_at ? -1 : a.conversation_id < b.conversation_id ? 1 : -1));
const fits = (talk) => !talk.joined && (!filter.status || talk.status === filter.status) && (!filter.channel || talk.channels.includes(filter.channel)) && (!filter.brand || talk.brand === filter.brand);

export function startList(me, open) {
  onOpen = open;
  brands = me.brands;
  fill(byId("search-icon"), icon("search"));
  fill(
    byId("status-filter"),
    STATUSES.map(([value, label]) => h("button", { type: "button", role: "radio", data: { value }, onClick: () => setFilter({ status: value }) }, label)),
  );
  byId("status-filter").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = STATUSES.findIndex(([value]) => value === filter.status);
    const [value] = STATUSES[(at + step + STATUSES.length) % STATUSES.length];
    setFilter({ status: value });
    byId("status-filter").querySelector('[aria-checked="true"]').focus();
  });
  let pause;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => setFilter({ q: event.target.value.trim() }), 220);
  });
  byId("channel-filter").addEventListener("click", channelMenu);
  setFilter({});
}

function channelMenu() {
  const channel = (value, label) => ({ icon: value || "filter", label, hint: filter.channel === value ? "✓" : "", run: () => setFilter({ channel: value }) });
  const brand = (value, label) => ({ label, hint: filter.brand === value ? "✓" : "", run: () => setFilter({ brand: value }) });
  const more = brands.length > 1 ? ["line", brand("", "All brands"), ...brands.map((one) => brand(one, one))] : [];
  menu(byId("channel-filter"), [channel("", "All channels"), ...CHANNELS.map((one) => channel(one, channelName(one))), ...more], "Channel");
}

function setFilter(change) {
  Object.assign(filter, change);
  for (const button of byId("status-filter").children) {
    button.setAttribute("aria-checked", String(button.dataset.value === filter.status));
    button.tabIndex = button.dataset.value === filter.status ? 0 : -1;
  }
  const chosen = [filter.channel && channelName(filter.channel), filter.brand].filter(Boolean).join(" · ");
  byId("channel-filter").classList.toggle("set", Boolean(chosen));
  fill(byId("channel-filter"), icon("filter"), chosen || h("span", { class: "visually-hidden" }, "Filter by channel"));
  return reload();
}

/** Read the list anew, from the top. */
export async function reload() {
  const mine = ++asked;
  if (!items.size) fill(byId("list"), [1, 2, 3, 4].map(() => h("li", { class: "skeleton" })));
  const page = await read(null);
  if (mine !== asked || !page) return;
  items.clear();
  take(page);
}

async function read(after) {
  // a search looks at every status unless the reader chose one after all: who searches wants to find
  const status = filter.q && filter.status === "open" ? "" : filter.status;
  try {
    return await get("/v1/conversations", { ...filter, status, limit: 40, include: "preview", after });
  } catch (error) {
    toast(error.message, { error: true, action: { label: "Try again", run: reload } });
    return null;
  }
}

function take(page) {
  for (const talk of page.items) items.set(talk.conversation_id, talk);
  next = page.next;
  draw();
}

async function more() {
  const mine = asked;
  const page = await read(next);
  if (page && mine === asked) take(page);
}

/** A conversation changed: put it in, move it, or take it out. */
export async function changed(talk) {
  const known = items.get(talk.conversation_id);
  if (known && known.version >= talk.version) return;
  if (!fits(talk) && !filter.q) {
    if (known) { items.delete(talk.conversation_id); draw(); }
    return;
  }
  if (filter.q && !known) return;
  items.set(talk.conversation_id, { ...known, ...talk, contact: talk.contact ?? known?.contact });
  draw();
  await enrich(talk.conversation_id, talk.version);
}

const enriching = new Map();
/** Name and preview are not in a change; they are read once it is quiet for a moment. */
async function enrich(id, version) {
  clearTimeout(enriching.get(id));
  enriching.set(id, setTimeout(async () => {
    enriching.delete(id);
    const full = await get(`/v1/conversations/${id}`, { include: "preview" }).catch(() => null);
    const known = items.get(id);
    if (!full || !known) return;
    items.set(id, { ...known, ...(full.version >= version ? full : {}), contact: full.contact, preview: full.preview });
    draw();
  }, 150));
}

/** An entry of it changed in a way that its summary does not tell: an answer that came back. */
export function touched(id) {
  const known = items.get(id);
  if (known) enrich(id, known.version);
}

export function select(id) {
  current = id;
  draw();
  byId("list").querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

/** The conversation `step` places below the current one. */
export function neighbour(step) {
  const all = ordered();
  const at = all.findIndex((one) => one.conversation_id === current);
  return all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + step))]?.conversation_id ?? null;
}

function draw() {
  const all = ordered();
  fill(byId("list"), all.map(row));
  fill(byId("list-end"), all.length === 0 ? empty() : next && h("button", { class: "list-more", type: "button", onClick: more }, "Show older conversations"));
  const unread = all.filter(isUnread).length;
  document.title = unread ? `(${unread}) Threadline` : "Threadline";
}

function row(talk) {
  const unread = isUnread(talk) && talk.conversation_id !== current;
  const who = talk.contact ?? { identity: talk.contact_id };
  const title = talk.subject || (talk.channels.includes("email") ? "(no subject)" : channelName(talk.channels[0] ?? "other"));
  return h(
    "li",
    { class: `item${unread ? " unread" : ""}`, data: { id: talk.conversation_id } },
    h(
      "a",
      { href: `#/c/${talk.conversation_id}`, "aria-current": talk.conversation_id === current ? "true" : undefined, onClick: (event) => { event.preventDefault(); onOpen(talk.conversation_id); } },
      avatar(who),
      h(
        "span",
        {},
        h("span", { class: "item-top" }, h("span", { class: "item-name" }, nameOf(who)), h("time", { class: "item-time", dateTime: talk.last_activity_at, title: fullTime(talk.last_activity_at) }, shortTime(talk.last_activity_at))),
        h("span", { class: "item-subject" }, title),
        talk.preview && h("span", { class: "item-preview" }, talk.preview.by_us && h("span", {}, "You: "), talk.preview.text),
        h(
          "span",
          { class: "item-foot" },
          talk.channels.map(channelDot),
          talk.status !== "open" && h("span", { class: `tag ${talk.status}` }, talk.status === "snoozed" ? "Snoozed" : "Resolved"),
          talk.preview?.state === "failed" && h("span", { class: "tag failed" }, "Not delivered"),
          talk.preview?.state === "uncertain" && h("span", { class: "tag failed" }, "May not have arrived"),
          brands.length > 1 && h("span", { class: "tag" }, talk.brand),
          talk.assignee && h("span", { class: "tag", title: `Assigned to ${talk.assignee}` }, talk.assignee),
          unread && h("span", { class: "unread-dot", role: "img", "aria-label": "Unread" }),
        ),
      ),
    ),
  );
}

function empty() {
  const [title, text] = filter.q
    ? ["Nothing found", `No conversation holds “${filter.q}”.`]
    : filter.status === "open"
      ? ["All done", "No open conversations. New ones appear here by themselves."]
      : ["Nothing here", "No conversation matches these filters."];
  return h("div", { class: "list-empty" }, icon("inbox"), h("strong", {}, title), h("span", {}, text));
}
