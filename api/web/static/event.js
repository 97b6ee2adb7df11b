// The page of an event: what the index did around it, what the equity market explains, who moved.
import { LineChart } from "./chart.js";
import { read, readCloses, readFirst, readLevels } from "./data.js";
import { byId, choice, make } from "./dom.js";
import { drawForest } from "./forest.js";
import { age, day, moment, number, percent, price, signed, tone } from "./format.js";
import { lowerBound } from "./scale.js";
import { themeSwitch } from "./theme.js";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const AFTER = [["1 hour", HOUR], ["24 hours", DAY], ["3 days", 3 * DAY], ["7 days", 7 * DAY], ["30 days", 30 * DAY]];
const SPANS = [["3", "± 3 days"], ["30", "± 30 days"], ["90", "± 90 days"]];
const AGAINST = ["QQQ", "NVDA"];
const SESSIONS = 60;
const { index, event: slug } = document.body.dataset;
const iso = (ms) => new Date(ms).toISOString();

// Value at or before an instant, or null.
function before(series, at) {
  const spot = lowerBound(series.times, at + 1) - 1;
  return spot < 0 ? null : { at: series.times[spot], value: series.values[spot] };
}

function exactly(series, at) {
  const spot = lowerBound(series.times, at);
  return series.times[spot] === at ? series.values[spot] : null;
}

async function start() {
  themeSwitch();
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const own = new URLSearchParams({ index, slug });
  const below = readFirst(`page-data/event/study?${own}`, { beside: true }).catch(() => null);  // then each part is asked for by itself
  await readFirst(`page-data/event?${own}`, { beside: true });
  const [events, detail] = await Promise.all([read("events"), read(`indices/${index}`)]);
  const event = events.data.find((one) => one.slug === slug);
  const at = Date.parse(event.time);
  byId("simulated").hidden = !detail.simulated;
  const [hourly, daily, ...closes] = await Promise.all([
    readLevels(index, { interval: "1h", start: iso(at - 10 * DAY), end: iso(at + 95 * DAY) }),
    readLevels(index, { interval: "1d" }),
    ...AGAINST.map((symbol) => readCloses(symbol).catch(() => ({ times: [], values: [] }))),
  ]);
  const base = before(hourly, at);
  showReaction(hourly, base, at);
  showChart(hourly, daily, closes, at);
  await below;
  const study = await read(`indices/${index}/events/${encodeURIComponent(slug)}`).catch((error) => ({ missing: error.message }));
  showHours(study);
  showAbnormal(study);
  showClaims(study);
  await Promise.allSettled([showExpected(hourly, closes, at, study), showBetas(at), showMembers(at)]);
  showFacts(event, hourly, base, at);
  document.body.dataset.ready = "yes";
}

function showReaction(hourly, base, at) {
  byId("reaction").replaceChildren(...AFTER.map(([label, span]) => {
    const then = base && exactly(hourly, Math.floor((at + span) / HOUR) * HOUR);
    const change = then ? then / base.value - 1 : null;
    return make("div", {}, make("dt", { textContent: label }), make("dd", { className: tone(change), textContent: signed(change) }));
  }));
}

function showChart(hourly, daily, closes, at) {
  const chart = new LineChart(byId("chart"), { height: window.innerWidth < 560 ? 260 : 360 });
  const draw = (span) => {
    const [from, to] = [at - span * DAY, at + span * DAY];
    const all = [{ name: index, ...(span <= 3 ? hourly : daily) }, ...AGAINST.map((name, i) => ({ name, ...closes[i] }))];
    const series = all.map((one) => based(one, from, to, at)).filter((one) => one.times.length > 1);
    const marks = [{ at, kind: "event", text: document.querySelector("h1").textContent }];
    chart.set({ series, marks, reference: 100, format: (value) => number(value, 0), read: (value) => signed(value / 100 - 1), label: `${index} and ${AGAINST.join(", ")} around the event` });
    byId("chart-note").textContent = series.length
      ? `${series.map((one) => one.name).join(", ")}: each 100 at its last value before the event. Equities have closes only.`
      : "The index has no levels around this event.";
  };
  choice(byId("spans"), SPANS.map(([value, label]) => ({ value, label })), { picked: "30", onPick: (value) => draw(Number(value)) });
  draw(30);
}

