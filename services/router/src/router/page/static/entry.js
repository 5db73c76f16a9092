// One entry of the timeline: who, over which channel, what, and what became of it.
import { ask, blobOf, download } from "./client.js";
import { fill, h, linked } from "./dom.js";
import { explain } from "./explain.js";
import { channelColour, channelName, icon } from "./icons.js";
import { mailFrame } from "./mail_frame.js";
import { toast } from "./overlays.js";
import { addressLine, avatar, channelDot, isTeam } from "./people.js";
import { fullTime, nameOf, sizeOf, timeOfDay } from "./words.js";

const TICKS = {
  queued: ["clock", "Queued"], sending: ["clock", "Sending"], sent: ["check", "Sent"], delivered: ["checks", "Delivered"],
  read: ["checks", "Read"], failed: ["alert", "Not delivered"], uncertain: ["question", "Not sure it arrived"],
};
const opened = new Map();

/** What the reader unfolded stays unfolded when the entry is drawn again. */
const isOpen = (entry, what) => opened.get(entry.message_id)?.has(what) ?? false;
function toggle(entry, what, redraw) {
  const set = opened.get(entry.message_id) ?? new Set();
  if (!set.delete(what)) set.add(what);
  opened.set(entry.message_id, set);
  redraw();
}

export const entryColour = (entry) => (entry.kind === "note" ? "var(--ch-note)" : entry.direction === "internal" ? "var(--line-strong)" : channelColour(entry.channel));

/** The element of an entry; `view` gives {redraw(entry), replyTo(entry), onReply, arrived, mayReply}. */
export function entryNode(entry, view) {
  if (entry.direction === "internal" && entry.kind !== "note") return eventNode(entry);
  const noted = entry.kind === "note";
  const kind = noted ? "noted" : entry.direction;
  const redraw = () => view.redraw(entry);
  return h(
    "li",
    {
      class: `entry ${kind}${entry.state === "failed" ? " failed" : ""}${view.arrived ? " arrived" : ""}`,
      data: { id: entry.message_id },
      vars: { "--ch": entryColour(entry) },
    },
    h("div", { class: "node" }, avatar(entry.author, noted ? "noted" : entry.direction === "outbound" ? "team" : ""), noted ? h("span", { class: "channel-dot" }, icon("lock")) : channelDot(entry.channel)),
    h(
      "article",
      { class: "card", "aria-label": `${nameOf(entry.author)}, ${fullTime(entry.occurred_at)}` },
      head(entry, noted),
      h("time", { class: "entry-time", dateTime: entry.occurred_at, title: fullTime(entry.occurred_at) }, timeOfDay(entry.occurred_at)),
      content(entry, redraw),
      files(entry),
      entry.reactions.length > 0 && h("div", { class: "reactions" }, entry.reactions.map((one) => h("span", { title: one.actor }, one.emoji))),
      foot(entry),
      trouble(entry, view),
      actions(entry, view, noted),
    ),
  );
}

function head(entry, noted) {
  const via = noted ? "" : entry.direction === "outbound" ? `via ${channelName(entry.channel)}` : addressLine(entry.author);
  return h(
    "div",
    { class: "entry-head" },
    h("span", { class: "entry-name" }, nameOf(entry.author)),
    noted && h("span", { class: "badge internal" }, icon("lock"), "Internal note"),
    !noted && entry.direction === "inbound" && !isTeam(entry.author) && trust(entry),
    entry.hints?.is_auto_reply && h("span", { class: "badge plain" }, "Automatic"),
    entry.hints?.is_forward && h("span", { class: "badge plain" }, "Forwarded"),
    entry.edited_at && h("span", { class: "badge plain", title: fullTime(entry.edited_at) }, "Edited"),
    via && h("span", { class: "entry-via" }, via),
  );
}

const trust = (entry) =>
  entry.verified
    ? h("span", { class: "badge verified", title: "The sender's address is proven" }, icon("shield"), "Verified")
    : h("span", { class: "badge unverified", title: "Nobody vouches for this sender's address: anybody may have written under it" }, icon("unshield"), "Unverified");

function content(entry, redraw) {
  if (entry.deleted_at) return h("p", { class: "entry-text gone" }, "The customer deleted this message.");
  const html = entry.parts.find((part) => part.type === "html")?.html;
  const text = entry.reply_text || entry.text || "";
  const long = text.length > 2400 || text.split("\n").length > 40;
  const odd = entry.parts.find((part) => part.type === "unsupported");
  return [
    text ? h("div", { class: `entry-text${long ? " long" : ""}${isOpen(entry, "long") ? " open" : ""}` }, linked(text)) : !html && !entry.attachments.length && h("p", { class: "entry-text gone" }, odd?.note ?? "No text."),
    long && fold(entry, "long", ["down", "Show all"], ["down", "Show less"], redraw),
    entry.quoted_text && fold(entry, "quoted", ["reply", "Show quoted"], ["reply", "Hide quoted"], redraw),
    html && fold(entry, "html", ["image", "Show as sent"], ["image", "Hide formatting"], redraw),
    isOpen(entry, "quoted") && h("div", { class: "quoted" }, linked(entry.quoted_text)),
    html && isOpen(entry, "html") && mailFrame(html),
  ];
}

