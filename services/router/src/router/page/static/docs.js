// Draws /v1/openapi.json: each route with what it takes and answers.
import { byId, fill, h } from "./dom.js";

const spec = await (await fetch("/v1/openapi.json")).json();
const METHODS = ["get", "post", "patch", "put", "delete"];
const operations = Object.entries(spec.paths).flatMap(([path, methods]) => METHODS.filter((one) => methods[one]).map((method) => ({ path, method, ...methods[method] })));
const groups = [...new Set(operations.map((one) => one.tags?.[0] ?? "other"))];
const resolve = (schema) => (schema?.$ref ? spec.components.schemas[schema.$ref.split("/").at(-1)] : schema);
const anchor = (one) => `${one.method}-${one.operationId}`;
const breakable = (path) => path.split("/").flatMap((step, index) => (index ? [document.createElement("wbr"), `/${step}`] : [step]));
const verb = (method) => h("span", { class: `verb ${method}` }, method.toUpperCase());

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeOf).filter((one) => one !== "null").join(" | ") + (schema.anyOf.some((one) => one.type === "null") ? "?" : "");
  if (schema.enum) return schema.enum.map((one) => `"${one}"`).join(" | ");
  if (schema.const !== undefined) return `"${schema.const}"`;
  if (schema.type === "array") return `[${typeOf(schema.items)}]`;
  return schema.format ? `${schema.type} (${schema.format})` : (schema.type ?? "any");
}

function shape(schema, depth = 0, seen = []) {
  const found = resolve(schema);
  const name = schema?.$ref;
  if (found?.type === "array" || found?.prefixItems) return `[${shape(found.items ?? {}, depth, seen)}]`;
  if (!found?.properties || seen.includes(name) || depth > 2) return typeOf(schema);
  const pad = "  ".repeat(depth + 1);
  const rows = Object.entries(found.properties).map(([key, one]) => {
    const inner = one.$ref || one.items?.$ref ? shape(one.$ref ? one : one.items, depth + 1, [...seen, name]) : typeOf(one);
    return `${pad}${key}${found.required?.includes(key) ? "" : "?"}: ${one.items?.$ref ? `[${inner}]` : inner}`;
  });
  return `{\n${rows.join("\n")}\n${"  ".repeat(depth)}}`;
}

function params(one) {
  if (!one.parameters?.length) return null;
  return [h("h4", {}, "Parameters"), h("div", { class: "params" }, one.parameters.map((param) => [
    h("code", {}, param.name + (param.required ? "" : "?")), h("span", { class: "type" }, `${typeOf(param.schema)}${param.in === "query" ? "" : `, ${param.in}`}`), h("span", {}, param.description ?? ""),
  ]))];
}

function bodyOf(title, content) {
  const [kind, media] = Object.entries(content ?? {})[0] ?? [];
  return media?.schema && Object.keys(media.schema).length ? [h("h4", {}, `${title} · ${kind}`), h("pre", { class: "schema" }, shape(media.schema))] : null;
}

function operation(one) {
  const [status, answer] = Object.entries(one.responses).find(([code]) => code.startsWith("2")) ?? [];
  return h("section", { class: "operation", id: anchor(one) }, h("h3", {}, verb(one.method), one.path), h("p", {}, one.description ?? one.summary), params(one), bodyOf("Body", one.requestBody?.content), bodyOf(`Answers ${status}`, answer?.content));
}

fill(
  byId("toc"),
  h("h1", {}, h("img", { src: "/page/logo.svg", alt: "", width: 24, height: 24 }), "Threadline API"),
  groups.map((group) => [h("h2", {}, group), operations.filter((one) => (one.tags?.[0] ?? "other") === group).map((one) => h("a", { href: `#${anchor(one)}` }, verb(one.method), h("span", {}, breakable(one.path.replace("/v1", "")))))]),
);
fill(
  byId("main"),
  h("h1", {}, "Threadline API"),
  h("p", { class: "lead" }, `${spec.info.description} Give the key as “Authorization: Bearer tl_…”; an Idempotency-Key on a POST, PATCH or DELETE makes it happen once however often it is sent. `, h("a", { href: "/v1/openapi.json" }, "The same as OpenAPI")),
  operations.map(operation),
);
document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
if (location.hash) byId(location.hash.slice(1))?.scrollIntoView();
