// Sends the rules of the form, draws what they would have given beside the index they come from, and offers the file.
import { download } from "./address.js";
import { LineChart } from "./chart.js";
import { ask, readLevels } from "./data.js";
import { byId, make } from "./dom.js";
import { day, level, number, percent, signed } from "./format.js";
import { lowerBound } from "./scale.js";
import { drawdowns } from "./shape.js";
import { themeSwitch } from "./theme.js";

const form = byId("rules");
const charts = { levels: new LineChart(byId("levels"), { height: 320 }), drawdowns: new LineChart(byId("drawdowns"), { height: 200 }) };
const FIGURES = [
  ["Total return", (r) => signed(r.total_return)],
  ["A year", (r) => signed(r.annual_return)],
  ["Volatility", (r) => percent(r.volatility)],
  ["Deepest drawdown", (r) => signed(r.max_drawdown)],
  ["Turnover a year", (r) => percent(r.turnover, 0)],
  ["Beta to the flagship", (r) => number(r.beta_to_flagship)],
  ["Correlation", (r) => number(r.correlation)],
  ["Tracking error", (r) => percent(r.tracking_error)],
  ["Members", (r) => `${number(r.constituents, 1)}, never below ${r.fewest}`],
  ["Effective number", (r) => number(r.effective_number, 1)],
];

function asked() {
  const data = new FormData(form);
  const kept = new Set(data.getAll("members"));
  const share = (name) => (data.get(name) === "" ? null : Number(data.get(name)) / 100);
  return {
    index: data.get("index"),
    scheme: data.get("scheme"),
    target: Number(data.get("target")),
    single: share("single"),
    group: share("group"),
    start: data.get("start"),
    end: data.get("end") || null,
    without: [...form.members].map((box) => box.value).filter((slug) => !kept.has(slug)),
  };
}

async function computed(changes) {
  const headers = { "content-type": "application/json" };
  return ask(new URL("what-if", document.baseURI), { method: "POST", headers, body: JSON.stringify(changes) });
}

function show(body, beside) {
  const own = { name: "by these rules", times: body.time.map(Date.parse), values: body.level };
  const first = lowerBound(beside.times, own.times[0]);
  const factor = own.values[0] / beside.values[first];
  const other = { name: document.body.dataset.index, times: beside.times.slice(first), values: beside.values.slice(first).map((value) => value * factor) };
  const both = [own, other].filter((one) => one.times.length);
  charts.levels.set({ series: both, format: level, log: true, label: "Level by these rules and of the index, logarithmic" });
  const falls = both.map((one) => ({ ...one, values: drawdowns(one.values) }));
  charts.drawdowns.set({ series: falls, format: (value) => signed(value, 0), read: (value) => signed(value), zero: "top", label: "Drawdown of both" });
  byId("span").textContent = `${body.result.first.slice(0, 10)} to ${body.result.last.slice(0, 10)}, ${number(body.result.days, 0)} days`;
  byId("figures").replaceChildren(...FIGURES.map(([name, text]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: text(body.result) }))));
  for (const name of ["warnings", "notes"]) byId(name).replaceChildren(...body.result[name].map((textContent) => make("li", { textContent })));
  byId("notes-box").hidden = !body.result.notes.length;
  byId("toml").textContent = body.toml;
}

async function compute(event) {
  event.preventDefault();
  byId("compute").disabled = true;
  byId("doing").textContent = "Computing over the stored history…";
  byId("problem").hidden = true;
  try {
    const [body, beside] = await Promise.all([computed(asked()), readLevels(document.body.dataset.index, { interval: "1d" })]);
    byId("answer").hidden = false;
    show(body, beside);
  } catch (error) {
    byId("problem").hidden = false;
    byId("problem").replaceChildren(error.message);
    if (error.status === 401) byId("problem").append(" ", make("a", { href: "sign-in?next=" + encodeURIComponent(location.pathname + location.search), textContent: "Sign in" }));
  } finally {
    byId("compute").disabled = false;
    byId("doing").textContent = "";
  }
}

form.elements.index.addEventListener("change", () => location.assign(`what-if?index=${encodeURIComponent(form.elements.index.value)}`));
form.addEventListener("submit", compute);
byId("download").addEventListener("click", () => download("what-if.toml", byId("toml").textContent, "application/toml"));
themeSwitch();
document.body.dataset.ready = "yes";
