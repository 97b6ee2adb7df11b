// The beta cards: betas to several benchmarks with their intervals, and the rolling beta of the picked one.
import { state, stated } from "./address.js";
import { LineChart } from "./chart.js";
import { ask, timesOf } from "./data.js";
import { byId, make, remember, remembered } from "./dom.js";
import { drawForest } from "./forest.js";
import { day, number } from "./format.js";
import { term } from "./glossary.js";

const CLOCKS = { at_close: "at the exchange close", daily_utc: "by UTC days", nq_hours: "by hours of the future", hourly_utc: "by the hour" };

export class Betas {
  constructor(index) {
    this.index = index;
    this.sessions = byId("sessions");
    this.clock = byId("clock");
    this.#restore();
    for (const [name, select] of [["sessions", this.sessions], ["clock", this.clock]]) {
      select.addEventListener("change", () => {
        remember(name, select.value);
        state({ [name]: select.value || null });
        this.load();
      });
    }
    addEventListener("popstate", () => {
      this.#restore();
      this.load();
    });
    this.chart = new LineChart(byId("rolling"), { height: 300 });
    new ResizeObserver(() => this.#drawForest()).observe(byId("forest").parentElement);
  }

  #restore() {
    this.picked = stated("benchmark") ?? remembered("benchmark", "QQQ");
    this.sessions.value = stated("sessions") ?? String(remembered("sessions", 90));
    if (!this.sessions.value) this.sessions.value = "90";
    this.clock.value = stated("clock") ?? remembered("clock", "");
    if (this.clock.selectedIndex < 0) this.clock.value = "";
  }

  async load() {
    const query = new URLSearchParams({ index: this.index, benchmark: this.picked, sessions: this.sessions.value });
    if (this.clock.value) query.set("clock", this.clock.value);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const answer = await ask(new URL(`page-data/betas?${query}`, document.baseURI));
    if (turn !== this.turn) return;
    this.answer = answer;
    this.picked = answer.picked;
    if (!answer.rows.length) byId("beta-note").textContent = "No benchmark closes yet. Import them: deai import equities.csv.gz";
    else {
      this.#drawForest();
      this.#explain();
      this.#drawRolling();
    }
  }

  #pick(symbol) {
    this.picked = symbol;
    remember("benchmark", symbol);
    state({ benchmark: symbol });
    this.#drawForest();
    this.#explain();
    this.load();
  }

  #drawForest() {
    if (!this.answer?.rows.length) return;
    const items = this.answer.rows.map((row) => (row.missing || row.beta === null
      ? { symbol: row.symbol, missing: row.missing || row.reason }
      : { symbol: row.symbol, beta: row.beta, low: row.ci_low, high: row.ci_high, text: `${number(row.beta)}  ± ${number(row.se)}` }));
    drawForest(byId("forest"), items, { picked: this.picked, onPick: (symbol) => this.#pick(symbol) });
  }

  #explain() {
    const row = this.answer.rows.find((other) => other.symbol === this.picked);
    if (!row) return;
    const lacking = row.missing || (row.beta === null && row.reason);
    byId("beta-figure").textContent = lacking ? "–" : `${number(row.beta)} ± ${number(row.se)}`;
    byId("beta-of").textContent = lacking ? row.symbol : `to ${row.symbol}, n ${row.n}, to ${day(Date.parse(row.last_session))}, ${CLOCKS[this.answer.clock]}`;
    const pairs = new URLSearchParams({ benchmark: row.symbol, sessions: this.answer.sessions, clock: this.answer.clock });
    const link = make("a", { href: `v1/indices/${this.index}/beta/pairs.csv?${pairs}`, textContent: "The pairs of returns behind it (CSV)" });
    byId("beta-note").replaceChildren(...(lacking ? [`${row.symbol}: ${lacking}.`] : [term("R²"), ` ${number(row.r2)}, ${this.#words(row)} ± is the `, term("standard error"), ". ", link, "."]));
  }

  #words(row) {
    const { fallback, stand_in: standIn, clock } = this.answer;
    const words = [`correlation ${number(row.correlation)}, alpha ${number(row.alpha_annualised)} a year in logs ` +
      `(standard error ${number(row.se_alpha * row.periods_per_year)}), since ${day(Date.parse(row.first_session))}. Bars are ${number(row.confidence * 100, 0)}\u202f% intervals.`];
    if (standIn) words.push(`No closes of QQQ could be had: ${standIn}, the index it follows, stands in.`);
    if (fallback) words.push("The last closes have no level at their very instant, so these are betas by UTC days: less exact, but of now.");
    if (!fallback && row.stale_days > 7) words.push(`Ends ${row.stale_days} days before the newest level: no close and level at the same instant since.`);
    if (clock === "date_join") words.push("A naive join of dates: the two sides' returns are of different hours.");
    return [...words, ...row.warnings.map((text) => `${text}.`)].join(" ");
  }

  #drawRolling() {
    const { picked, sessions, path } = this.answer;
    byId("rolling-name").textContent = `${this.index} to ${picked}, ${sessions} sessions`;
    byId("rolling-note").textContent = path.missing ?? `Line: beta over the ${sessions} sessions before each close; band: its 95\u202f% interval.`;
    if (path.missing) return this.chart.set({ series: [] });
    const series = { name: `β ${picked}`, times: timesOf(path), values: path.beta, low: path.low, high: path.high };
    const text = (value, one, i) => `${number(value)} (${number(one.low?.[i])} to ${number(one.high?.[i])})`;
    this.chart.set({ series: [series], format: (value) => number(value, 1), read: text, reference: 1, label: `Rolling beta of ${this.index} to ${picked}` });
  }
}
