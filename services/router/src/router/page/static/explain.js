// "Why is this here": the rules and inputs of the decision as they were stored with it, and each try to deliver.
import { download, get } from "./client.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { drawer, toast } from "./overlays.js";
import { fullTime } from "./words.js";

export async function explain(entry) {
  const body = drawer("Why is this here?", "What the router looked at when it filed this message, in that order.");
  try {
    const [why, deliveries] = await Promise.all([
      get(`/v1/messages/${entry.message_id}/explain`),
      entry.direction === "outbound" ? get(`/v1/messages/${entry.message_id}/deliveries`) : { items: [] },
    ]);
    fill(body, rules(why.rules), tries(deliveries.items), facts(entry, why), raw(entry));
  } catch (error) {
    fill(body, h("p", {}, error.message));
  }
}

function rules(all) {
  if (!all.length) return h("p", {}, "Nothing was recorded for this message.");
  return h("ol", { class: "rules" }, all.map((one) =>
    h("li", { class: `rule-row${one.decided ? " decided" : ""}` }, h("span", { class: "rule-mark" }, icon(one.decided ? "check" : "down")), h("span", {}, h("b", {}, said(one.rule)), one.saw && h("small", {}, one.saw))),
  ));
}

const said = (rule) => rule.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());

function tries(attempts) {
  if (!attempts.length) return null;
  const row = (name, state, at, ...more) => h("div", { class: "try" }, h("b", {}, name), h("span", {}, state), h("time", {}, fullTime(at)), more.some(Boolean) && h("small", {}, more.filter(Boolean).join(" · ")));
  return [
    h("h3", {}, "Delivery"),
    attempts.map((one) => [
      row(`Attempt ${one.attempt}`, one.state, one.queued_at, one.reason),
      one.tries.map((call) => row(`Call ${call.number}`, call.state, call.ended_at ?? call.started_at, call.code, call.reason)),
    ]),
  ];
}

function facts(entry, why) {
  const rows = {
    "Message": entry.message_id, "Account": entry.account_id, "Also in": entry.accounts.filter((one) => one !== entry.account_id).join(", "), "External id": entry.external_id,
    "Sent": fullTime(entry.occurred_at), "Taken in": fullTime(entry.received_at), "Answers": entry.relates_to?.reply_to,
    "Intakes": why.intakes.map((one) => `${one.intake_id} (${one.index})`).join(", "), "Strand": entry.strand_id, "Version": entry.version,
  };
  return [h("h3", {}, "Facts"), h("dl", { class: "tree" }, Object.entries(rows).filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]))];
}

function raw(entry) {
  if (entry.direction !== "inbound") return null;
  const save = () => download(`/v1/messages/${entry.message_id}/raw`, `${entry.message_id}${entry.channel === "email" ? ".eml" : ".json"}`).catch((error) => toast(error.message, { error: true }));
  return [h("h3", {}, "As it came"), h("button", { class: "button", type: "button", onClick: save }, icon("download"), "Download the untouched payload")];
}
