// The REST API from the page: one key, problem details as errors, and the stream read by fetch
// (EventSource cannot send an Authorization header).
const STORED = "threadline.key";
let key = sessionStorage.getItem(STORED);

export const hasKey = () => Boolean(key);
export function useKey(text) {
  key = text;
  if (text) sessionStorage.setItem(STORED, text);
  else sessionStorage.removeItem(STORED);
}

/** What the API refused: `code` and `detail` as it said them. */
export class ApiProblem extends Error {
  constructor(status, body) {
    super(body?.detail ?? (status ? `The server answered ${status}.` : "The server cannot be reached."));
    this.status = status;
    this.code = body?.code ?? "";
  }
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { Authorization: `Bearer ${key}`, ...options.headers }, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiProblem(0, null);
  }
  if (!response.ok) throw new ApiProblem(response.status, await response.json().catch(() => null));
  return response;
}

const query = (values) => {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
};

export const get = async (path, values = {}, options = {}) => (await call(path + query(values), options)).json();

/** POST or PATCH under an Idempotency-Key, so that a repeat after a lost answer does nothing twice. */
export async function ask(method, path, body, idempotencyKey = crypto.randomUUID()) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  for (let tries = 0; ; tries += 1) {
    try {
      const response = await call(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
      return response.status === 204 ? null : await response.json();
    } catch (error) {
      if (tries >= 2 || (error.status !== 0 && error.status !== 503)) throw error;
      await pause(400 * (tries + 1));
    }
  }
}

export async function upload(file, brand) {
  const form = new FormData();
  form.append("file", file, file.name);
  const response = await call(`/v1/attachments${query({ brand })}`, { method: "POST", body: form, headers: { "Idempotency-Key": crypto.randomUUID() } });
  return response.json();
}

export const blobOf = async (path) => (await call(path)).blob();

export async function download(path, name) {
  const url = URL.createObjectURL(await blobOf(path));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 30_000);
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Follow the stream for ever; `on` gets {change(name, data), reset(), state(isLive)}. Returns a function that ends it. */
export function follow(on) {
  const ending = new AbortController();
  let last = null;
  let failures = 0;
  let anew = false;

  async function once() {
    const headers = last ? { "Last-Event-ID": last } : {};
    anew = !last;
    const response = await call("/v1/stream", { headers, signal: ending.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      failures = 0;
      on.state(true);
      rest += value;
      const frames = rest.split("\n\n");
      rest = frames.pop();
      for (const frame of frames) take(frame);
    }
  }

  function take(frame) {
    let name = "message";
    let data = "";
    for (const line of frame.split("\n")) {
      if (line.startsWith("id: ")) last = line.slice(4);
      else if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    // what changed between the first reading and the stream's beginning is in neither: read once more
    if (name === "reset" || (name === "ready" && anew)) on.reset();
    anew = anew && name !== "ready";
    if (name === "reset") return;
    if (data && name !== "ready") on.change(name, JSON.parse(data));
  }

  (async () => {
    while (!ending.signal.aborted) {
      try {
        await once();
      } catch (error) {
        if (ending.signal.aborted) return;
        if (error.status === 401) return on.denied();
      }
      failures += 1;
      if (failures > 1) on.state(false);
      await pause(Math.min(15_000, 300 * 2 ** Math.min(failures, 6)) * (0.6 + Math.random() * 0.6));
    }
  })();
  return () => ending.abort();
}
