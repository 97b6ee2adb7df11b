// The page of a token: price against the index, weight, supply with its grade, what its network does, venues, actions.
import { LineChart } from "./chart.js";
import { ask, timesOf } from "./data.js";
import { byId, choice, make } from "./dom.js";
import { compact, day, moment, number, percent, price, signed, tone } from "./format.js";
import { fill, sortable } from "./table.js";
import { lowerBound } from "./scale.js";
import { themeSwitch } from "./theme.js";

const DAY = 86_400_000;
const RANGES = [["3M", 91], ["1Y", 365], ["All", Infinity]];
const SPANS = [["24 hours", "h24"], ["7 days", "d7"], ["30 days", "d30"], ["1 year", "y1"]];
const MOST_CHARTS = 12;

function showPrice({ rates, asset }) {
  byId("price").textContent = asset.rate ? price(asset.rate.usd) : "–";
  byId("state").replaceChildren(...(asset.rate
    ? [make("span", { className: "pill", textContent: asset.rate.status }), `as of ${moment(Date.parse(asset.rate.time))}`] : ["No reference rate yet."]));
  if (asset.rate) byId("state").firstChild.dataset.status = asset.rate.status;
  byId("changes").replaceChildren(...SPANS.map(([label, span]) => {
    const change = rates.changes[span];
    return make("div", {}, make("dt", { textContent: label }), make("dd", { className: tone(change), textContent: signed(change) }));
  }));
  return { times: timesOf(rates), values: rates.rate, name: asset.symbol };
}

function showChart(token, { levels, indices }) {
  const chart = new LineChart(byId("chart"), { height: 320 });
  const index = levels && { times: timesOf(levels.data), values: levels.data.level, name: indices.data[0].short };
  byId("price-title").textContent = index ? `${token.name} against the ${index.name} index` : `Price of ${token.name}`;
  const draw = (name) => {
    const days = RANGES.find(([range]) => range === name)[1];
    const both = [token, ...(index ? [index] : [])].filter((series) => series.times.length);
    if (!both.length) return;
    const end = Math.min(...both.map((series) => series.times.at(-1)));
    const start = Math.max(end - days * DAY, ...both.map((series) => series.times[0]));
    const based = both.map((series) => {
      const [from, to] = [lowerBound(series.times, start), lowerBound(series.times, end + 1)];
      const values = series.values.slice(from, to);
      return { name: series.name, times: series.times.slice(from, to), values: values.map((value) => (value / values[0]) * 100) };
    });
    chart.set({ series: based, reference: 100, log: days > 400, format: (value) => number(value, 0), read: (value) => signed(value / 100 - 1), label: `${token.name} from ${day(start)} to ${day(end)}` });
    byId("chart-note").textContent = `First day shown = 100. ${based.map((series) => `${series.name} ${signed(series.values.at(-1) / 100 - 1)}`).join(" · ")}.`;
  };
  choice(byId("ranges"), RANGES.map(([value]) => ({ value, label: value })), { picked: "1Y", onPick: draw });
  draw("1Y");
}

function showWeights({ indices }) {
  const series = indices.data.slice(0, 5).map((index) => {
    const times = [], values = [];
    for (const { time, weight } of index.weights) {
      if (values.length) {
        times.push(Date.parse(time) - 1);
        values.push(values.at(-1));
      }
      times.push(Date.parse(time));
      values.push(weight);
    }
    return { name: index.short, times, values };
  });
  if (series.length) new LineChart(byId("weights"), { height: 220 }).set({ series, format: (value) => percent(value, 0), read: (value) => percent(value), label: "Weight at each review" });
  const now = indices.data.map((index) => `${index.short} ${percent(index.weights.at(-1).weight)}`).join(" · ");
  byId("weights-note").textContent = series.length ? `At each review. Last: ${now}.` : "No index has held it.";
}

