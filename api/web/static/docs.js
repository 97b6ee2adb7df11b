// The reference: every operation of openapi.json with its parameters, answers, and an example that can be run here.
import { byId, make } from "./dom.js";
import { themeSwitch } from "./theme.js";

const EXAMPLES = { index_id: "deai", symbol: "QQQ", url: new URL("indices/deai", document.baseURI).href };
const SHOWN = 4000;

// **strong** and `code` of a description.
function rich(text) {
  return text.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) => {
    if (part.startsWith("**")) return make("strong", { textContent: part.slice(2, -2) });
    return part.startsWith("`") ? make("code", { textContent: part.slice(1, -1) }) : part;
  });
}

function resolved(schema, document) {
  return schema?.$ref ? document.components.schemas[schema.$ref.split("/").pop()] : schema;
}

// In words a caller needs: choices, forms, and bounds that one may run into.
function typeOf(given, document) {
  const schema = resolved(given, document) || {};
  if (schema.enum) return schema.enum.join(" | ");
  const parts = (schema.anyOf || []).filter((one) => one.type !== "null").map((one) => typeOf(one, document));
  if (parts.length) return [...new Set(parts)].join(" or ");
  const known = (bound) => bound !== undefined && Math.abs(bound) < 1e8;
  const bounds = [known(schema.minimum) ? `from ${schema.minimum}` : "", known(schema.maximum) ? `to ${schema.maximum}` : ""];
  return [schema.format || schema.type || "any", ...bounds].filter(Boolean).join(" ");
}

function parameterTable(parameters, document) {
  const head = make("tr", {}, ...["Parameter", "Type", "Default", "Meaning"].map((text) => make("th", { scope: "col", textContent: text })));
  const rows = parameters.map((one) => {
    const schema = resolved(one.schema, document) || {};
    const name = make("td", {}, make("code", { textContent: one.name }), one.required ? make("small", { textContent: "required" }) : null);
    const texts = [typeOf(schema, document), String(one.schema?.default ?? schema.default ?? "")];
    const meaning = make("td", {}, ...rich(one.description || ""));
    return make("tr", {}, name, ...texts.map((text) => make("td", { textContent: text })), meaning);
  });
  return make("div", { className: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function exampleOf(path, operation) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => EXAMPLES[name] || name);
  const required = (operation.parameters || []).filter((one) => one.in === "query" && one.required);
  const query = new URLSearchParams(required.map((one) => [one.name, EXAMPLES[one.name] || "x"])).toString();
  return filled.replace(/^\//, "") + (query ? `?${query}` : "");
}

function runnable(address) {
  const out = make("pre", { hidden: true, tabIndex: 0 });
  const button = make("button", { type: "button", textContent: "Run" });
  button.addEventListener("click", async () => {
    out.hidden = false;
    const answer = await fetch(new URL(address, document.baseURI));
    const kind = answer.headers.get("content-type") || "";
    const text = /json|text|svg/.test(kind) ? await answer.text() : `(${kind})`;
    const shown = kind.includes("json") ? JSON.stringify(JSON.parse(text), null, 1) : text;
    out.textContent = `${answer.status} ${kind}\n${shown.slice(0, SHOWN)}${shown.length > SHOWN ? "\n…" : ""}`;
  });
  const command = make("pre", { tabIndex: 0 }, make("code", { textContent: `curl "${new URL(address, document.baseURI).href}"` }));
  return make("div", {}, command, make("p", {}, button), out);
}

function operationCard(path, method, operation, document) {
  const answers = Object.entries(operation.responses).map(([status, one]) => `${status} ${one.description}`).join(" · ");
  const streams = path.endsWith("/stream");
  const parameters = operation.parameters || [];
  return make("details", { id: operation.operationId },
    make("summary", {}, make("span", { className: "method", textContent: method.toUpperCase() }), make("code", { textContent: path }), make("span", { className: "what", textContent: operation.summary })),
    make("div", {},
      ...(operation.description || "").split("\n\n").map((text) => make("p", {}, ...rich(text))),
      parameters.length ? parameterTable(parameters, document) : null,
      make("p", { className: "note", textContent: answers }),
      method === "get" && !streams ? runnable(exampleOf(path, operation)) : null));
}

async function start() {
  themeSwitch();
  const description = await (await fetch(new URL("openapi.json", document.baseURI))).json();
  byId("about").replaceChildren(...description.info.description.trim().split("\n\n").map((text) => {
    return make("p", {}, ...rich(text));
  }));
  const groups = new Map(description.tags.map((tag) => [tag.name, { ...tag, cards: [] }]));
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      groups.get(operation.tags[0])?.cards.push(operationCard(path, method, operation, description));
    }
  }
  const shown = [...groups.values()].filter((group) => group.cards.length);
  byId("tags").replaceChildren(...shown.map((group) => make("a", { href: `docs#${group.name}`, textContent: group.name })));
  byId("operations").replaceChildren(...shown.flatMap((group) => [
    make("h2", { className: "tag", id: group.name, textContent: group.name }),
    make("p", { className: "note", textContent: group.description }),
    ...group.cards,
  ]));
  document.body.dataset.ready = "yes";
}

start();
