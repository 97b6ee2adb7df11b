// The data status card: how fresh and how complete what the page shows is, in words; and the newest events.
import { read } from "./data.js";
import { byId, make } from "./dom.js";
import { age, day, moment, percent } from "./format.js";
import { TERMS } from "./glossary.js";

const KINDS = {
  gap: "no prices", no_rate: "no venue had a usable price", stale: "prices older than they may be", outlier: "a quote far from the others was left out",
  no_data: "a source had nothing", disagreement: "venues disagreed on the price", reject: "rows of a file were refused", source_down: "did not answer",
  supply_step: "the supply of two readings differs by a step", supply_shock: "the supply changed at once", supply_seam: "two sources of supply differ where one takes over",
  no_venue: "no venue lists it", correction_deferred: "a correction waits for the next review", onchain_missing: "a chain gave no supply", onchain_divergence: "the chain and the provider differ",
  onchain_orphaned: "a block that was read is no longer in its chain", onchain_price: "a pool's price is far from the rate", onchain_alert: "something unusual on chain",
  onchain_activity: "no activity could be read", onchain_identity: "a contract is not what it was",
};
const NOTES = { skipped: "Review skipped", begins_later: "Later base", suspended: "Suspended", impaired: "Impaired", relaxed: "Caps raised" };
const MOST_EVENTS = 10, MOST_NOTES = 4, MOST_ENTRIES = 5;

export async function showFacts(index, latest) {
  const here = `indices/${index}`;
  const [detail, standing, quality] = await Promise.all([read(here), read(`${here}/status`), read("quality", { limit: 8 }).catch(() => null)]);
  const facts = [
    ["Level", `${moment(Date.parse(latest.time))}, ${latest.status}`],
    ["Constituents", `${standing.constituents}, at least ${standing.minimum} needed`],
    ...(standing.worst && standing.worst_status !== "final" ? [["Worst price", `${standing.worst.toUpperCase()}, ${standing.worst_status}`]] : []),
    ["Published", `${age(Date.parse(latest.published_at))}, revision ${latest.revision}`],
    ["Carried prices", `${percent(latest.carried_weight)} of the value`],
    ...(latest.perpetual_weight > 0 ? [["Perpetual futures", `${percent(latest.perpetual_weight)} of the value`]] : []),
    ...(standing.supply_age_days === null ? [] : [["Age of supplies", `${Math.round(standing.supply_age_days)} days, by weight`]]),
    ["Expected by", moment(Date.parse(latest.fresh_until))],
    ["History since", detail.first_time ? day(Date.parse(detail.first_time)) : "–"],
  ];
  const rules = make("a", { href: `methodology/${index}`, textContent: `version ${detail.methodology.version}`, title: detail.methodology.hash });
  byId("facts").replaceChildren(...[...facts, ["Methodology", rules]].flatMap(([name, value]) => [make("dt", { textContent: name, title: TERMS[name] ?? "" }), make("dd", {}, value)]));
  byId("notes").replaceChildren(...standing.notes.filter(({ kind }, n) => n < MOST_NOTES || kind === "begins_later").map((note) => {
    const until = note.end_at ? ` to ${day(Date.parse(note.end_at))}` : "";
    return line(`${day(Date.parse(note.start_at))}${until}`, `${NOTES[note.kind] ?? note.kind}: ${note.reason.replace(/^index \S+ at \S+: /, "")}`);
  }));
  showEvents(index, latest.simulated);
  if (!quality) return;
  const summary = quality.count ? `Data-quality log: ${quality.open} still open. The newest:` : "The data-quality log has no entries.";
  byId("quality").replaceChildren(make("p", { className: "note", textContent: summary }), ...quality.data.slice(0, MOST_ENTRIES).map((entry) => {
    const until = entry.closed_at ? ` to ${day(Date.parse(entry.closed_at))}` : ", open";
    return line(`${day(Date.parse(entry.opened_at))}${until}`, `${entry.subject}: ${KINDS[entry.kind] ?? entry.kind.replaceAll("_", " ")}`);
  }));
}

function line(when, text) {
  return make("p", { className: "line" }, make("span", { textContent: when }), make("div", { textContent: text }));
}

// Real events mean nothing to invented prices: a simulated index lists none.
async function showEvents(index, simulated) {
  if (simulated) return;
  const events = await read("events").catch(() => ({ data: [] }));
  byId("events-card").hidden = !events.data.length;
  byId("events").replaceChildren(...events.data.slice(-MOST_EVENTS).reverse().map((event) => {
    const link = make("a", { href: `events/${encodeURIComponent(event.slug)}?index=${encodeURIComponent(index)}`, textContent: event.title });
    return make("p", { className: "line" }, make("span", { textContent: day(Date.parse(event.time)) }), link);
  }));
}
