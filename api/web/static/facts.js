// The data status card: how fresh and how complete what the page shows is.
import { read } from "./data.js";
import { byId, make } from "./dom.js";
import { age, day, moment, percent } from "./format.js";

export async function showFacts(index, latest) {
  const [detail, standing, quality] = await Promise.all([
    read(`indices/${index}`), read(`indices/${index}/status`), read("quality", { limit: 8 }).catch(() => null),
  ]);
  const facts = [
    ["Level", `${moment(Date.parse(latest.time))}, ${latest.status}${latest.reason ? `: ${latest.reason}` : ""}`],
    ["Constituents", `${standing.constituents}, at least ${standing.minimum} needed`],
    ...(standing.worst && standing.worst_status !== "final" ? [["Worst price", `${standing.worst}, ${standing.worst_status}`]] : []),
    ["Published", `${age(Date.parse(latest.published_at))}, revision ${latest.revision}`],
    ["Carried prices", `${percent(latest.carried_weight)} of the value`],
    ...(latest.perpetual_weight > 0 ? [["Perpetual futures", `${percent(latest.perpetual_weight)} of the value`]] : []),
    ...(standing.supply_age_days === null ? [] : [["Age of supplies", `${Math.round(standing.supply_age_days)} days, by weight`]]),
    ["Expected by", moment(Date.parse(latest.fresh_until))],
    ["History since", detail.first_time ? day(Date.parse(detail.first_time)) : "–"],
    ["Methodology", `version ${detail.methodology.version}, ${detail.methodology.hash.slice(0, 10)}…`],
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  byId("notes").replaceChildren(...standing.notes.slice(0, 6).map((one) => {
    const until = one.end_at ? ` to ${day(Date.parse(one.end_at))}` : "";
    return make("p", { className: "note", textContent: `${one.kind} ${day(Date.parse(one.start_at))}${until}: ${one.reason}` });
  }));
  showEvents(index, latest.simulated);
  if (!quality) return;
  const said = quality.count ? `${quality.open} open of the newest ${quality.count} entries in the quality ledger` : "The quality ledger has no entries.";
  byId("quality").replaceChildren(
    make("p", { className: "note", textContent: said }),
    ...quality.data.slice(0, 5).map((one) => make("p", { className: "note", textContent: `${day(Date.parse(one.opened_at))}${one.closed_at ? ` to ${day(Date.parse(one.closed_at))}` : ", open"}: ${one.kind}, ${one.subject}` })),
  );
}

// Real events mean nothing to invented prices: a simulated index lists none.
async function showEvents(index, simulated) {
  if (simulated) return;
  const events = await read("events").catch(() => ({ data: [] }));
  byId("events-card").hidden = !events.data.length;
  byId("events").replaceChildren(...events.data.slice(-6).reverse().map((one) => {
    const link = make("a", { href: `events/${encodeURIComponent(one.slug)}?index=${encodeURIComponent(index)}`, textContent: one.title });
    return make("p", { className: "line" }, make("span", { textContent: day(Date.parse(one.time)) }), link);
  }));
}