function showSupply({ asset, onchain }) {
  const used = asset.free_float;
  byId("float").textContent = compact(used.tokens);
  byId("float-of").textContent = used.tokens === null ? "no supply is known" : `${asset.symbol} ${used.kind.replaceAll("_", " ")}, ${used.status.replace("_", "-")} by ${used.source}, ${day(Date.parse(used.observed_at))}`;
  fill(byId("supplies"), ["What", "Tokens", "Source", "True at"], asset.supplies.map((row) => [
    row.kind.replaceAll("_", " "), { text: compact(row.tokens), value: row.tokens, title: number(row.tokens, 0) }, row.source,
    row.block?.link ? { link: row.block.link, text: `block ${row.block.number.toLocaleString("en-US")}` } : day(Date.parse(row.observed_at)),
  ]));
  const said = [used.passed_over, ...onchain.gaps.map((gap) => `The rule knowingly leaves out: ${gap}`), ...onchain.findings.map((finding) => finding.text)];
  byId("gaps").replaceChildren(...said.filter(Boolean).map((textContent) => make("p", { className: "note", textContent })));
}

function showUsage({ metrics }) {
  const series = new Map();
  for (const { metric, source, time, value } of metrics.data) {
    const key = `${metric} · ${source}`;
    if (!series.has(key)) series.set(key, { name: metric, source, times: [], values: [] });
    series.get(key).times.push(Date.parse(time));
    series.get(key).values.push(value);
  }
  const about = new Map(metrics.series.map((one) => [`${one.metric} · ${one.source}`, one]));
  const drawn = [...series.values()].filter((one) => one.times.length > 2).slice(0, MOST_CHARTS);
  byId("usage").replaceChildren(...drawn.map((one) => {
    const { meaning, unit, grade } = about.get(`${one.name} · ${one.source}`);
    const words = one.name.replace(/_usd$/, "").replaceAll("_", " ");
    const host = make("div");
    const figure = make("figure", { title: meaning }, make("figcaption", {}, make("strong", { textContent: `${words} ` }), `${compact(one.values.at(-1))} ${unit}, ${day(one.times.at(-1))} · ${one.source}, ${grade}`), host);
    new LineChart(host, { height: 130 }).set({ series: [one], format: compact, read: compact, label: words });
    return figure;
  }));
  const lacking = metrics.absent.map(({ what, reason }) => make("p", { className: "note", textContent: `${what}: ${reason}` }));
  const nothing = "Nothing is measured of this network yet: chains and public counts are read once a day by `deai up`.";
  byId("usage-note").replaceChildren(...(drawn.length ? [] : [make("p", { className: "note", textContent: nothing })]), ...lacking);
}

function showIdentity({ asset, actions }) {
  fill(byId("venues"), ["Venue", "Symbol", "Bars stored", "Listing"], asset.venues.map((row) => [row.venue, row.symbol, row.source ?? "–", row.status ?? "–"]));
  const facts = [
    ["Sector", asset.sub_sector], ["Status", asset.status], ["Symbols", asset.labels.map(({ symbol }) => symbol).join(", ")],
    ...asset.ledgers.map((ledger) => [`On ${ledger.chain}`, ledger.contract + (ledger.role ? ` (${ledger.role})` : "")]),
    ...(asset.line === asset.asset ? [] : [["Continues in", `${asset.line.toUpperCase()}, 1 for ${asset.line_ratio}`]]),
  ];
  byId("identity").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  const own = actions.data.filter((action) => action.asset === asset.asset || action.into === asset.asset);
  byId("actions").replaceChildren(...(own.length ? own.map((action) => make("p", { className: "line" },
    make("span", { textContent: action.effective.slice(0, 10) }), make("div", {}, `${action.kind}${action.into ? ` into ${action.into.toUpperCase()}` : ""}. ${action.note}`)))
    : [make("p", { className: "note", textContent: "None." })]));
}

async function start() {
  themeSwitch();
  const view = await ask(new URL(`page-data/token?symbol=${encodeURIComponent(document.body.dataset.symbol)}`, document.baseURI));
  showChart(showPrice(view), view);
  for (const show of [showWeights, showSupply, showUsage, showIdentity]) show(view);
  sortable(byId("supplies"));
  sortable(byId("venues"));
}

start().catch((error) => { byId("state").textContent = error.message; }).finally(() => { document.body.dataset.ready = "yes"; });
