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
    fill(body, rules(why.rules), deliveries.items.length > 0 && tries(deliveries.items), facts(entry, why), raw(entry));
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

function tries(items) {
  return [
    h("h3", {}, "Delivery"),
    items.map((one) =>
      h("div", { class: "try" }, h("b", {}, `Attempt ${one.attempt}.${one.try}`), h("span", {}, one.state), h("time", {}, fullTime(one.started_at)), (one.code || one.reason) && h("small", {}, [one.code, one.reason].filter(Boolean).join(" · "))),
    ),
  ];
}

function facts(entry, why) {
  const rows = {
    "Message": entry.message_id, "Account": entry.account_id, "Seen by": entry.accounts.join(", "), "External id": entry.external_id,
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