function based(one, from, to, at) {
  const base = before(one, at);
  const [first, last] = [lowerBound(one.times, from), lowerBound(one.times, to)];
  if (!base) return { name: one.name, times: [], values: [] };
  return { name: one.name, times: one.times.slice(first, last), values: one.values.slice(first, last).map((value) => (value / base.value) * 100) };
}

// What happened first: the index by the hour, every third and the furthest.
function showHours({ path }) {
  if (!path) return;
  byId("first-move").textContent = signed(path.furthest.change);
  byId("first-move").classList.add(tone(path.furthest.change) || "flat");
  byId("first-move-note").textContent = `${path.statement}.`;
  const shown = path.hours.filter((one, i) => i % 3 === 2 || [path.furthest.time, path.last.time].includes(one.time));
  const body = shown.map((one) => make("tr", {}, make("td", { textContent: moment(Date.parse(one.time)) }),
    make("td", { textContent: number(one.level, 1) }), make("td", { className: tone(one.change), textContent: signed(one.change) })));
  const head = ["Hour", "Level", "Since the begin"].map((text) => make("th", { scope: "col", textContent: text }));
  byId("hours").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  byId("hours-box").hidden = false;
}

// Figures that were told of the event beside what the data say.
function showClaims({ claims = [] }) {
  const figure = (value) => value === null || Math.abs(value) <= 1 ? signed(value) : number(value, 0);
  const head = ["What", "Told", "Data", "Difference", "Measured as"].map((text) => make("th", { scope: "col", textContent: text }));
  const body = claims.map((one) => make("tr", {}, ...[one.text, figure(one.told), figure(one.measured), signed(one.difference), one.basis].map((text) => make("td", { textContent: text }))));
  byId("claims").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  byId("claims-box").hidden = !claims.length;
}

async function showExpected(hourly, closes, at, { path }) {
  const rows = await Promise.all(AGAINST.map((symbol, i) => expected(symbol, closes[i], hourly, at)));
  const found = rows.filter(Boolean);
  if (!found.length) {
    byId("expected-note").textContent = "No closes of the benchmarks around this event.";
    return;
  }
  const [first] = found;
  if (!path) {
    byId("first-move").textContent = signed(first.own);
    byId("first-move").classList.add(tone(first.own) || "flat");
    byId("first-move-note").textContent = `${index} from the close of ${day(first.from)} to the close of ${day(first.to)}`;
  }
  const head = ["Market model", "Moved", "Beta before", "Explains", "Left over"].map((text) => make("th", { scope: "col", textContent: text }));
  const body = found.map((one) => make("tr", {}, make("td", {}, make("strong", { textContent: one.symbol })),
    ...[[one.move], [one.beta, number(one.beta)], [one.explained], [one.own - one.explained]].map(([value, text]) =>
      make("td", { className: text ? "" : tone(value), textContent: text ?? signed(value) }))));
  byId("expected").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  byId("expected-note").textContent = `${index} moved ${signed(first.own)} between the same two closes. "Explains" is beta times the benchmark's move; what is left over holds chance as well: see the intervals below.`;
}

// What is left of the return at closes after the market model, with its uncertainty, in simple returns.
function showAbnormal(study) {
  if (study.missing) {
    byId("abnormal-note").textContent = `No event study: ${study.missing}`;
    return;
  }
  const simple = (log) => (log === null ? null : Math.expm1(log));
  const rows = study.indices.filter((one) => one.subject === index && one.factors.join() === "QQQ" && one.reason === null);
  const head = ["Sessions", "Return", "Abnormal", "95 % interval", "p", "p, Holm", "p, placebo", "Largest day", "Other events"].map((text) => make("th", { scope: "col", textContent: text }));
  const body = rows.map((one) => make("tr", {}, make("td", { textContent: one.first === one.last ? "the event's" : `${number(one.first, 0)} to ${signedCount(one.last)}` }),
    ...[signed(simple(one.raw)), signed(simple(one.car)), `${signed(simple(one.car_low), 0)} to ${signed(simple(one.car_high), 0)}`, number(one.p), number(one.p_holm), number(one.p_placebo),
      `${signed(simple(one.largest_ar))} on ${day(Date.parse(one.largest_at))}`, one.others.join(", ")].map((text) => make("td", { textContent: text }))));
  byId("abnormal").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  byId("abnormal-box").hidden = !rows.length;
  const [first] = rows;
  byId("abnormal-note").textContent = `Abnormal: the return less the market model on QQQ, estimated over ${study.estimation} sessions before; sessions are counted from the event's.`
    + (first?.p_placebo == null ? "" : ` p takes all days for alike: Holm corrects it for the number of tests, placebo ranks the event among ${number(first.n_placebo, 0)} days without one, ${percent(first.placebo_rejects)} of which the plain p calls significant at 5 %.`);
}

