// The history card: level, drawdown or comparison, over a range, with rebalances and events as marks.
import { copyLink, csvOf, download, state, stated } from "./address.js";
import { LineChart } from "./chart.js";
import { read, readCloses, readLevels } from "./data.js";
import { byId, choice, make, remember, remembered } from "./dom.js";
import { day, level, number, percent, signed } from "./format.js";
import { lowerBound } from "./scale.js";
import { drawdowns } from "./shape.js";

const DAY = 86_400_000;
const RANGES = [["1W", 7], ["1M", 30], ["3M", 91], ["YTD", 0], ["1Y", 365], ["All", Infinity]];
const VIEWS = [["level", "Level"], ["drawdown", "Drawdown"], ["compare", "Compare"]];
const PICTURES = { "1W": "1w", "1M": "1m", "3M": "3m", "1Y": "1y", All: "all" };  // ranges of the server's own charts
const MARKS = [["event", "event"], ["change", "rebalance"], ["left", "rebalance, members left"], ["break", "members left without a price"]];
const MEANING = {
  final: "priced by enough venues", provisional: "the first filling is not complete: this level will be computed again",
  indicative: "three venues price less of the weight than a final level needs", degraded: "two venues price less of the weight than an indicative level needs",
  carried: "some price is an earlier one", impaired: "too much of the weight is carried, or too few members are held", suspended: "no level can be vouched for",
};
const FINE_DAYS = 92;

// Where the basket broke: members left without a price or came back so, or the index had no level to vouch for.
export function breaksOf(rebalances) {
  const left = rebalances.data.filter(({ kind }) => kind === "suspension" || kind === "resumption");
  const spells = rebalances.notes.filter(({ kind }) => kind === "impaired" || kind === "suspended");
  return [
    ...left.map((change) => ({ at: Date.parse(change.effective_at), text: wordsOf(change) })),
    ...spells.map((note) => ({ at: Date.parse(note.start_at), text: `${note.kind} since ${note.start_at.slice(0, 10)}: ${note.reason}` })),
  ].sort((a, b) => a.at - b.at);
}

function markOf({ kind, left }) {
  return kind === "suspension" || kind === "resumption" ? "break" : left.length ? "left" : "change";
}

function wordsOf(change) {
  const turnover = change.turnover === null ? "" : `, turnover ${percent(change.turnover)}`;
  const kind = change.kind === "event" ? "corporate action" : change.kind;
  return `${kind} ${change.effective_at.slice(0, 10)}${turnover}${list(", in ", change.entered)}${list(", out ", change.left)}`;
}

export class History {
  constructor(index) {
    this.index = index;
    this.daily = null;
    this.marks = [];
    this.chart = new LineChart(byId("chart"), { height: window.innerWidth < 560 ? 260 : 360 });
    byId("log").addEventListener("click", () => this.#become({ log: !this.log }));
    byId("copy").addEventListener("click", () => this.#copy());
    byId("csv").addEventListener("click", () => download(`${index}-${this.view}.csv`, csvOf(this.plotted)));
    this.#restore();
    addEventListener("popstate", () => {
      this.#restore();
      this.#offer();
      this.show();
    });
  }

  // From the address where it says anything, else as this browser remembers it.
  #restore() {
    const linked = RANGES.some(([name]) => name === stated("range")) || stated("from") !== null || stated("view") !== null;
    const kept = linked ? (name, otherwise) => stated(name) ?? otherwise : remembered;
    const view = kept("view", "level");
    this.view = VIEWS.some(([name]) => name === view) ? view : "level";
    this.range = kept("range", "1Y");
    this.log = linked ? stated("log") === "1" : remembered("log", false);
    this.compared = new Set(linked ? stated("compare")?.split(",") : remembered("compared", []));
    const zoom = [Date.parse(stated("from")), Date.parse(stated("to"))];
    this.zoom = zoom[0] < zoom[1] ? zoom : null;
    this.#controls();
  }

  #controls() {
    choice(byId("views"), VIEWS.map(([value, label]) => ({ value, label })), { picked: this.view, onPick: (view) => this.#become({ view }) });
    choice(byId("ranges"), RANGES.map(([value]) => ({ value, label: value })), { picked: this.range, onPick: (range) => this.#become({ range, zoom: null }) });
    byId("log").setAttribute("aria-pressed", String(this.log));
  }

  #become(change) {
    Object.assign(this, change);
    for (const name of ["view", "range", "log"]) remember(name, this[name]);
    byId("log").setAttribute("aria-pressed", String(this.log));
    this.#tell();
    this.show();
  }

  #tell(options) {
    const [from, to] = this.zoom?.map((time) => new Date(time).toISOString().slice(0, 16) + "Z") ?? [null, null];
    const compare = this.view === "compare" && this.compared.size ? [...this.compared].map((id) => this.name(id)).join(",") : null;
    state({ view: this.view, range: this.range, log: this.log ? "1" : null, compare, from, to }, options);
  }

  async #copy() {
    this.#tell({ complete: true });
    const done = await copyLink().catch(() => false);
    byId("copied").textContent = done ? "Copied." : location.href;
  }

  async load() {
    this.fine = new Map();
    this.daily = await readLevels(this.index, { interval: "1d" });
    this.others = await this.#comparable();
    this.marks = await this.#readMarks();
    this.#offer();
    await this.show();
  }

  async #comparable() {
    const [indices, benchmarks] = await Promise.all([read("indices"), read("benchmarks")]);
    return [
      ...indices.data.filter((one) => one.id !== this.index && one.latest).map((one) => ({ id: one.id, label: one.id })),
      ...benchmarks.data.filter((one) => one.sessions > 0).map((one) => ({ id: `benchmark:${one.symbol}`, label: one.symbol })),
    ];
  }

