// The history card: level, drawdown or comparison, over a range, with rebalances and events as marks.
import { copyLink, csvOf, download, state, stated } from "./address.js";
import { LineChart } from "./chart.js";
import { Comparison, moveOf } from "./comparison.js";
import { read, readLevels } from "./data.js";
import { byId, choice, make, remember, remembered } from "./dom.js";
import { day, level, number, percent, signed } from "./format.js";
import { STATUS } from "./glossary.js";
import { copyPicture, pngOf, svgOf } from "./picture.js";
import { lowerBound } from "./scale.js";
import { drawdowns } from "./shape.js";

const DAY = 86_400_000;
const RANGES = [["1W", 7], ["1M", 30], ["3M", 91], ["YTD", 0], ["1Y", 365], ["All", Infinity]];
const VIEWS = [["level", "Level"], ["candles", "Candles"], ["drawdown", "Drawdown"], ["compare", "Compare"]];
const CANDLES = [[10, "1h"], [40, "4h"], [200, "1d"], [Infinity, "1w"]];  // by days in sight
const MARKS = [["event", "event"], ["change", "rebalance"], ["left", "rebalance, members left"], ["break", "members left without a price"]];
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
    byId("csv").addEventListener("click", () => download(`${index}-${this.view}.csv`, csvOf(this.plotted), "text/csv"));
    const name = (ending) => `${index}-${this.view}.${ending}`;
    byId("svg").addEventListener("click", () => download(name("svg"), svgOf(this.chart.svg, this.title), "image/svg+xml"));
    byId("png").addEventListener("click", async () => download(name("png"), await pngOf(this.chart.svg, this.title)));
    byId("picture").addEventListener("click", async () => {
      const taken = await copyPicture(this.chart.svg, this.title).catch(() => false);
      byId("copied").textContent = taken ? "Copied." : "This browser gives no clipboard here: take PNG.";
    });
    this.comparison = new Comparison(index, { picked: [], onPick: () => {
      remember("compared", [...this.comparison.picked]);
      this.#become({});
    } });
    this.#restore();
    addEventListener("popstate", () => {
      this.#restore();
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
    const compared = linked ? stated("compare")?.split(",") ?? [] : remembered("compared", []);
    if (this.daily) this.comparison.pick(compared);
    else this.comparison.picked = new Set(compared);
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
    const compare = this.view === "compare" && this.comparison.picked.size ? [...this.comparison.picked].map((id) => this.comparison.label(id)).join(",") : null;
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
    this.marks = await this.#readMarks();
    await this.comparison.load(this.daily);
    await this.show();
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

  #bounds() {
    if (this.zoom) return this.zoom;
    const last = this.newest ?? this.daily.times[this.daily.times.length - 1] ?? Date.now();
    const days = RANGES.find(([name]) => name === this.range)?.[1] ?? 365;
    const start = days === 0 ? Date.UTC(new Date(last).getUTCFullYear(), 0, 1) : last - days * DAY;
    return [Math.max(start, this.daily.times[0] ?? last), last];
  }

  async #series(id, [start, end]) {
    const daily = id === this.index ? this.daily : await this.comparison.series(id);
    if (end - start > FINE_DAYS * DAY || id.includes(":")) return cut(daily, start, end);
    const key = `${id}:${Math.floor(start / DAY)}:${Math.floor(end / DAY)}`;
    if (!this.fine.has(key)) this.fine.set(key, readLevels(id, { interval: "1h", ...within(start, end) }));
    const fine = await this.fine.get(key);
    return fine.times.length > 2 ? fine : cut(daily, start, end);
  }

  async #candles([start, end]) {
    const interval = CANDLES.find(([days]) => end - start <= days * DAY)[1];
    const key = `candles:${start}:${end}`;
    if (!this.fine.has(key)) this.fine.set(key, read(`indices/${this.index}/candles`, { shape: "columns", interval, ...within(start, end) }));
    const { data } = await this.fine.get(key);
    return [{ ...data, interval, times: data.time.map(Date.parse), values: data.close }];
  }

  async #shown(bounds) {
    if (this.view === "candles") return this.#candles(bounds);
    const ids = [this.index, ...(this.view === "compare" ? this.comparison.picked : [])];
    const series = await Promise.all(ids.map(async (id) => {
      const words = id === this.index ? "" : await this.comparison.words(id, bounds);
      return { id, name: id === this.index ? id : this.comparison.label(id), words, ...(await this.#series(id, bounds)) };
    }));
    return series.filter(({ times }) => times.length);
  }

  async show() {
    if (!this.daily?.times.length) return;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const bounds = this.#bounds();
    byId("compare").hidden = this.view !== "compare";
    const series = await this.#shown(bounds).catch((error) => {
      byId("chart-note").textContent = error.message;
      return [];
    });
    if (turn !== this.turn || !series.length) return;
    const plot = { level: levelPlot, candles: candlePlot, drawdown: drawdownPlot, compare: comparePlot }[this.view](series, this);
    this.plotted = plot.series;
    this.title = `${plot.title}, ${day(bounds[0])} to ${day(bounds[1])}`;
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
    const strips = [...new Set(status)].map((name) => make("span", { title: STATUS[name] || "" }, make("i", { className: `k-${name}` }), name));
    byId("chart-keys").replaceChildren(...marks, ...(strips.length > 1 || strips[0]?.textContent !== "final" ? strips : []));
  }
}

