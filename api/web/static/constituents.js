// The constituents table: sortable by any column, heaviest first.
import { read } from "./data.js";
import { byId, make } from "./dom.js";
import { age, day, number, percent, price, signed, tone } from "./format.js";

const COLUMNS = [
  ["symbol", "Constituent", nameCell],
  ["weight", "Weight", weightCell],
  ["drift", "Drift", (one) => signed(one.drift, 2), "optional"],
  ["rate", "Price", (one) => price(one.rate)],
  ["change_since_rebalance", "Since rebalance", (one) => signedCell(one.change_since_rebalance)],
  ["contribution", "Contribution", (one) => signedCell(one.contribution, 2), "optional"],
  ["rate_at", "Price age", ageCell, "optional"],
  ["supply_source", "Supply", supplyCell, "optional"],
];

export class Constituents {
  constructor(index) {
    this.index = index;
    this.sort = { key: "weight", down: true };
  }

  async load() {
    this.answer = await read(`indices/${this.index}/constituents`);
    const { count, rebalanced_at: when, effective_number: effective } = this.answer;
    const since = when ? `, rebalanced ${day(Date.parse(when))}` : "";
    byId("constituents-note").textContent = `${count} assets, as many as ${number(effective, 1)} equal ones${since}`;
    this.#draw();
  }

  #draw() {
    const { key, down } = this.sort;
    const rows = [...this.answer.data].sort((a, b) => compare(a[key], b[key]) * (down ? -1 : 1));
    const head = make("tr", {}, ...COLUMNS.map(([column, label, , kind]) => this.#heading(column, label, kind)));
    const at = Date.parse(this.answer.at);
    const largest = Math.max(0.01, ...rows.map((one) => one.weight ?? 0));
    const body = rows.map((one) => make("tr", {}, ...COLUMNS.map(([, , cell, kind]) => make("td", { className: kind || "" }, cell(one, at, largest)))));
    byId("constituents").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
  }

  #heading(column, label, kind) {
    const button = make("button", { type: "button", textContent: label });
    const heading = make("th", { className: kind || "", scope: "col" }, button);
    if (column === this.sort.key) heading.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
    button.addEventListener("click", () => {
      this.sort = { key: column, down: column === this.sort.key ? !this.sort.down : column !== "symbol" };
      this.#draw();
    });
    return heading;
  }
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return a < b ? -1 : 1;
}

function nameCell(one) {
  return make("span", {}, make("strong", { textContent: one.symbol }), make("small", { textContent: `${one.name} · ${one.sub_sector}` }));
}

function weightCell(one, at, largest) {
  const bar = make("i");
  bar.style.setProperty("--share", (one.weight ?? 0) / largest);
  return make("span", { className: "weight" }, make("span", {}, bar), make("span", { textContent: percent(one.weight) }));
}

function signedCell(value, digits = 1) {
  return make("span", { className: tone(value), textContent: signed(value, digits) });
}

function ageCell(one, at) {
  if (!one.rate_at) return "no price";
  const when = Date.parse(one.rate_at);
  return make("span", { title: one.rate_at, textContent: when >= at ? "at the level" : age(when, at).replace(" ago", " before") });
}

function supplyCell(one) {
  if (!one.supply_source) return "–";
  const source = one.supply_source.replace("_", "-");
  const seen = one.supply_observed_at ? `read ${day(Date.parse(one.supply_observed_at))}` : "";
  if (!one.supply_link) return make("span", { title: seen, textContent: source });
  return make("a", { href: one.supply_link, target: "_blank", rel: "noopener", title: seen, textContent: `${source}, block ${one.supply_block.toLocaleString("en-US")}` });
}