function signedCount(value) {
  return value > 0 ? `+${value}` : number(value, 0);
}

async function expected(symbol, closes, hourly, at) {
  const next = lowerBound(closes.times, at + 1);
  if (next < 1 || next >= closes.times.length) return null;
  const [from, to] = [closes.times[next - 1], closes.times[next]];
  const [start, end] = [exactly(hourly, from), exactly(hourly, to)];
  if (!start || !end) return null;
  const answer = await read(`indices/${index}/beta`, { benchmark: symbol, sessions: SESSIONS, end: iso(at) }).catch(() => null);
  const move = closes.values[next] / closes.values[next - 1] - 1;
  const beta = answer?.beta ?? null;
  return { symbol, from, to, move, own: end / start - 1, beta, explained: beta === null ? null : beta * move };
}

async function showBetas(at) {
  const asked = AGAINST.flatMap((symbol) => [["before", at], ["after", at + 91 * DAY]].map(([word, end]) => [symbol, word, end]));
  const items = await Promise.all(asked.map(async ([symbol, word, end]) => {
    const name = `${symbol} ${word}`;
    const answer = await read(`indices/${index}/beta`, { benchmark: symbol, sessions: SESSIONS, end: iso(end) }).catch((error) => ({ missing: error.message }));
    const late = word === "after" && answer.last_session && Date.parse(answer.last_session) < at + 80 * DAY;
    if (answer.missing || late || answer.beta === null) return { symbol: name, missing: answer.missing || "history ends before 60 sessions" };
    return { symbol: name, beta: answer.beta, low: answer.ci_low, high: answer.ci_high, text: `${number(answer.beta)}  ± ${number(answer.se)}` };
  }));
  const draw = () => drawForest(byId("forest"), items, { picked: null, onPick: () => {}, left: 106 });
  new ResizeObserver(draw).observe(byId("forest").parentElement);
  draw();
}

async function showMembers(at) {
  const [then, later] = await Promise.all([at, at + DAY].map((instant) => read(`indices/${index}/constituents`, { at: iso(instant) })));
  const after = new Map(later.data.map((one) => [one.asset, one.rate]));
  const rows = then.data.map((one) => ({ ...one, later: after.get(one.asset) ?? null }))
    .map((one) => ({ ...one, move: one.rate && one.later ? one.later / one.rate - 1 : null }))
    .sort((a, b) => (a.move ?? 0) - (b.move ?? 0));
  const head = ["Constituent", "Weight", "Price", "After 24 h", "Move"].map((text) => make("th", { scope: "col", textContent: text }));
  const body = rows.map((one) => make("tr", {}, make("td", {}, make("strong", { textContent: one.symbol }), make("small", { textContent: one.sub_sector })),
    make("td", { textContent: percent(one.weight) }), make("td", { textContent: price(one.rate) }), make("td", { textContent: price(one.later) }),
    make("td", { className: tone(one.move), textContent: signed(one.move) })));
  byId("members").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

function showFacts(event, hourly, base, at) {
  const start = lowerBound(hourly.times, at + 1);
  const values = hourly.values.slice(start);
  const worst = values.length ? values.indexOf(Math.min(...values)) : -1;
  const back = base ? values.findIndex((value, i) => i > worst && value >= base.value) : -1;
  const low = worst < 0 || !base || values[worst] >= base.value ? null : { at: hourly.times[start + worst], depth: values[worst] / base.value - 1 };
  const facts = [
    ["When", event.precision === "day" ? `${day(at)} (the day is known, not the hour)` : moment(at)],
    ["Kind", event.kind],
    ["Last level before", base ? `${number(base.value)} at ${moment(base.at)}` : "none"],
    ["Lowest within 95 days", low ? `${signed(low.depth)} on ${day(low.at)}, ${age(at, low.at).replace(" ago", " later")}` : "not below the level before"],
    ["Back at the level before", !low ? "–" : back < 0 ? "not within 95 days" : `${day(hourly.times[start + back])}, ${age(at, hourly.times[start + back]).replace(" ago", " later")}`],
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}

start().catch((error) => {
  byId("first-move-note").textContent = error.message;
  document.body.dataset.ready = "yes";
});
