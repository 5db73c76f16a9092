// Where a reply or a note is written. The two never look alike; a draft stays with its conversation until it is sent.
import { ask, upload } from "./client.js";
import { byId, fill, h } from "./dom.js";
import { channelName, icon } from "./icons.js";
import { toast } from "./overlays.js";
import { channelDot } from "./people.js";
import { nameOf, sizeOf } from "./words.js";

const drafts = new Map();
let talk = null;
let answered = null;
let onStored = () => {};
let early = null;

const draft = () => {
  if (!drafts.has(talk.conversation_id)) drafts.set(talk.conversation_id, { mode: "reply", text: "", note: "", files: [], to: null, sending: null });
  return drafts.get(talk.conversation_id);
};

/** Show the composer of a conversation; `latest` is the message a reply answers unless the reader chose one. */
export function compose(conversation, latest, stored) {
  talk = conversation;
  answered = latest;
  onStored = stored;
  draw();
  if (early) write(early);
  early = null;
}

/** Nothing can be written until the next conversation is there: what is typed must never go to the last one. */
export function clearComposer() {
  talk = null;
  early = null;
  byId("composer").replaceChildren();
}

export function closedComposer(text) {
  talk = null;
  early = null;
  fill(byId("composer"), h("div", { class: "composer-closed" }, text));
}

/** The newest inbound message changed while the composer is open: only the line above changes, not the text. */
export function answers(entry) {
  answered = entry;
  const line = byId("composer").querySelector(".composer-to");
  if (line && talk) fill(line, target());
}

export function replyTo(entry) {
  draft().to = entry;
  write("reply");
}

export function write(mode) {
  if (!talk) {
    early = mode;
    return;
  }
  draft().mode = mode;
  draw();
  byId("composer").querySelector("textarea")?.focus();
}

const noting = () => draft().mode === "note";
const textOf = () => (noting() ? draft().note : draft().text);

function target() {
  if (noting()) return [icon("lock"), "Only your team sees this"];
  const to = draft().to ?? answered;
  return to ? ["To ", h("b", {}, nameOf(to.author)), channelDot(to.channel), channelName(to.channel)] : ["There is no message to answer"];
}

function draw() {
  const one = draft();
  const tab = (mode, label) => h("button", { type: "button", role: "tab", "aria-selected": String(one.mode === mode), onClick: () => write(mode) }, label);
  const box = h("textarea", {
    value: textOf(), rows: 2, maxLength: 100_000, "aria-label": noting() ? "Internal note" : "Reply to the customer",
    placeholder: noting() ? "Write a note for your team…" : "Write a reply…",
    onInput: (event) => { if (noting()) one.note = event.target.value; else one.text = event.target.value; grow(event.target); enable(); },
    onKeydown: (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); } },
    onPaste: (event) => { if (!noting() && event.clipboardData.files.length) { event.preventDefault(); addFiles(event.clipboardData.files); } },
  });
  const picker = h("input", { type: "file", multiple: true, hidden: true, onChange: (event) => addFiles(event.target.files) });
  const node = h(
    "section",
    { class: `composer${noting() ? " noting" : ""}`, "aria-label": "Write" },
    h("div", { class: "composer-tabs" }, h("div", { role: "tablist", "aria-label": "Kind" }, tab("reply", "Reply"), tab("note", "Internal note")), h("div", { class: "composer-to" }, target())),
    !noting() && one.to && h("div", { class: "composer-target" }, h("span", {}, `Answering “${(one.to.reply_text || one.to.text || one.to.subject || "").slice(0, 120)}”`), h("button", { type: "button", "aria-label": "Answer the newest message instead", onClick: () => { one.to = null; draw(); } }, icon("close"))),
    box,
    !noting() && one.files.length > 0 && h("div", { class: "files" }, one.files.map(fileChip)),
    h(
      "div",
      { class: "composer-foot" },
      !noting() && [picker, h("button", { class: "icon-button", type: "button", title: "Attach files", "aria-label": "Attach files", onClick: () => picker.click() }, icon("paperclip"))],
      h("span", { class: "spacer" }),
      h("span", { class: "composer-hint" }, h("kbd", {}, "Ctrl"), " ", h("kbd", {}, "Enter")),
      h("button", { class: `button ${noting() ? "note" : "primary"} send`, type: "button", onClick: send }, icon(noting() ? "note" : "send"), noting() ? "Add note" : "Send reply"),
    ),
  );
  node.addEventListener("dragover", (event) => { event.preventDefault(); node.classList.toggle("dropping", !noting()); });
  node.addEventListener("dragleave", () => node.classList.remove("dropping"));
  node.addEventListener("drop", (event) => { event.preventDefault(); node.classList.remove("dropping"); if (!noting()) addFiles(event.dataTransfer.files); });
  fill(byId("composer"), node);
  grow(box);
  enable();
}

function grow(box) {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function enable() {
  const one = draft();
  const busy = one.sending || (!noting() && one.files.some((file) => !file.sha256));
  byId("composer").querySelector(".send").disabled = Boolean(busy) || (!textOf().trim() && (noting() || !one.files.length)) || (!noting() && !(one.to ?? answered));
}

function fileChip(file) {
  const drop = () => { draft().files = draft().files.filter((one) => one !== file); draw(); };
  return h("span", { class: "file" }, h("span", { class: "file-icon" }, icon("file")), h("span", {}, h("b", {}, file.name), h("small", {}, file.sha256 ? sizeOf(file.size) : "uploading…")), h("button", { type: "button", "aria-label": `Remove ${file.name}`, onClick: drop }, icon("close")));
}

async function addFiles(list) {
  const home = draft();
  const { conversation_id: id, brand } = talk;
  const redraw = () => { if (talk?.conversation_id === id) draw(); };
  for (const chosen of list) {
    const file = { name: chosen.name, size: chosen.size, sha256: null };
    home.files.push(file);
    redraw();
    try {
      file.sha256 = (await upload(chosen, brand)).sha256;
    } catch (error) {
      home.files = home.files.filter((one) => one !== file);
      toast(`${chosen.name}: ${error.message}`, { error: true });
    }
    redraw();
  }
}

async function send() {
  const one = draft();
  const mode = one.mode;
  const id = talk.conversation_id;
  const text = textOf().trim();
  if (byId("composer").querySelector(".send").disabled) return;
  // the message shown as answered is always named, so that a reply cannot go to anybody else than the line above says
  const body = mode === "note" ? { text } : { text, attachments: one.files.map((file) => file.sha256), in_reply_to: (one.to ?? answered).message_id };
  // the same text asked for again after an error goes under the same key, so that it cannot be sent twice
  const spelled = JSON.stringify([mode, body]);
  if (one.asked?.spelled !== spelled) one.asked = { spelled, key: crypto.randomUUID() };
  one.sending = true;
  enable();
  try {
    const entry = await ask("POST", `/v1/conversations/${id}/${mode === "note" ? "notes" : "replies"}`, body, one.asked.key);
    Object.assign(one, mode === "note" ? { note: "" } : { text: "", files: [], to: null }, { asked: null });
    if (talk?.conversation_id === id) onStored(entry);
  } catch (error) {
    toast(error.message, { error: true });
  } finally {
    one.sending = null;
    if (talk?.conversation_id === id) { draw(); byId("composer").querySelector("textarea").focus(); }
  }
}