function fold(entry, what, closed, open, redraw) {
  const [name, label] = isOpen(entry, what) ? open : closed;
  return h("button", { class: "fold", type: "button", "aria-expanded": String(isOpen(entry, what)), onClick: () => toggle(entry, what, redraw) }, icon(name), label);
}

function files(entry) {
  const shown = entry.attachments.filter((one) => !(one.inline && entry.parts.some((part) => part.type === "html")) || !one.content_id);
  return shown.length > 0 && h("div", { class: "files" }, shown.map(fileNode));
}

function fileNode(file) {
  const name = file.file_name || "file";
  const image = file.media_type.startsWith("image/");
  const label = [h("span", { class: "file-icon" }, icon(image ? "image" : "file")), h("span", {}, h("b", {}, name), h("small", {}, file.state === "stored" ? sizeOf(file.size) : stateOf(file)))];
  if (file.state !== "stored" || !file.sha256) return h("span", { class: "file" }, label);
  const path = `/v1/attachments/${file.sha256}`;
  const save = () => download(path, name).catch((error) => toast(error.message, { error: true }));
  const node = h("button", { class: "file", type: "button", title: `Download ${name}`, "aria-label": `Download ${name}`, onClick: save }, label, icon("download"));
  if (/^image\/(png|jpeg|gif|webp)$/.test(file.media_type) && file.size < 3_000_000) thumbnail(path, name, node);
  return node;
}

const thumbnails = new Map();
/** Pictures show small; only the picture types that browsers decode safely, and never as a document. */
async function thumbnail(path, name, node) {
  try {
    if (!thumbnails.has(path)) thumbnails.set(path, blobOf(path).then((blob) => URL.createObjectURL(blob)));
    const image = h("img", { src: await thumbnails.get(path), alt: name });
    await image.decode();
    node.className = "thumb";
    fill(node, image);
  } catch {
    thumbnails.delete(path);
  }
}

const stateOf = (file) => ({ pending: "being fetched", unavailable: "not available", refused: file.note ? `refused: ${file.note}` : "refused" })[file.state] ?? file.state;

function foot(entry) {
  const [name, label] = TICKS[entry.state] ?? [];
  return h("div", { class: "entry-foot" }, name && h("span", { class: `ticks ${entry.state}` }, icon(name), label, entry.attempt > 1 && ` · attempt ${entry.attempt}`), ...names(entry));
}

function names(entry) {
  const others = entry.participants.filter((one) => one.role === "cc");
  return others.length ? [h("span", { title: others.map(nameOf).join(", ") }, `Cc ${others.slice(0, 3).map(nameOf).join(", ")}${others.length > 3 ? ` and ${others.length - 3} more` : ""}`)] : [];
}

function trouble(entry, view) {
  if (entry.direction !== "outbound" || !["failed", "uncertain"].includes(entry.state)) return null;
  const unsure = entry.state === "uncertain";
  const run = (what, done) => async (event) => {
    event.currentTarget.disabled = true;
    try {
      view.redraw(await ask("POST", `/v1/messages/${entry.message_id}/${what}`));
      toast(done);
    } catch (error) {
      toast(error.message, { error: true });
      view.redraw(entry);
    }
  };
  return h(
    "div",
    { class: `trouble${unsure ? " unsure" : ""}` },
    h("p", {}, entry.state_reason || (unsure ? "The connection broke while sending: it may have arrived." : "The channel did not take it.")),
    view.mayReply && unsure && h("button", { class: "button small", type: "button", onClick: run("confirm", "Noted: it arrived.") }, icon("check"), "It arrived"),
    view.mayReply && h("button", { class: "button small", type: "button", onClick: run("retry", "Sending again.") }, icon("refresh"), unsure ? "Send again" : "Try again"),
  );
}

function actions(entry, view, noted) {
  const answerable = entry.direction === "inbound" && view.mayReply;
  return h(
    "div",
    { class: "entry-actions" },
    answerable && h("button", { class: "icon-button", type: "button", title: "Reply to this message", "aria-label": "Reply to this message", onClick: () => view.replyTo(entry) }, icon("reply")),
    !noted && h("button", { class: "icon-button", type: "button", title: "Why is this here?", "aria-label": "Why is this here?", onClick: () => explain(entry) }, icon("route")),
  );
}

const SAID = {
  resolve: ["check", "resolved the conversation"], reopen: ["undo", "opened the conversation again"], snooze: ["clock", "snoozed the conversation"],
  assign: ["person", "took the assignment back"], link: ["link", "linked two addresses to one customer"], unlink: ["link", "took a link between two addresses back"],
  retry: ["refresh", "sent a message again"], confirm: ["check", "confirmed that a message arrived"],
};

function eventNode(entry) {
  const [name, said] = SAID[entry.kind] ?? ["note", entry.kind];
  return h(
    "li",
    { class: "event", data: { id: entry.message_id } },
    h("div", { class: "node" }, h("span", {}, icon(name))),
    h("p", {}, h("b", {}, nameOf(entry.author)), ` ${entry.kind === "assign" && entry.text ? `assigned this to ${entry.text === entry.author.display_name ? "themselves" : entry.text}` : said} · `, h("time", { dateTime: entry.occurred_at, title: fullTime(entry.occurred_at) }, timeOfDay(entry.occurred_at))),
  );
}
