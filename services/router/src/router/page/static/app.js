// The page's beginning: the key, the conversation that is open, the stream, the shortcuts.
import { assign, assignMenu, reopen, resolve, snoozeMenu } from "./actions.js";
import { follow, get, hasKey, useKey } from "./client.js";
import { answers, clearComposer, closedComposer, compose, replyTo, write } from "./composer.js";
import { detailsShown, drawDetails, showDetails } from "./details.js";
import { byId, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { changed, markSeen, neighbour, reload, select, startList, touched } from "./list.js";
import { closeOverlay, help, isOpen, menu, toast } from "./overlays.js";
import { channelDot } from "./people.js";
import { leave, put, refresh, show, sorted, startTimeline } from "./timeline.js";
import { nameOf } from "./words.js";

const THEME = "threadline.theme";
let me = null;
let talk = null;
let stop = () => {};
let loading = 0;
let held = null;

const mayReply = () => me.scopes.includes("reply") || me.scopes.includes("admin");

function useTheme(theme) {
  document.documentElement.dataset.theme = theme ?? localStorage.getItem(THEME) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => useTheme());
useTheme();

function gate(wrong = "") {
  stop();
  byId("app").hidden = true;
  const field = h("input", { type: "password", name: "key", placeholder: "tl_…", autocomplete: "current-password", spellcheck: false, required: true });
  const enter = (event) => { event.preventDefault(); useKey(field.value.trim()); start(); };
  const form = h("form", { onSubmit: enter }, h("img", { src: "/page/logo.svg", alt: "" }), h("h1", {}, "Threadline"), h("p", {}, "Every channel, one conversation. Enter an API key to read and answer."), h("label", {}, "API key", field), wrong && h("p", { class: "wrong", role: "alert" }, wrong), h("button", { class: "button primary" }, "Continue"), h("p", {}, h("code", {}, "threadline up"), " prints the first key once; ", h("code", {}, "threadline keys create"), " makes more. It is kept in this tab only."));
  fill(byId("gate"), form).hidden = false;
  field.focus();
}

async function start() {
  try {
    me = await get("/v1/me");
  } catch (error) {
    if (error.status === 401) { useKey(null); return gate("This key is not valid."); }
    return gate(error.message);
  }
  byId("gate").hidden = true;
  byId("app").hidden = false;
  startList(me, go);
  stop = follow({ change: onChange, reset: onReset, state: live, denied: () => { useKey(null); gate("This key is no longer valid."); } });
  route();
}

function live(yes) {
  byId("live").className = `live ${yes ? "on" : "off"}`;
  byId("live").textContent = yes ? "Live" : "Reconnecting…";
}

const go = (id) => { location.hash = id ? `#/c/${id}` : "#/"; };
addEventListener("hashchange", route);

function route() {
  if (!me) return;
  const id = /^#\/c\/([\w-]+)$/.exec(location.hash)?.[1];
  if (id) openTalk(id);
  else closeTalk();
}

function closeTalk() {
  talk = null;
  held = null;
  loading += 1;
  leave();
  select(null);
  byId("app").classList.remove("reading");
  byId("conversation").hidden = byId("details").hidden = true;
  const key = (one, what) => h("span", {}, h("kbd", {}, one), ` ${what}`);
  fill(byId("empty-stage"), h("img", { class: "thread-art", src: "/page/thread.svg", alt: "" }), h("h2", {}, "Choose a conversation"), h("p", {}, "Mail, chat and messages of one customer read here as one thread."), h("p", { class: "hints" }, key("j", "next"), key("/", "search"), key("?", "all shortcuts"))).hidden = false;
}

async function openTalk(id) {
  const mine = ++loading;
  byId("empty-stage").hidden = true;
  byId("conversation").hidden = false;
  byId("app").classList.add("reading");
  if (talk?.conversation_id !== id) {
    talk = null;
    held = [];
    clearComposer();
    byId("conversation-head").replaceChildren();
    byId("details").hidden = true;
  }
  select(id);
  try {
    const [found] = await Promise.all([get(`/v1/conversations/${id}`), show(id, { replyTo, mayReply: mayReply() })]);
    if (mine !== loading) return;
    talk = found;
    select(talk.conversation_id);
    drawTalk();
    const missed = held ?? [];
    held = null;
    for (const [name, data] of missed) onChange(name, data);
    if (mayReply()) compose(talk, latestInbound(), (entry) => { put(entry); });
    else closedComposer("This key may read but not reply.");
    if (!document.hidden) markSeen(talk);
  } catch (error) {
    if (mine !== loading) return;
    closeTalk();
    toast(error.message, { error: true });
    if (location.hash !== "#/") history.replaceState(null, "", "#/");
  }
}

/** The message that a reply answers unless another is chosen: the newest of the customer's own (from any address), else of anybody; automatic ones last. */
function latestInbound() {
  const inbound = sorted().filter((one) => one.direction === "inbound" && !one.deleted_at);
  const written = inbound.filter((one) => !one.hints?.is_auto_reply && !one.hints?.bounce);
  const person = new Set(talk.contact.identities.map((one) => one.contact_id));
  const own = written.filter((one) => person.has(one.contact_id));
  const from = [own, written, inbound].find((some) => some.length) ?? [];
  return from.reduce((last, one) => (!last || one.received_at >= last.received_at ? one : last), null);
}

function drawTalk() {
  const done = talk.status === "resolved";
  const act = (label, name, kind, run) => h("button", { class: `button ${kind}`, type: "button", title: label, onClick: run }, icon(name), h("span", {}, label));
  const details = h("button", { class: "icon-button", type: "button", title: "Customer details (i)", "aria-label": "Customer details", "aria-pressed": String(detailsShown()), onClick: toggleDetails }, icon("panel"));
  fill(
    byId("conversation-head"),
    h("button", { class: "icon-button back", type: "button", "aria-label": "Back to the list", onClick: () => go(null) }, icon("back")),
    h("div", { class: "head-text" }, h("h2", { class: "head-subject" }, talk.subject || `Conversation with ${nameOf({ identity: talk.contact.identities[0]?.identity, display_name: talk.contact.display_name })}`), h("div", { class: "head-meta" }, h("span", { class: `status ${talk.status}` }, { open: "Open", snoozed: "Snoozed", resolved: "Resolved" }[talk.status]), talk.channels.map(channelDot), h("span", {}, talk.assignee ? `Assigned to ${talk.assignee}` : "Not assigned"))),
    h(
      "div",
      { class: "head-actions" },
      mayReply() && [
        act("Assign", "person", "quiet", (event) => assignMenu(event.currentTarget, talk, me, take)),
        !done && act("Snooze", "clock", "quiet", (event) => snoozeMenu(event.currentTarget, talk, take)),
        talk.status !== "open" && act(done ? "Reopen" : "Wake", "undo", "", async () => take(await reopen(talk))),
        !done && act("Resolve", "check", "primary", async () => take(await resolve(talk))),
      ],
      details,
    ),
  );
  drawDetails(talk, mayReply(), () => openTalk(talk.conversation_id));
}

function toggleDetails() {
  showDetails(!detailsShown());
  byId("conversation-head").querySelector("[aria-pressed]")?.setAttribute("aria-pressed", String(detailsShown()));
}

/** The conversation as an action left it. */
function take(found) {
  if (!found) return again();
  changed(found);
  if (talk?.conversation_id === found.conversation_id && found.version >= talk.version) { talk = { ...talk, ...found }; drawTalk(); }
}

async function again() {
  if (!talk) return;
  const found = await get(`/v1/conversations/${talk.conversation_id}`).catch(() => null);
  if (found && talk?.conversation_id === found.conversation_id) { talk = found; drawTalk(); }
}

const belongs = (entry) => talk && (entry.conversation_id === talk.conversation_id || talk.strands.some((one) => one.strand_id === entry.strand_id));

let quiet;
function onChange(name, data) {
  // while a conversation is being read nobody knows yet which entries are its own
  if (held) held.push([name, data]);
  if (name === "entry.changed") {
    if (data.entry.direction === "outbound") touched(data.entry.conversation_id);
    if (!belongs(data.entry)) return;
    put(data.entry);
    if (data.entry.direction === "inbound") answers(latestInbound());
  } else if (name === "conversation.changed") {
    const one = data.conversation;
    changed(one);
    if (!talk || (one.conversation_id !== talk.conversation_id && one.joined !== talk.conversation_id)) return;
    if (one.joined && one.conversation_id === talk.conversation_id) { openTalk(one.joined); return; }
    const more = one.conversation_id === talk.conversation_id && one.strands.length !== talk.strands.length;
    if (one.conversation_id === talk.conversation_id && one.version > talk.version) { talk = { ...talk, ...one }; if (!document.hidden) markSeen(talk); }
    clearTimeout(quiet);
    quiet = setTimeout(async () => { await again(); if (more) refresh().catch(() => {}); }, 120);
  }
}

function onReset() {
  reload();
  again();
  refresh().catch(() => {});
}

function mainMenu() {
  const dark = document.documentElement.dataset.theme === "dark";
  const theme = () => { localStorage.setItem(THEME, dark ? "light" : "dark"); useTheme(); };
  menu(byId("menu"), [
    { icon: dark ? "sun" : "moon", label: dark ? "Light theme" : "Dark theme", run: theme },
    { icon: "keyboard", label: "Keyboard shortcuts", hint: "?", run: help },
    { icon: "api", label: "API documents", run: () => open("/v1/docs", "_blank", "noopener") },
    "line",
    { icon: "logout", label: `Forget the key (${me.name})`, run: () => { useKey(null); location.hash = ""; location.reload(); } },
  ], "Menu");
}

const SHORTCUTS = {
  j: () => step(1), k: () => step(-1), r: () => onConversation() && mayReply() && write("reply"), n: () => onConversation() && mayReply() && write("note"), "/": () => byId("search").focus(), "?": help, i: () => talk && toggleDetails(),
  e: async () => talk && mayReply() && take(await (talk.status === "resolved" ? reopen(talk) : resolve(talk))),
  a: async () => talk && mayReply() && take(await assign(talk, me.name)),
};
const onConversation = () => !byId("conversation").hidden;
const step = (by) => { const id = neighbour(by); if (id) go(id); };

addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (isOpen()) return closeOverlay();
    if (event.target.matches("input, textarea")) event.target.blur();
    return;
  }
  if (!me || isOpen() || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  const run = SHORTCUTS[event.key];
  if (!run) return;
  event.preventDefault();
  run();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && talk) markSeen(talk); });

fill(byId("menu"), icon("menu"));
byId("menu").addEventListener("click", mainMenu);
startTimeline();

// `threadline up` may print the page's address with the key behind #key=: it is taken out of the address at once
const given = /^#key=(tl_[\w-]+)$/.exec(location.hash);
if (given) { useKey(given[1]); history.replaceState(null, "", "/#/"); }
if (hasKey()) start();
else gate();
