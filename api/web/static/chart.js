// A line chart in SVG: several series, a band, marks, a strip of statuses; read by pointer and by keyboard.
// set({series: [{name, times, values, low?, high?, status?}], marks, format, log, zero, label, onZoom})
import { day, moment } from "./format.js";
import { linear, logarithmic, logTicks, nearest, ticks, timeTicks } from "./scale.js";
import { areaPath, extent, linePath, runs } from "./shape.js";

const SVG = "http://www.w3.org/2000/svg";
const PAD = { top: 12, right: 62, bottom: 26, left: 6 };

export function node(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

export class LineChart {
  constructor(host, { height = 340 } = {}) {
    this.host = host;
    this.height = height;
    this.plot = { series: [], marks: [] };
    host.classList.add("plot");
    this.svg = node("svg", { role: "img", tabindex: "0", height });
    this.tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
    this.live = Object.assign(document.createElement("div"), { className: "quiet-live" });
    this.live.setAttribute("aria-live", "polite");
    this.legend = Object.assign(document.createElement("p"), { className: "legend", hidden: true });
    host.replaceChildren(this.svg, this.legend, this.tip, this.live);
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(host);
  }

  set(plot) {
    this.plot = { marks: [], ...plot };
    this.cursor = null;
    this.tip.hidden = true;
    const named = plot.series.filter((one) => one.times.length);
    this.legend.hidden = named.length < 2;
    this.legend.replaceChildren(...named.map((one, place) => {
      const name = Object.assign(document.createElement("span"), { className: `c${place}` });
      name.append(Object.assign(document.createElement("span"), { className: "key" }), one.legend ?? one.name);
      return name;
    }));
    this.draw();
  }

  draw() {
    const series = this.plot.series.filter((one) => one.times.length);
    const width = this.host.clientWidth;
    if (!width) return;
    this.width = width;
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.setAttribute("aria-label", this.plot.label || "Chart");
    if (!series.length) return;
    this.#scales(series);
    this.#axes();
    this.#strip(series[0]);
    this.#marks();
    series.forEach((one, place) => this.#series(one, place, series.length === 1 && !one.low));
    this.over = this.svg.appendChild(node("g"));
    if (this.cursor !== null) this.#hover(this.cursor);
  }

  #scales(series) {
    const box = extent(series, this.plot.zero);
    const bottom = this.height - PAD.bottom;
    const room = this.plot.log ? 1.03 : 1;
    const pad = this.plot.log ? 0 : (box.high - box.low) * 0.06 || Math.abs(box.high) * 0.05 || 1;
    const make = this.plot.log ? logarithmic : linear;
    this.range = { low: (box.low - pad) / room, high: (box.high + (this.plot.zero === "top" ? pad * 0.2 : pad)) * room };
    const [{ open, times }] = series;
    const half = open && times.length > 1 ? (box.to - box.from) / (times.length - 1) / 2 : 0;  // of a candle: the last must not stand on the labels
    this.x = linear(box.from - half, box.to + half, PAD.left, this.width - PAD.right);
    this.y = make(this.range.low, this.range.high, bottom, PAD.top);
  }

  #axes() {
    const right = this.width - PAD.right;
    const make = this.plot.log ? logTicks : ticks;
    for (const tick of make(this.range.low, this.range.high, Math.max(3, this.height / 62))) {
      const y = Math.round(this.y(tick)) + 0.5;
      this.svg.append(node("line", { class: "grid", x1: PAD.left, x2: right, y1: y, y2: y }));
      this.svg.append(node("text", { x: right + 8, y: y + 4 }, this.plot.format(tick)));
    }
    const { reference } = this.plot;
    if (reference > this.range.low && reference < this.range.high) {
      this.svg.append(node("line", { class: "zero", x1: PAD.left, x2: right, y1: this.y(reference), y2: this.y(reference) }));
    }
    const every = this.width < 520 ? 4 : 8;
    for (const { at, label } of timeTicks(this.x.invert(PAD.left), this.x.invert(right), every)) {
      const x = this.x(at);
      if (x > PAD.left + 12 && x < right - 6) this.svg.append(node("text", { x, y: this.height - 6, "text-anchor": "middle" }, label));
    }
  }

  #strip(one) {
    if (!one.status) return;
    const y = this.height - PAD.bottom + 1;
    for (const run of runs(one.status)) {
      const from = this.x(one.times[run.from]);
      const to = this.x(one.times[Math.min(run.to + 1, one.times.length - 1)]);
      const strip = node("rect", { class: `s-${run.value}`, x: from, y, width: Math.max(1, to - from), height: 5 });
      strip.append(node("title", {}, `${run.value}: ${day(one.times[run.from])} to ${day(one.times[run.to])}`));
      this.svg.append(strip);
    }
  }

  #marks() {
    const bottom = this.height - PAD.bottom;
    for (const mark of this.plot.marks) {
      const x = this.x(mark.at);
      if (x < PAD.left || x > this.width - PAD.right) continue;
      if (mark.kind === "event") {
        this.svg.append(node("line", { class: "mark event", x1: x, x2: x, y1: PAD.top, y2: bottom }));
        this.svg.append(node("path", { class: "flag", d: `M${x - 4} ${PAD.top - 8}h8l-4 8z` }));
      } else {
        const broken = mark.kind === "break";
        if (broken) this.svg.append(node("line", { class: "mark break", x1: x, x2: x, y1: PAD.top, y2: bottom }));
        const shape = broken ? `M${x - 4} ${bottom - 9}l8 8m0 -8l-8 8` : `M${x - 3.5} ${bottom}l3.5 -6l3.5 6z`;
        this.svg.append(node("path", { class: `tick ${mark.kind}`, d: shape }));
      }
    }
  }

  #series(one, place, filled) {
    const group = this.svg.appendChild(node("g", { class: `c${place}` }));
    const pixels = Math.max(200, this.width);
    if (one.open) return this.#candles(one, group);
    if (one.low) group.append(node("path", { class: "band", d: areaPath(one.times, one.low, { x: this.x, y: this.y, base: one.high }) }));
    if (filled) {
      const base = this.plot.zero === "top" ? this.y(0) : this.height - PAD.bottom;
      group.append(node("path", { class: "area", d: areaPath(one.times, one.values, { x: this.x, y: this.y, floor: base }) }));
    }
    group.append(node("path", { class: "line", d: linePath(one.times, one.values, { x: this.x, y: this.y, pixels }) }));
    const last = one.values.findLastIndex((value) => value !== null);
    if (last < 0) return;
    group.append(node("circle", { class: "dot", cx: this.x(one.times[last]), cy: this.y(one.values[last]), r: 4 }));
  }

  // A bar of up or down from open to close on a line from low to high; hollow while it still lives.
  #candles(one, group) {
    const step = one.times.length > 1 ? Math.min(...one.times.slice(1).map((time, i) => this.x(time) - this.x(one.times[i]))) : 12;
    const width = Math.max(1, Math.min(14, step * 0.7));
    one.times.forEach((time, i) => {
      const [x, top, bottom] = [this.x(time), this.y(Math.max(one.open[i], one.values[i])), this.y(Math.min(one.open[i], one.values[i]))];
      const bar = group.appendChild(node("g", { class: `bar-${one.values[i] < one.open[i] ? "down" : "up"}${one.complete[i] ? "" : " living"}` }));
      bar.append(node("line", { x1: x, x2: x, y1: this.y(one.high[i]), y2: this.y(one.low[i]) }));
      bar.append(node("rect", { x: x - width / 2, y: top, width, height: Math.max(1, bottom - top) }));
    });
  }

  #listen() {
    const at = (event) => event.clientX - this.svg.getBoundingClientRect().left;
    let from = null;
    this.svg.addEventListener("pointermove", (event) => {
      if (!this.x) return;
      this.#hover(this.x.invert(at(event)));
      if (from !== null) this.#selection(from, at(event));
    });
    this.svg.addEventListener("pointerleave", () => { if (from === null) this.#leave(); });
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || !this.plot.onZoom) return;
      from = at(event);
      this.svg.setPointerCapture(event.pointerId);
    });
    this.svg.addEventListener("pointerup", (event) => {
      const to = at(event);
      if (from !== null && Math.abs(to - from) > 12) {
        const [start, end] = [this.x.invert(Math.min(from, to)), this.x.invert(Math.max(from, to))];
        from = null;
        this.plot.onZoom(start, end);
      }
      from = null;
    });
    this.svg.addEventListener("dblclick", () => this.plot.onZoom?.(null, null));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    this.svg.addEventListener("blur", () => this.#leave());
  }

  #key(event) {
    const times = this.plot.series[0]?.times;
    if (!times?.length || !this.x) return;
    const now = this.cursor === null ? times.length - 1 : nearest(times, this.cursor);
    const big = Math.max(1, Math.round(times.length / 20));
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageDown: -big, PageUp: big, Home: -times.length, End: times.length };
    if (event.key === "Escape") return this.#leave();
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.#hover(times[Math.max(0, Math.min(times.length - 1, now + moves[event.key]))]);
    this.live.textContent = this.tip.textContent;
  }

  #selection(from, to) {
    const [left, right] = [Math.min(from, to), Math.max(from, to)];
    this.over.append(node("rect", { class: "select", x: left, width: right - left, y: PAD.top, height: this.height - PAD.top - PAD.bottom }));
  }

  #leave() {
    this.cursor = null;
    this.tip.hidden = true;
    this.over?.replaceChildren();
  }

  #hover(ms) {
    const series = this.plot.series.filter((one) => one.times.length);
    if (!series.length) return;
    const when = series[0].times[nearest(series[0].times, ms)];
    const x = this.x(when);
    this.cursor = when;
    this.over.replaceChildren(node("line", { class: "hair", x1: x, x2: x, y1: PAD.top, y2: this.height - PAD.bottom }));
    const lines = [];
    series.forEach((one, place) => {
      const spot = nearest(one.times, when);
      const value = one.values[spot];
      if (value === null) return;
      const group = this.over.appendChild(node("g", { class: `c${place}` }));
      group.append(node("circle", { class: "dot", cx: this.x(one.times[spot]), cy: this.y(value), r: 4.5 }));
      lines.push({ place, name: one.name, text: (this.plot.read || this.plot.format)(value, one, spot), status: one.status?.[spot] });
    });
    this.#say(when, lines, x);
  }

  #say(when, lines, x) {
    const wide = this.plot.series[0].times.length > 1 && this.plot.series[0].times[1] - this.plot.series[0].times[0] < 80_000_000;
    const head = Object.assign(document.createElement("div"), { className: "when", textContent: wide ? moment(when) : day(when) });
    const rows = lines.map((line) => {
      const row = document.createElement("div");
      const name = Object.assign(document.createElement("span"), { className: `c${line.place}` });
      name.append(Object.assign(document.createElement("span"), { className: "key" }), line.name);
      const value = Object.assign(document.createElement("b"), { textContent: ` ${line.text}` });
      row.append(name, value);
      if (line.status && line.status !== "final") row.append(Object.assign(document.createElement("span"), { className: "when", textContent: line.status }));
      return row;
    });
    const close = this.plot.marks.filter((mark) => Math.abs(this.x(mark.at) - x) < 6).slice(0, 2);
    const notes = close.map((mark) => Object.assign(document.createElement("div"), { className: "mark-text", textContent: mark.text }));
    this.tip.replaceChildren(head, ...rows, ...notes);
    this.tip.hidden = false;
    const room = this.width - PAD.right;
    this.tip.style.left = `${Math.max(0, x + 14 + this.tip.offsetWidth > room ? x - 14 - this.tip.offsetWidth : x + 14)}px`;
  }
}
