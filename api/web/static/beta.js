// The beta cards: betas to several benchmarks with their intervals, and the rolling beta of the picked one.
import { state, stated } from "./address.js";
import { LineChart } from "./chart.js";
import { read } from "./data.js";
import { byId, remember, remembered } from "./dom.js";
import { drawForest } from "./forest.js";
import { day, number } from "./format.js";

const SHOWN = ["QQQ", "NVDA", "SMH", "MSFT", "GOOGL", "META", "AMZN", "AMD", "AVGO", "TSM", "^NDX"];
const STAND_IN = "^NDX";

export class Betas {
  constructor(index) {
    this.index = index;
    this.sessions = byId("sessions");
    this.#restore();
    this.sessions.addEventListener("change", () => {
      remember("sessions", Number(this.sessions.value));
      state({ sessions: this.sessions.value });
      this.#read();
    });
    addEventListener("popstate", () => {
      this.#restore();
      if (this.symbols?.length) this.#read();
    });
    this.chart = new LineChart(byId("rolling"), { height: 300 });
    new ResizeObserver(() => this.#drawForest()).observe(byId("forest").parentElement);
  }

  #restore() {
    this.picked = stated("benchmark") ?? remembered("benchmark", "QQQ");
    this.sessions.value = stated("sessions") ?? String(remembered("sessions", 90));
    if (!this.sessions.value) this.sessions.value = "90";
  }

  async load(benchmarks, newest) {
    this.newest = newest;
    const known = benchmarks.filter((one) => one.sessions > 0).map((one) => one.symbol);
    this.standsIn = !known.includes("QQQ") && known.includes(STAND_IN);
    const order = (symbol) => (this.standsIn && symbol === STAND_IN ? 0 : SHOWN.indexOf(symbol) + 1 || 99);
    this.symbols = known.sort((a, b) => order(a) - order(b) || a.localeCompare(b)).slice(0, 8);
    if (!this.symbols.includes(this.picked)) this.picked = this.symbols[0];
    if (this.symbols.length) return this.#read();
    byId("beta-note").textContent = "No benchmark closes yet. Import them: deai import equities.csv.gz";
    return null;
  }

  async #read() {
    const sessions = this.sessions.value;
    this.answers = await Promise.all(this.symbols.map((symbol) =>
      read(`indices/${this.index}/beta`, { benchmark: symbol, sessions }).catch((error) => ({ benchmark: symbol, missing: error.message }))));
    this.#drawForest();
    this.#explain();
    await this.#drawRolling();
  }

  #pick(symbol) {
    this.picked = symbol;
    remember("benchmark", symbol);
    state({ benchmark: symbol });
    this.#drawForest();
    this.#explain();
    this.#drawRolling();
  }

  #drawForest() {
    if (!this.answers?.length) return;
    const items = this.answers.map((one) => (one.missing || one.beta === null
      ? { symbol: one.benchmark, missing: one.missing || one.reason }
      : { symbol: one.benchmark, beta: one.beta, low: one.ci_low, high: one.ci_high, text: `${number(one.beta)}  ± ${number(one.se)}` }));
    drawForest(byId("forest"), items, { picked: this.picked, onPick: (symbol) => this.#pick(symbol) });
  }

  #explain() {
    const one = this.answers.find((answer) => answer.benchmark === this.picked);
    if (!one) return;
    const standsIn = this.standsIn ? `No closes of QQQ could be had: ${STAND_IN}, the index it follows, stands in. ` : "";
    byId("beta-note").textContent = standsIn + (one.missing || one.beta === null
      ? `${one.benchmark}: ${one.missing || one.reason}.`
      : `${one.benchmark}: beta ${number(one.beta)} (standard error ${number(one.se)}), R² ${number(one.r2)}, n ${one.n}, ` +
        `correlation ${number(one.correlation)}, alpha ${number(one.alpha_annualised)} a year in logs ` +
        `(standard error ${number(one.se_alpha * one.periods_per_year)}); ${day(Date.parse(one.first_session))} to ` +
        `${day(Date.parse(one.last_session))}. Index sampled at the exchange close; ± is the standard error, bars are ${number(one.confidence * 100, 0)}\u202f% intervals.${this.#late(one)}`);
  }

  // Later closes without a level at their very instant, or levels without later closes, are not papered over.
  #late(one) {
    const warnings = one.warnings.map((text) => ` ${text}.`).join("");
    return one.stale_days > 7 ? ` Ends ${one.stale_days} days before the newest level: no close and level at the same instant since.${warnings}` : warnings;
  }

  async #drawRolling() {
    const [symbol, sessions] = [this.picked, this.sessions.value];
    byId("rolling-name").textContent = `${this.index} to ${symbol}, ${sessions} sessions`;
    const note = byId("rolling-note");
    try {
      const answer = await read(`indices/${this.index}/beta/history`, { benchmark: symbol, sessions, shape: "columns" });
      if (symbol !== this.picked || sessions !== this.sessions.value) return;
      const data = answer.data;
      const series = { name: `β ${symbol}`, times: data.time.map(Date.parse), values: data.beta, low: data.low, high: data.high };
      const text = (value, one, i) => `${number(value)} (${number(one.low?.[i])} to ${number(one.high?.[i])})`;
      this.chart.set({ series: [series], format: (value) => number(value, 1), read: text, reference: 1, label: `Rolling beta of ${this.index} to ${symbol}` });
      note.textContent = `Line: beta over the ${sessions} sessions before each close; band: its 95\u202f% interval.`;
    } catch (error) {
      this.chart.set({ series: [] });
      note.textContent = error.message;
    }
  }
}
