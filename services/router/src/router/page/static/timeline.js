// The entries of one conversation in timeline order, kept live: the highest version of an entry shows.
import { get } from "./client.js";
import { byId, fill, h } from "./dom.js";
import { entryColour, entryNode } from "./entry.js";
import { toast } from "./overlays.js";
import { dayKey, dayName } from "./words.js";

const PAGE = 50;
const entries = new Map();
let path = null;
let older = null;
let view = null;

const before = (a, b) => (a.occurred_at !== b.occurred_at ? a.occurred_at < b.occurred_at : a.order !== b.order ? a.order < b.order : a.message_id < b.message_id);
export const sorted = () => [...entries.values()].sort((a, b) => (before(a, b) ? -1 : 1));
const scroller = () => byId("timeline-scroll");
const nearEnd = () => scroller().scrollHeight - scroller().scrollTop - scroller().clientHeight < 120;
const toEnd = () => { scroller().scrollTop = scroller().scrollHeight; };
let pinned = true;

/** Show a conversation; `how` gives {replyTo, mayReply}. Answers the newest entries. */
export async function show(conversationId, how) {
  const mine = `/v1/conversations/${conversationId}/timeline`;
  path = mine;
  view = how;
  entries.clear();
  older = null;
  fill(byId("timeline"), h("li", { class: "skeleton" }), h("li", { class: "skeleton" }));
  byId("jump").hidden = true;
  const page = await get(mine, { order: "desc", limit: PAGE });
  if (path !== mine) return [];
  older = page.next;
  for (const entry of page.items) keep(entry);
  draw();
  pinned = true;
  toEnd();
  return sorted();
}

/** Read the newest entries again, keeping what is shown (after the stream lost its place). */
export async function refresh() {
  const mine = path;
  if (!mine) return;
  const page = await get(mine, { order: "desc", limit: PAGE });
  if (path !== mine) return;
  for (const entry of page.items) keep(entry);
  draw();
}

export function leave() {
  path = null;
  entries.clear();
}

function keep(entry) {
  const known = entries.get(entry.message_id);
  if (known && known.version > entry.version) return false;
  if (entry.state?.startsWith("refused")) return false;
  entries.set(entry.message_id, entry);
  return true;
}

/** An entry came or changed. */
export function put(entry) {
  const fresh = !entries.has(entry.message_id);
  const shown = sorted();
  if (fresh && older && shown.length && before(entry, shown[0])) return;
  if (!keep(entry)) return;
  const stay = nearEnd();
  if (!fresh) return redraw(entry);
  draw(entry.message_id);
  if (stay) toEnd();
  else offerJump();
}

function redraw(entry) {
  keep(entry);
  const old = byId("timeline").querySelector(`[data-id="${entry.message_id}"]`);
  if (!old) return draw();
  const stay = nearEnd();
  const node = nodeOf(entries.get(entry.message_id));
  node.classList.toggle("last", old.classList.contains("last"));
  const focused = old.contains(document.activeElement) ? [...old.querySelectorAll("button")].indexOf(document.activeElement) : -1;
  old.replaceWith(node);
  if (focused >= 0) node.querySelectorAll("button")[focused]?.focus({ preventScroll: true });
  if (stay) toEnd();
}

const nodeOf = (entry, arrived = false) => entryNode(entry, { redraw, replyTo: view.replyTo, mayReply: view.mayReply, arrived });

function draw(arrived = null) {
  const nodes = [];
  let day = null;
  let colour = null;
  for (const entry of sorted()) {
    if (dayKey(entry.occurred_at) !== day) {
      day = dayKey(entry.occurred_at);
      nodes.push(h("li", { class: `day${colour ? " inside" : ""}`, vars: { "--ch": colour ?? "transparent" } }, h("span", {}, dayName(entry.occurred_at))));
    }
    colour = entryColour(entry);
    nodes.push(nodeOf(entry, entry.message_id === arrived));
  }
  nodes.at(-1)?.classList.add("last");
  const top = older && h("li", { class: "earlier" }, h("button", { class: "button small", type: "button", onClick: earlier }, "Show earlier messages"));
  fill(byId("timeline"), top, nodes.length ? nodes : h("li", { class: "timeline-empty" }, "Nothing here yet."));
}

async function earlier() {
  const mine = path;
  try {
    const page = await get(mine, { order: "desc", limit: PAGE, after: older });
    if (path !== mine) return;
    const height = scroller().scrollHeight - scroller().scrollTop;
    older = page.next;
    for (const entry of page.items) keep(entry);
    draw();
    scroller().scrollTop = scroller().scrollHeight - height;
  } catch (error) {
    toast(error.message, { error: true });
  }
}

function offerJump() {
  const jump = byId("jump");
  fill(jump, "New message ↓");
  jump.hidden = false;
  jump.onclick = () => { toEnd(); jump.hidden = true; };
}

export function startTimeline() {
  let last = 0;
  scroller().addEventListener("scroll", () => {
    const top = scroller().scrollTop;
    // content that grows makes the end farther but moves nothing up: only the reader does that
    if (nearEnd()) pinned = true;
    else if (top < last - 2) pinned = false;
    last = top;
    if (pinned) byId("jump").hidden = true;
  }, { passive: true });
  // pictures load and the composer grows: who reads the newest message keeps reading it
  const watch = new ResizeObserver(() => { if (pinned) toEnd(); });
  watch.observe(scroller());
  watch.observe(byId("timeline"));
}
