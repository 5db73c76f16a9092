// A mail as it was sent: already sanitised by the API, and shown in a frame that may run nothing, reach nothing and leave nothing.
import { blobOf } from "./client.js";
import { h } from "./dom.js";

const MAX_PICTURE = 4_000_000;

/** The frame's document is given as text; pictures of the mail itself are fetched with the key and put in as data. */
export function mailFrame(html, length) {
  const frame = h("iframe", { class: "mail-frame", title: "The message as it was sent" });
  frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  frame.setAttribute("referrerpolicy", "no-referrer");
  frame.style.height = `${Math.max(150, Math.min(560, 110 + length * 0.4))}px`;
  withPictures(html).then((text) => {
    frame.srcdoc = `<!doctype html><meta charset="utf-8"><base target="_blank"><link rel="stylesheet" href="${location.origin}/page/mail.css">${text}`;
  });
  return frame;
}

async function withPictures(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
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
