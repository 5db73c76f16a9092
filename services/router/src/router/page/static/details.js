// Beside the conversation: who the customer is, on which addresses, who else takes part, and what may belong together.
import { ask, get } from "./client.js";
import { byId, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { toast } from "./overlays.js";
import { avatar, channelDot } from "./people.js";
import { addressOf, fullTime, nameOf, shortTime } from "./words.js";

const STORED = "threadline.details";
let wanted = localStorage.getItem(STORED) !== "no" && innerWidth > 1180;

export const detailsShown = () => wanted;
export function showDetails(yes) {
  wanted = yes;
  localStorage.setItem(STORED, yes ? "yes" : "no");
  byId("details").hidden = !yes;
}

/** Draw the customer of `talk`, as the API gave it. */
export async function drawDetails(talk, mayReply, redo) {
  const contact = talk.contact;
  const who = { identity: contact.identities[0]?.identity, display_name: contact.display_name };
  fill(
    byId("details"),
    h("button", { class: "icon-button details-close", type: "button", "aria-label": "Close", onClick: () => showDetails(false) }, icon("close")),
    h("div", { class: "who" }, avatar(who), h("h2", {}, nameOf(who)), h("p", {}, contact.display_name ? addressOf(who.identity) : `Customer of ${talk.brand}`)),
    h("section", {}, h("h3", {}, "Addresses"), contact.identities.map((one, index) => address(one, contact, mayReply && index > 0, redo))),
    h("section", { class: "suggestions", hidden: true }),
    talk.participants.length > 0 && h("section", {}, h("h3", {}, "Also taking part"), talk.participants.map(participant)),
    h("section", {}, h("h3", {}, "Conversation"), facts(talk)),
  );
  byId("details").hidden = !wanted;
  drawSuggestions(contact, mayReply, redo).catch(() => {});
}

function address(one, contact, mayReply, redo) {
  const link = contact.links.find((edge) => edge.active && (edge.one === one.identity || edge.other === one.identity));
  const undo = async () => {
    try {
      await ask("DELETE", `/v1/links/${link.link_id}`);
      toast("The link is taken back. Both histories are apart again.");
      redo();
    } catch (error) {
      toast(error.message, { error: true });
    }
  };
  return h(
    "div",
    { class: "address" },
    channelDot(one.channel),
    h("span", { title: one.identity }, addressOf(one.identity), h("small", {}, one.evidence === "claimed" ? "not proven" : `proven (${one.evidence})`)),
    link && mayReply && h("button", { class: "icon-button", type: "button", title: "Take this link back", "aria-label": `Take the link of ${addressOf(one.identity)} back`, onClick: undo }, icon("undo")),
  );
}

const participant = (one) => h("div", { class: "address" }, channelDot(one.identity.split(":")[0]), h("span", { title: one.identity }, one.display_name || addressOf(one.identity), one.display_name && h("small", {}, addressOf(one.identity))));

function facts(talk) {
  const rows = [
    ["Opened", h("time", { title: fullTime(talk.opened_at) }, shortTime(talk.opened_at))],
    ["Assigned", talk.assignee || "nobody"],
    talk.snoozed_until && ["Snoozed", `until ${fullTime(talk.snoozed_until)}`],
    ["Brand", talk.brand],
    talk.previous && ["Before it", h("a", { href: `#/c/${talk.previous}` }, "the last conversation")],
    ["Id", talk.conversation_id],
  ];
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

async function drawSuggestions(contact, mayReply, redo) {
  const mine = new Set(contact.identities.map((one) => one.identity));
  const { items } = await get("/v1/suggestions", { contact_id: contact.contact_id, limit: 20 });
  const fitting = items.filter((one) => mine.has(one.one) !== mine.has(one.other));
  const place = byId("details").querySelector(".suggestions");
  if (!fitting.length || !place) return;
  place.hidden = false;
  fill(place, h("h3", {}, "May be the same person"), fitting.map((one) => suggestion(one, mine, mayReply, redo)));
}

function suggestion(one, mine, mayReply, redo) {
  const other = mine.has(one.one) ? one.other : one.one;
  const accept = async () => {
    try {
      await ask("POST", "/v1/links", { one: one.one, other: one.other, brand: one.brand, reason: "suggestion accepted" });
      toast("Linked. Both histories read as one now.");
      redo();
    } catch (error) {
      toast(error.message, { error: true });
    }
  };
  return h("div", { class: "suggestion" }, h("div", {}, h("b", {}, addressOf(other)), one.reason && ` · ${one.reason}`), mayReply && h("button", { class: "button small", type: "button", onClick: accept }, icon("link"), "Same person"));
}
