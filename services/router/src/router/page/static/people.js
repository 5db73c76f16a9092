// Faces and channels as small elements.
import { h } from "./dom.js";
import { channelColour, channelName, icon } from "./icons.js";
import { addressOf, hueOf, initials, nameOf } from "./words.js";

/** A person's initials on a colour that stays theirs. */
export function avatar(who, kind = "") {
  return h("span", { class: `avatar ${kind}`, "aria-hidden": "true", vars: { "--hue": String(hueOf(who?.display_name || who?.identity || "")) } }, initials(nameOf(who)));
}

export function channelDot(channel) {
  return h("span", { class: "channel-dot", title: channelName(channel), role: "img", "aria-label": channelName(channel), vars: { "--ch": channelColour(channel) } }, icon(channel));
}

/** Key and desk authors have no address worth showing. */
export const isTeam = (author) => author?.role === "agent" || author?.role === "brand";
export const addressLine = (who) => (who?.display_name ? addressOf(who.identity) : "");