  async #readMarks() {
    const { simulated } = await read(`indices/${this.index}/latest`);
    const [rebalances, events] = await Promise.all([
      read(`indices/${this.index}/rebalances`, { items: false }).catch(() => ({ data: [] })),
      simulated ? { data: [] } : read("events").catch(() => ({ data: [] })),
    ]);
    const changes = rebalances.data.map((change) => ({ at: Date.parse(change.effective_at), kind: markOf(change), text: wordsOf(change) }));
    return [...events.data.map((one) => ({ at: Date.parse(one.time), kind: "event", text: one.title })), ...changes];
  }

  #offer() {
    const host = byId("compare");
    const known = (name) => this.others.find(({ id, label }) => name === id || name === label)?.id;
    this.compared = new Set([...this.compared].map(known).filter(Boolean));
    host.replaceChildren(...this.others.map(({ id, label }) => {
      const button = make("button", { type: "button", textContent: label });
      button.setAttribute("aria-pressed", String(this.compared.has(id)));
      button.addEventListener("click", () => {
        if (!this.compared.delete(id)) this.compared.add(id);
        if (this.compared.size > 4) this.compared.delete(this.compared.values().next().value);
        for (const one of host.children) one.setAttribute("aria-pressed", String(this.compared.has(one.dataset.id)));
        remember("compared", [...this.compared]);
        this.#become({});
      });
      button.dataset.id = id;
      return button;
    }));
  }

  #bounds() {
    if (this.zoom) return this.zoom;
    const last = this.newest ?? this.daily.times[this.daily.times.length - 1] ?? Date.now();
    const days = RANGES.find(([name]) => name === this.range)?.[1] ?? 365;
    const start = days === 0 ? Date.UTC(new Date(last).getUTCFullYear(), 0, 1) : last - days * DAY;
    return [Math.max(start, this.daily.times[0] ?? last), last];
  }

  async #series(id, [start, end]) {
    const daily = id === this.index ? this.daily : await this.#other(id);
    if (end - start > FINE_DAYS * DAY || id.startsWith("benchmark:")) return cut(daily, start, end);
    const key = `${id}:${Math.floor(start / DAY)}:${Math.floor(end / DAY)}`;
    if (!this.fine.has(key)) {
      const hours = { interval: "1h", start: new Date(start).toISOString(), end: new Date(end + 1000).toISOString() };
      this.fine.set(key, await readLevels(id, hours));
    }
    const fine = this.fine.get(key);
    return fine.times.length > 2 ? fine : cut(daily, start, end);
  }

  async #other(id) {
    if (!this.fine.has(id)) {
      const own = id.startsWith("benchmark:");
      this.fine.set(id, own ? await readCloses(id.slice(10)) : await readLevels(id, { interval: "1d" }));
    }
    return this.fine.get(id);
  }

  async show() {
    if (!this.daily?.times.length) return;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const bounds = this.#bounds();
    byId("compare").hidden = this.view !== "compare";
    const ids = [this.index, ...(this.view === "compare" ? this.others.map((one) => one.id).filter((id) => this.compared.has(id)) : [])];
    const read = await Promise.all(ids.map(async (id) => ({ id, ...(await this.#series(id, bounds)) })));
    if (turn !== this.turn) return;
    const series = read.filter((one) => one.times.length);
    const plot = { level: levelPlot, drawdown: drawdownPlot, compare: comparePlot }[this.view](series, this);
    this.plotted = plot.series;
    this.#pictures();
    const label = `${plot.title} from ${day(bounds[0])} to ${day(bounds[1])}. ${plot.said}`;
    this.chart.set({ ...plot, label, marks: this.marks, onZoom: (from, to) => this.#become({ zoom: from === null ? null : [from, to] }) });
    const hint = this.zoom ? "Double-click to zoom out." : "Drag to zoom, arrow keys to read.";
    byId("chart-note").replaceChildren(`${plot.said} ${hint}`);
    this.#keys(series[0], bounds);
  }

  // What the marks and the colours of the strip mean, of those in sight.
  #keys({ status = [] }, [start, end]) {
    const kinds = new Set(this.marks.filter(({ at }) => at >= start && at <= end).map(({ kind }) => kind));
    const marks = MARKS.filter(([kind]) => kinds.has(kind)).map(([kind, text]) => make("span", {}, make("i", { className: `m-${kind}` }), text));
    const strips = [...new Set(status)].map((name) => make("span", { title: MEANING[name] || "" }, make("i", { className: `k-${name}` }), name));
    byId("chart-keys").replaceChildren(...marks, ...(strips.length > 1 || strips[0]?.textContent !== "final" ? strips : []));
  }

  // The server draws levels and drawdowns over its own ranges.
  #pictures() {
    const range = this.view === "compare" || this.zoom ? null : PICTURES[this.range];
    for (const kind of ["svg", "png"]) {
      byId(kind).hidden = !range;
      byId(kind).href = `charts/${this.index}.${kind}?kind=${this.view}&range=${range}`;
    }
  }

  name(id) {
    return id === this.index ? id : this.others.find((one) => one.id === id)?.label ?? id;
  }
}

function cut(all, start, end) {
  const from = lowerBound(all.times, start);
  const to = lowerBound(all.times, end + 1);
  return { times: all.times.slice(from, to), values: all.values.slice(from, to), status: all.status?.slice(from, to) };
}

function list(word, names) {
  return names.length ? word + names.join(", ") : "";
}

function levelPlot(series, { log, index }) {
  const [one] = series;
  const move = one.values[one.values.length - 1] / one.values[0] - 1;
  return { series: [{ ...one, name: index }], log, format: (value) => number(value, value < 10 ? 2 : 0), read: level, title: `Level of ${index}`, said: `${signed(move)} over the range shown.` };
}

function drawdownPlot(series, { daily, index }) {
  const [one] = series;
  const before = daily.values.slice(0, lowerBound(daily.times, one.times[0]));
  const values = drawdowns([...before, ...one.values]).slice(before.length);
  const worst = Math.min(...values);
  const said = `Deepest ${percent(worst)} below the highest level so far; now ${percent(values[values.length - 1])}.`;
  return { series: [{ ...one, name: index, values }], zero: "top", format: (value) => percent(value, 0), read: (value) => percent(value), title: `Drawdown of ${index}`, said };
}

function comparePlot(series, history) {
  const start = Math.max(...series.map((one) => one.times[0]));
  const based = series.map((one) => {
    const part = cut(one, start, Infinity);
    return { ...part, name: history.name(one.id), values: part.values.map((value) => (value / part.values[0]) * 100) };
  });
  const said = based.map((one) => `${one.name} ${signed(one.values[one.values.length - 1] / 100 - 1)}`).join(" · ");
  return { series: based.filter((one) => one.times.length), log: history.log, reference: 100, format: (value) => number(value, 0), read: (value) => signed(value / 100 - 1), title: "Comparison, first day = 100", said: `${said}.` };
}
