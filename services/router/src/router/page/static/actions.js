// What can be done to a whole conversation: resolve, reopen, snooze, assign.
import { ask } from "./client.js";
import { h } from "./dom.js";
import { closeOverlay, menu, toast } from "./overlays.js";

const at = (days, hour) => {
  const moment = new Date();
  moment.setDate(moment.getDate() + days);
  moment.setHours(hour, 0, 0, 0);
  return moment;
};
const clock = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });

async function patch(talk, change, said) {
  try {
    const changed = await ask("PATCH", `/v1/conversations/${talk.conversation_id}`, change);
    toast(said);
    return changed;
  } catch (error) {
    toast(error.code === "newer_message" ? "The customer wrote meanwhile: read that first, then resolve." : error.message, { error: true });
    return null;
  }
}

export const resolve = (talk) => patch(talk, { status: "resolved", as_of: talk.as_of }, "Resolved.");
export const reopen = (talk) => patch(talk, { status: "open" }, talk.status === "snoozed" ? "Awake again." : "Reopened.");
export const assign = (talk, who) => patch(talk, { assignee: who }, who ? `Assigned to ${who}.` : "Assigned to nobody.");
const snooze = (talk, until) => patch(talk, { status: "snoozed", snoozed_until: until.toISOString() }, `Snoozed until ${clock.format(until)}, or until the customer writes.`);

export function snoozeMenu(anchor, talk, done) {
  const choice = (label, until) => ({ icon: "clock", label, hint: clock.format(until), run: async () => done(await snooze(talk, until)) });
  const field = h("input", { class: "field", type: "datetime-local", "aria-label": "Snooze until", required: true });
  const form = h("form", { onSubmit: async (event) => { event.preventDefault(); closeOverlay(); done(await snooze(talk, new Date(field.value))); } }, field, h("button", { class: "button small" }, "Set"));
  menu(anchor, [choice("In an hour", new Date(Date.now() + 3_600_000)), choice("Tomorrow", at(1, 9)), choice("Next week", at(7, 9)), "line", form], "Snooze");
}

export function assignMenu(anchor, talk, me, done) {
  const choice = (name, label, who) => ({ icon: name, label, run: async () => done(await assign(talk, who)) });
  const field = h("input", { class: "field", "aria-label": "Assign to", placeholder: "Somebody else", maxLength: 200, required: true });
  const form = h("form", { onSubmit: async (event) => { event.preventDefault(); closeOverlay(); done(await assign(talk, field.value.trim())); } }, field, h("button", { class: "button small" }, "Set"));
  menu(anchor, [choice("person", `Me (${me.name})`, me.name), talk.assignee && choice("close", "Nobody", null), "line", form].filter(Boolean), "Assign");
}