const within = (start, end) => ({ start: new Date(start).toISOString(), end: new Date(end + 1000).toISOString() });

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
  const before = daily.values.slice(0, lowerBound(daily.times, one.times[0])).map((value, i) => (daily.status?.[i] === "impaired" ? null : value));
  const good = one.values.map((value, i) => (one.status?.[i] === "impaired" ? null : value));
  const values = drawdowns([...before, ...good]).slice(before.length);
  const known = values.filter((value) => value !== null), out = values.length - known.length;
  const now = known.length ? `Deepest ${percent(Math.min(...known))} below the highest level so far; at last ${percent(known[known.length - 1])}.` : "";
  const said = out ? `${now} ${out} levels at which it was impaired are left out.` : now;
  return { series: [{ ...one, name: index, values }], zero: "top", format: (value) => percent(value, 0), read: (value) => percent(value), title: `Drawdown of ${index}`, said };
}

function candlePlot(series, { log, index }) {
  const [bars] = series;
  const said = bars.times.length ? `${moveOf({ values: [bars.open[0], bars.values.at(-1)] })} over the range shown; candles of ${bars.interval}, of official levels.` : "No candles in this range.";
  const text = (value, { open, high, low, complete }, i) => `O ${level(open[i])} H ${level(high[i])} L ${level(low[i])} C ${level(value)}${complete[i] ? "" : ", still open"}`;
  return { series: [{ ...bars, name: index }], log, format: (value) => number(value, value < 10 ? 2 : 0), read: text, title: `Candles of ${index}`, said };
}

function comparePlot(series, history) {
  const start = Math.max(...series.map(({ times }) => times[0]));
  const based = series.map((one) => {
    const part = cut(one, start, Infinity);
    const values = part.values.map((value) => (value / part.values[0]) * 100);
    return { ...part, name: one.name, values, legend: `${one.name} ${moveOf({ values })}${one.words ? ` · ${one.words}` : ""}` };
  });
  const said = based.length > 1 ? "Correlation ρ and beta β of the index to each, by log returns of the range shown (at closes beside a benchmark)." : "Pick something to hold it against.";
  return { series: based.filter(({ times }) => times.length), log: history.log, reference: 100, format: (value) => number(value, 0), read: (value) => signed(value / 100 - 1), title: `${based.map(({ name }) => name).join(", ")}; first day = 100`, said };
}
