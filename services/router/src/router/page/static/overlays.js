// Toasts, menus, the drawer and the help: everything that lies above the page. One at a time; Escape closes it.
import { byId, fill, h } from "./dom.js";
import { icon } from "./icons.js";

let closeOpen = null;
export const isOpen = () => closeOpen !== null;
export const closeOverlay = () => closeOpen?.();

/** A line at the bottom of the page. Errors stay longer and are announced. */
export function toast(text, { error = false, action = null } = {}) {
  const close = () => node.remove();
  const node = h(
    "div",
    { class: `toast${error ? " error" : ""}`, role: error ? "alert" : undefined },
    h("p", {}, text),
    action && h("button", { class: "act", type: "button", onClick: () => { close(); action.run(); } }, action.label),
    h("button", { type: "button", "aria-label": "Close", onClick: close }, icon("close")),
  );
  byId("toasts").append(node);
  setTimeout(close, error ? 9000 : 4000);
}

function open(nodes, { returnTo = document.activeElement, onClose = () => {} } = {}) {
  closeOverlay();
  fill(byId("overlay"), nodes);
  closeOpen = () => {
    closeOpen = null;
    byId("overlay").replaceChildren();
    onClose();
    returnTo?.focus?.({ preventScroll: true });
  };
}

/** A menu under `anchor`; items are {icon, label, hint, run}, "line", or an element. */
export function menu(anchor, items, label) {
  if (anchor.getAttribute("aria-expanded") === "true") return closeOverlay();
  const node = h("div", { class: "menu", role: "menu", "aria-label": label });
  for (const item of items) {
    if (item === "line") node.append(h("hr"));
    else if (item instanceof Node) node.append(item);
    else
      node.append(
        h(
          "button",
          { type: "button", role: "menuitem", onClick: () => { closeOverlay(); item.run(); } },
          item.icon && icon(item.icon), item.label, item.hint && h("small", {}, item.hint),
        ),
      );
  }
  const place = anchor.getBoundingClientRect();
  open([h("div", { class: "scrim", vars: { background: "transparent" }, onClick: closeOverlay }), node], {
    returnTo: anchor,
    onClose: () => anchor.setAttribute("aria-expanded", "false"),
  });
  anchor.setAttribute("aria-expanded", "true");
  const size = node.getBoundingClientRect();
  const below = place.bottom + 6 + size.height < innerHeight;
  node.style.left = `${Math.max(8, Math.min(place.left, innerWidth - size.width - 8))}px`;
  node.style.top = `${Math.max(8, below ? place.bottom + 6 : place.top - size.height - 6)}px`;
  node.addEventListener("keydown", moveBetween);
  node.querySelector("button, input")?.focus();
}

function moveBetween(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  buttons[(at + step + buttons.length) % buttons.length]?.focus();
}

/** A drawer at the right; answers its body, to be filled when the data is there. */
export function drawer(title, intro) {
  const body = h("div", {}, h("p", {}, "Reading…"));
  const close = h("button", { class: "icon-button", type: "button", "aria-label": "Close", onClick: closeOverlay }, icon("close"));
  const node = h("section", { class: "drawer", role: "dialog", "aria-modal": "true", "aria-label": title }, h("header", {}, h("h2", {}, title), close), intro && h("p", {}, intro), body);
  open([h("div", { class: "scrim", onClick: closeOverlay }), node]);
  keepFocus(node);
  close.focus();
  return body;
}

function keepFocus(node) {
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Tab") return;
    const stops = [...node.querySelectorAll("button, a[href], input, textarea")].filter((one) => !one.disabled);
    const edge = event.shiftKey ? stops[0] : stops.at(-1);
    if (document.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? stops.at(-1) : stops[0]).focus();
  });
}

const SHORTCUTS = [
  ["j  k", "next and previous conversation"], ["r", "write a reply"], ["n", "write an internal note"], ["e", "resolve or reopen"], ["a", "assign to me"],
  ["i", "show or hide the customer's details"], ["/", "search"], ["Ctrl Enter", "send"], ["Esc", "close, or leave the field"], ["?", "this help"],
];

export function help() {
  const close = h("button", { class: "icon-button", type: "button", "aria-label": "Close", onClick: closeOverlay }, icon("close"));
  const rows = SHORTCUTS.map(([keys, what]) => [h("dt", {}, keys.split(" ").filter(Boolean).map((one) => [h("kbd", {}, one), " "])), h("dd", {}, what)]);
  const node = h("section", { class: "help", role: "dialog", "aria-modal": "true", "aria-label": "Keyboard shortcuts" }, h("header", {}, h("h2", {}, "Keyboard"), close), h("dl", {}, rows));
  open([h("div", { class: "scrim", onClick: closeOverlay }), node]);
  keepFocus(node);
  close.focus();
}
