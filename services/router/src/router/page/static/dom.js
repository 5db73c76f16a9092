// Elements from plain calls. Text always goes in as text, so what customers write never becomes markup.

/** An element: `props` are properties, `on*` listeners, `data`/`style` maps; falsy children are left out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "vars") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value === true ? "true" : value);
    else node[name] = value;
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** Put `children` in the place of what `node` holds. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Text in which web addresses are links; everything else stays text. */
export function linked(text) {
  const pieces = [];
  let from = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']{1,2000}/g)) {
    const address = match[0].replace(/[.,;:!?)\]]+$/, "");
    pieces.push(text.slice(from, match.index), h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
    from = match.index + address.length;
  }
  pieces.push(text.slice(from));
  return pieces;
}
