// A mail as it was sent: already sanitised by the API, and shown in a frame that may run nothing, reach nothing and leave nothing.
import { blobOf } from "./client.js";
import { h } from "./dom.js";

const MAX_PICTURE = 4_000_000;
const LOWEST = 150;
const HIGHEST = 640;

/** The frame's document is given as text; pictures of the mail itself are fetched with the key and put in as data. */
export function mailFrame(html) {
  const frame = h("iframe", { class: "mail-frame", title: "The message as it was sent" });
  frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  frame.setAttribute("referrerpolicy", "no-referrer");
  const parsed = new DOMParser().parseFromString(html, "text/html");
  frame.style.height = `${Math.max(LOWEST, Math.min(HIGHEST, guessedHeight(parsed.body)))}px`;
  withPictures(parsed).then((text) => {
    frame.srcdoc = `<!doctype html><meta charset="utf-8"><base target="_blank"><link rel="stylesheet" href="${location.origin}/page/mail.css">${text}`;
  });
  return frame;
}

/** Nobody may look into the frame, so its height is guessed: a line for each block and each row of text, and the pictures. */
function guessedHeight(body) {
  const blocks = body.querySelectorAll("p, br, tr, li, h1, h2, h3, h4, blockquote, hr, div:not(:has(div))").length;
  const pictures = [...body.querySelectorAll("img[src]")].reduce((sum, one) => sum + (Number(one.getAttribute("height")) || 120), 0);
  return 60 + 27 * blocks + 21 * (body.textContent.length / 90) + pictures;
}

async function withPictures(parsed) {
  await Promise.all([...parsed.images].map(async (image) => {
    const path = image.getAttribute("src") ?? "";
    image.removeAttribute("src");
    if (!/^\/v1\/attachments\/[0-9a-f]{64}$/.test(path)) return;
    const blob = await blobOf(path).catch(() => null);
    if (blob && blob.size <= MAX_PICTURE && blob.type.startsWith("image/")) image.src = await dataOf(blob);
  }));
  return parsed.body.innerHTML;
}

const dataOf = (blob) => new Promise((done) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.readAsDataURL(blob);
});
