// What an index can be held against, and how it went with each: other indices, coins, constituents, benchmarks.
import { ask, read, readCloses, readLevels, timesOf } from "./data.js";
import { byId, make } from "./dom.js";
import { number, signed } from "./format.js";
import { lowerBound } from "./scale.js";

const PREFERRED = ["BTC", "ETH", "QQQ", "NVDA"];
const MOST = 4, MOST_CHIPS = 9, MIN_PAIRS = 20;

export class Comparison {
  constructor(index, { picked, onPick }) {
    this.index = index;
    this.picked = new Set(picked);
    this.onPick = onPick;
    this.others = [];
    this.known = new Map();
    byId("compare-with").addEventListener("change", ({ target }) => {
      const id = this.#find(target.value.trim());
      target.setCustomValidity(id || !target.value ? "" : "Not among what is stored here");
      target.reportValidity();
      if (!id) return;
      target.value = "";
      this.#toggle(id, true);
    });
  }

  // Reads what there is to compare with; names of an address become ids.
  async load(daily) {
    this.daily = daily;
    this.known.clear();
    const [indices, benchmarks, members, coins] = await Promise.all([
      read("indices"), read("benchmarks"), read(`indices/${this.index}/constituents`), read("coins")]);
    const tokens = new Map([...coins.data.map((slug) => [slug, slug.toUpperCase()]), ...members.data.map((member) => [member.asset, member.symbol])]);
    this.others = [
      ...indices.data.filter((other) => other.id !== this.index && other.latest).map(({ id, name }) => ({ id, label: id, name })),
      ...[...tokens].map(([slug, symbol]) => ({ id: `token:${slug}`, label: symbol, name: "token" })),
      ...benchmarks.data.filter((other) => other.sessions > 0).map(({ symbol, name }) => ({ id: `benchmark:${symbol}`, label: symbol, name })),
    ];
    byId("comparable").replaceChildren(...this.others.map(({ label, name }) => make("option", { value: label, textContent: name })));
    this.pick(this.picked);
  }

  pick(names) {
    this.picked = new Set([...names].map((name) => this.#find(name)).filter(Boolean));
    this.#chips();
  }

  #find(name) {
    return this.others.find(({ id, label }) => name === id || name.toUpperCase() === label.toUpperCase())?.id;
  }

  label(id) {
    return this.others.find((other) => other.id === id)?.label ?? id;
  }

  #toggle(id, on) {
    if (on) this.picked.add(id);
    else this.picked.delete(id);
    if (this.picked.size > MOST) this.picked.delete(this.picked.values().next().value);
    this.#chips();
    this.onPick();
  }

  #chips() {
    const rank = ({ id, label }) => (this.picked.has(id) ? -1 : PREFERRED.includes(label) ? PREFERRED.indexOf(label) : 9);
    const shown = [...this.others].sort((a, b) => rank(a) - rank(b)).slice(0, MOST_CHIPS);
    byId("compare-chips").replaceChildren(...this.others.filter((other) => shown.includes(other)).map(({ id, label }) => {
      const button = make("button", { type: "button", textContent: label, ariaPressed: String(this.picked.has(id)) });
      button.addEventListener("click", () => this.#toggle(id, !this.picked.has(id)));
      return button;
    }));
  }

  // Daily values of one of them as parallel arrays {times (ms), values}, read once.
  series(id) {
    if (!this.known.has(id)) this.known.set(id, this.#read(id));
    return this.known.get(id);
  }

  async #read(id) {
    const [kind, name] = id.includes(":") ? id.split(/:(.*)/) : ["index", id];
    if (kind === "benchmark") return readCloses(name);
    if (kind === "index") return readLevels(id, { interval: "1d" });
    const rates = await ask(new URL(`page-data/rates?symbol=${encodeURIComponent(name)}`, document.baseURI));
    return { times: timesOf(rates), values: rates.rate };
  }

  // Our own levels at the instants that the other's values are of: at the close beside a benchmark, else at 00:00 UTC.
  async #own(id) {
    if (!id.startsWith("benchmark:")) return this.daily;
    if (!this.known.has("closes")) this.known.set("closes", readLevels(this.index, { at: "close" }));
    return this.known.get("closes");
  }

  // "ρ 0.41, β 0.62, n 180" of log returns between instants that both have, in a range.
  async words(id, bounds) {
    const pairs = paired(await this.#own(id), await this.series(id), bounds);
    if (pairs.length < MIN_PAIRS) return "";
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [x, y] = [pairs.map(([, other]) => other), pairs.map(([own]) => own)];
    const [mx, my] = [mean(x), mean(y)];
    const product = (a, ma, b, mb) => mean(a.map((value, i) => (value - ma) * (b[i] - mb)));
    const [xx, yy, xy] = [product(x, mx, x, mx), product(y, my, y, my), product(x, mx, y, my)];
    return `ρ ${number(xy / Math.sqrt(xx * yy))}, β ${number(xy / xx)}, n ${pairs.length}`;
  }
}

// [own, other] log returns between consecutive instants that both series have a value of.
function paired(own, other, [start, end]) {
  const at = new Map(other.times.map((time, i) => [time, other.values[i]]));
  const out = [];
  let last = null;
  for (let i = lowerBound(own.times, start); i < own.times.length && own.times[i] <= end; i += 1) {
    const [a, b] = [own.values[i], at.get(own.times[i])];
    if (a === null || b === undefined || b === null) continue;
    if (last) out.push([Math.log(a / last[0]), Math.log(b / last[1])]);
    last = [a, b];
  }
  return out;
}

export function moveOf({ values }) {
  return signed(values.at(-1) / values[0] - 1);
}
