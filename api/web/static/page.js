// The page: what is on it, in which order it is read, and how it stays current.
import { Betas } from "./beta.js";
import { Constituents } from "./constituents.js";
import { follow, read, readFirst } from "./data.js";
import { byId, make } from "./dom.js";
import { age, level, moment, signed, tone } from "./format.js";
import { STATUS } from "./glossary.js";
import { showFacts } from "./facts.js";
import { breaksOf, History } from "./history.js";
import { readMore, showMore } from "./more.js";
import { showScenario } from "./scenario.js";
import { showSnippets } from "./snippets.js";
import { themeSwitch } from "./theme.js";

const index = document.body.dataset.index;
const CHANGES = [["h1", "1 hour", 1], ["d1", "24 hours", 24], ["d7", "7 days", 168], ["d30", "30 days", 720], ["d365", "1 year", 8760]];
const LOOK_AGAIN_MS = 300_000, FILLING_MS = 3_000;
let shown = null;

function showLatest(latest) {
  const changed = shown !== null && (shown.time !== latest.time || shown.revision !== latest.revision);
  shown = latest;
  byId("level").textContent = level(latest.level);
  document.title = `${level(latest.level)} · ${latest.name}`;
  byId("time").dateTime = latest.time;
  byId("time").textContent = moment(Date.parse(latest.time));
  showWhy();
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

// Why the status is not final, and which returns span a break: members that left without a price, a time without levels.
async function showWhy() {
  const here = `indices/${index}`;
  const [standing, changes] = await Promise.all([read(`${here}/status`), read(`${here}/rebalances`, { items: false })]);
  const short = standing.below_minimum ? `${standing.constituents} of the ${standing.minimum} members needed since ${standing.basket_since?.slice(0, 10)}` : "";
  const late = isStale() ? `a newer level was due by ${moment(Date.parse(shown.fresh_until))}` : "";
  const sentences = [shown.reason.replaceAll("T00:00:00Z", ""), short, late].filter(Boolean);
  byId("why").hidden = !sentences.length;
  byId("why").textContent = sentences.map((text) => `${text[0].toUpperCase()}${text.slice(1)}.`).join(" ");
  const breaks = breaksOf(changes);
  const end = Date.parse(shown.time);
  byId("changes").replaceChildren(...CHANGES.map(([key, label, hours]) => {
    const broken = breaks.find(({ at }) => at > end - hours * 3_600_000 && at <= end);
    const value = make("dd", { className: tone(shown.change[key]), textContent: signed(shown.change[key]) });
    if (broken && shown.change[key] !== null) value.append(make("sup", { textContent: "†", title: `Over a break: ${broken.text}` }));
    return make("div", {}, make("dt", { textContent: label }), value);
  }));
  const first = breaks.find(({ at }) => at > end - 365 * 86_400_000);
  byId("breaks").textContent = first ? `† over a break: ${first.text}` : "";
}

const isStale = () => Date.now() > Date.parse(shown.fresh_until);

function showAge() {
  if (!shown) return;
  const stale = isStale();
  byId("age").textContent = `(${age(Date.parse(shown.time))})`;
  byId("status").textContent = stale ? `${shown.status}, stale` : shown.status;
  byId("status").title = STATUS[shown.status] ?? "";
  byId("status").dataset.status = stale ? "stale" : shown.status;
}

// The first view as one answer; the chart first, then all else as it comes. What fails leaves the rest as it is.
async function everything() {
  const betas = new Betas(index);
  const slower = () => [betas.load(), readMore(index)];
  let coming = slower();
  await look(null);
  const history = new History(index);
  const members = new Constituents(index);
  const draw = async () => {
    history.newest = Date.parse(shown.time);
    const [ofBetas, more] = coming;
    const drawn = members.load();
    const below = Promise.all([more, drawn]).then(([answer]) => showMore(answer, members));
    const parts = [history.load(), drawn, showFacts(index, shown), showScenario(index), ofBetas, below];
    for (const { reason } of await Promise.allSettled(parts)) if (reason) console.warn(reason.message);
  };
  await draw();
  showSnippets(index);
  document.body.dataset.ready = "yes";
  return () => {
    coming = slower();
    return draw();
  };
}

async function look(refresh) {
  try {
    await readFirst(`page-data?index=${encodeURIComponent(index)}`);
    byId("offline").hidden = true;
    const changed = showLatest(await read(`indices/${index}/latest`));
    if (changed && refresh) await refresh();
  } catch (error) {
    if (error.status === 401) location.reload();  // signed out elsewhere, or the key has ended: the server asks again
    byId("offline").hidden = false;
    byId("offline").textContent = `${error.status ? error.message : "The server does not answer"}. What is shown is of the last answer; this page asks again by itself.`;
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
  const { has, known } = document.body.dataset;
  let refresh = has === "yes" ? await everything() : null;
  if (!refresh) document.body.dataset.ready = "yes";
  if (!shown || shown.status === "provisional" || isStale()) followFilling();
  setInterval(showAge, 10_000);
  setInterval(showLive, 1_000);
  const again = async () => {
    if (refresh) await look(refresh);
    else if (await appeared()) location.reload();
  };
  // An event may be ahead of the kept answers: these change when the run that published it has ended.
  const reach = async (latest, tries) => {
    if (latest.time === shown?.time && latest.revision === shown?.revision) return;
    await again();
    if (tries && shown?.time < latest.time) setTimeout(reach, 500, latest, tries - 1);
  };
  if (known === "yes") follow(index, (latest) => reach(latest, 10), "", refresh ? showLive : null);
  setInterval(() => { if (!document.hidden) again(); }, LOOK_AGAIN_MS);
}

start();
