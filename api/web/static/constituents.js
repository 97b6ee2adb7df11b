// The members of an index as people know them: sortable, each with a link to its own page, and as CSV.
import { download } from "./address.js";
import { node } from "./chart.js";
import { read } from "./data.js";
import { byId, make } from "./dom.js";
import { age, day, number, percent, price, signed, tone } from "./format.js";
import { fill, sortable } from "./table.js";

const HEADS = ["Constituent", "Weight", "Price", "24 h", "7 d", "30 d", "30 days", "Since rebalance", "Contribution", "Venues", "Supply"];
const SPARK = [84, 26];

export class Constituents {
  constructor(index) {
    this.index = index;
    byId("members-csv").addEventListener("click", () => download(`${index}-constituents.csv`, this.#csv(), "text/csv"));
  }

  async load() {
    this.answer = await read(`indices/${this.index}/constituents`);
    const { count, rebalanced_at: when, effective_number: effective } = this.answer;
    const since = when ? `, rebalanced ${day(Date.parse(when))}` : "";
    byId("constituents-note").textContent = `${count} assets, as many as ${number(effective, 1)} equal ones${since}`;
    this.draw({});
  }

  // With what the market did to each, by asset, once it is there.
  draw(markets) {
    this.markets = markets;
    const largest = Math.max(0.01, ...this.answer.data.map((member) => member.weight ?? 0));
    fill(byId("constituents"), HEADS, this.answer.data.map((member) => this.#cells(member, markets[member.asset] ?? {}, largest)));
    for (const row of byId("constituents").rows) for (const column of [6, 7, 8, 9, 10]) row.cells[column].classList.add("optional");
    sortable(byId("constituents"));
  }

  #cells(member, market, largest) {
    return [
      { node: nameOf(member), value: member.symbol },
      { node: weightOf(member, largest), value: member.weight, title: `${percent(member.weight_target)} at the rebalance, drift ${signed(member.drift, 2)}` },
      { text: price(member.rate), value: member.rate, title: member.rate_at ? `${member.rate_status}, ${this.#ageOf(member)}` : "no price" },
      ...["h24", "d7", "d30"].map((span) => change(market[span])),
      { node: sparkline(market.spark ?? []) },
      change(member.change_since_rebalance),
      change(member.contribution, 2),
      { text: market.venues ? `${market.venues.length}${market.spread === null ? "" : ` · ${percent(market.spread, 2)}`}` : "–", value: market.venues?.length, title: market.venues?.join(", ") ?? "" },
      supplyOf(member, market),
    ];
  }

  #ageOf({ rate_at: seen }) {
    const [when, at] = [Date.parse(seen), Date.parse(this.answer.at)];
    return when >= at ? "at the level" : age(when, at).replace(" ago", " before the level");
  }

  #csv() {
    const columns = ["symbol", "name", "sub_sector", "weight", "weight_target", "drift", "rate", "change_since_rebalance", "contribution", "supply_source"];
    const rows = this.answer.data.map((member) => [...columns.map((name) => member[name]), ...["h24", "d7", "d30", "spread"].map((name) => this.markets[member.asset]?.[name])]);
    return [[...columns, "change_24h", "change_7d", "change_30d", "venue_spread"], ...rows].map((cells) => cells.map(quoted).join(",")).join("\r\n") + "\r\n";
  }
}

function quoted(value) {
  const text = String(value ?? "");
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function nameOf(member) {
  const link = make("a", { href: `assets/${encodeURIComponent(member.asset)}` }, make("strong", { textContent: member.symbol }));
  return make("span", {}, link, make("small", { textContent: `${member.name} · ${member.sub_sector}` }));
}

function weightOf(member, largest) {
  const bar = make("i");
  bar.style.setProperty("--share", (member.weight ?? 0) / largest);
  return make("span", { className: "weight" }, make("span", {}, bar), make("span", { textContent: percent(member.weight) }));
}

function change(value, digits = 1) {
  return { text: signed(value, digits), value: value ?? null, className: tone(value) };
}

function sparkline(values) {
  if (values.length < 2) return "–";
  const [width, height] = SPARK, low = Math.min(...values), span = Math.max(...values) - low || 1;
  const points = values.map((value, i) => `${((i / (values.length - 1)) * (width - 2) + 1).toFixed(1)},${(height - 2 - ((value - low) / span) * (height - 4)).toFixed(1)}`);
  const move = values.at(-1) / values[0] - 1;
  const svg = node("svg", { class: `spark ${move < 0 ? "down" : "up"}`, width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `30 days: ${signed(move)}` });
  svg.append(node("polyline", { points: points.join(" ") }));
  return svg;
}

function supplyOf(member, { grade }) {
  if (!member.supply_source) return "–";
  const source = member.supply_source.replace("_", "-");
  const title = [member.supply_observed_at ? `true on ${day(Date.parse(member.supply_observed_at))}` : "", grade ? `the chain's rule for it is ${grade}` : ""].filter(Boolean).join("; ");
  if (!member.supply_link) return { text: source, title };
  return { link: member.supply_link, text: `${source}, block ${member.supply_block.toLocaleString("en-US")}`, title };
}
