// The page: what is on it, in which order it is read, and how it stays current.
import { Betas } from "./beta.js";
import { Constituents } from "./constituents.js";
import { follow, read } from "./data.js";
import { byId, make } from "./dom.js";
import { age, level, moment, signed, tone } from "./format.js";
import { showFacts } from "./facts.js";
import { History } from "./history.js";
import { showSnippets } from "./snippets.js";
import { themeSwitch } from "./theme.js";

const index = document.body.dataset.index;
const CHANGES = [["h1", "1 hour"], ["d1", "24 hours"], ["d7", "7 days"], ["d30", "30 days"], ["d365", "1 year"]];
const MEANING = {
  final: "three or more venues priced the index", indicative: "two venues priced some constituent",
  provisional: "the first filling is not complete: this level will be computed again",
  degraded: "a single venue priced some constituent", carried: "some price is an earlier one", suspended: "no level can be vouched for",
};
const LOOK_AGAIN_MS = 300_000, FILLING_MS = 3_000;
let shown = null;

function showLatest(latest) {
  const changed = shown !== null && (shown.time !== latest.time || shown.revision !== latest.revision);
  shown = latest;
  byId("level").textContent = level(latest.level);
  document.title = `${level(latest.level)} · ${latest.name}`;
  byId("time").dateTime = latest.time;
  byId("time").textContent = moment(Date.parse(latest.time));
  byId("changes").replaceChildren(...CHANGES.map(([key, label]) =>
    make("div", {}, make("dt", { textContent: label }), make("dd", { className: tone(latest.change[key]), textContent: signed(latest.change[key]) }))));
  byId("simulated").hidden = !latest.simulated;
  if (changed) {
    byId("level").classList.remove("flash");
    requestAnimationFrame(() => byId("level").classList.add("flash"));
  }
  showAge();
  return changed;
}

// The level between fixings: what it is, how far from the official one, how old; never in place of the official one.
let live = null;
function showLive(now) {
  live = now || live;
  const seconds = live ? (Date.now() - Date.parse(live.time)) / 1000 : Infinity;
  byId("live").hidden = seconds > 60;
  if (seconds <= 60) byId("live").textContent = `now ${level(live.level)} (${signed(live.since_fixing)} since the fixing), ${Math.max(Math.round(seconds), 0)} s old, not official`;
}

function showAge() {
  if (!shown) return;
  const stale = Date.now() > Date.parse(shown.fresh_until);
  byId("age").textContent = `(${age(Date.parse(shown.time))})`;
  byId("status").textContent = stale ? `${shown.status}, stale` : shown.status;
  byId("status").dataset.status = stale ? "stale" : shown.status;
  byId("status").title = `${MEANING[shown.status] || ""}${stale ? "; a newer level is overdue" : ""}`;
}

async function everything() {
  const [indices, benchmarks] = await Promise.all([read("indices"), read("benchmarks")]);
  const others = [
    ...indices.data.filter((one) => one.id !== index && one.latest).map((one) => ({ id: one.id, label: one.id })),
    ...benchmarks.data.filter((one) => one.sessions > 0).map((one) => ({ id: `benchmark:${one.symbol}`, label: one.symbol })),
  ];
  const history = new History(index);
  history.newest = Date.parse(shown.time);
  history.simulated = shown.simulated;
  const members = new Constituents(index);
  const betas = new Betas(index);
  const again = () => Promise.allSettled([history.load(others), members.load(), betas.load(benchmarks.data, Date.parse(shown.time)), showFacts(index, shown)]);
  const outcomes = await again();
  for (const outcome of outcomes) if (outcome.status === "rejected") console.warn(outcome.reason.message);
  showSnippets(index);
  document.body.dataset.ready = "yes";
  return () => {
    history.newest = Date.parse(shown.time);
    return again();
  };
}

async function look(refresh) {
  try {
    const changed = showLatest(await read(`indices/${index}/latest`));
    if (changed && refresh) await refresh();
    return true;
  } catch (error) {
    if (error.status === 401) location.reload();  // signed out elsewhere, or the key has ended: the server asks again
    byId("age").textContent = `(${error.status ? error.message : "the server does not answer"})`;
    return false;
  }
}

// How far the history is, and which sources are down with what is lost; whether any of it is still to come.
async function showFilling() {
  const seen = await read("status").catch(() => null);
  if (!seen) return true;
  const down = seen.down.map((one) => `${one.source} is down: without it the index loses ${one.loses}`);
  const silent = Object.entries(seen.failing).filter(([name]) => !seen.down.some((one) => one.source === name));
  const lost = [...down, ...silent.map(([name, said]) => `${name} does not answer: ${said}`)];
  byId("first-run").hidden = !(seen.sentence && (seen.provisional || !shown));
  byId("begin").hidden = Boolean(seen.sentence);
  byId("filling").textContent = seen.sentence;
  byId("filled").value = seen.share;
  const answering = seen.answering.length ? `; answering: ${seen.answering.join(", ")}` : "";
  byId("fetching").textContent = seen.under_way ? `${seen.stage || "what failed"}: ${seen.done} of ${seen.of} calls, ${seen.calls_per_s} a second${answering}` : "";
  byId("down").replaceChildren(...lost.map((text) => make("li", { textContent: text })));
  return Boolean(seen.sentence);
}

// Look at the filling every few seconds until it is over; a page without levels starts again when there are some.
async function followFilling() {
  const more = await showFilling();
  if (!shown && await appeared()) location.reload();
  else if (more) setTimeout(followFilling, FILLING_MS);
}

// Whether an index that had no levels has some now.
async function appeared() {
  const answer = await read("indices").catch(() => null);
  return Boolean(answer?.data.find((one) => one.id === index)?.latest);
}

async function start() {
  themeSwitch();
  const has = document.body.dataset.has === "yes" && await look(null);
  byId("empty").hidden = has;
  byId("content").hidden = !has;
  let refresh = has ? await everything() : null;
  if (!has) document.body.dataset.ready = "yes";
  followFilling();
  setInterval(showAge, 10_000);
  setInterval(showLive, 1_000);
  const again = async () => {
    if (refresh) await look(refresh);
    else if (await appeared()) location.reload();
  };
  if (document.body.dataset.known === "yes") follow(index, (latest) => { if (latest.time !== shown?.time || latest.revision !== shown?.revision) again(); }, "", has ? showLive : null);
  setInterval(() => { if (!document.hidden) again(); }, LOOK_AGAIN_MS);
}

start();
