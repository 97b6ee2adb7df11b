// What the index may do when a benchmark moves, and what to hold against it; asked only when somebody asks.
import { read } from "./data.js";
import { byId, make } from "./dom.js";
import { number, percent, signed } from "./format.js";

const FUTURES = ["NQ", "MNQ"];

export async function showScenario(index) {
  const known = (await read("benchmarks")).data.filter(({ sessions }) => sessions > 0).map(({ symbol }) => symbol);
  byId("scenario-card").hidden = !known.length;
  const first = known.includes("QQQ") ? "QQQ" : known[0];
  const option = (name) => make("option", { textContent: name, selected: name === first });
  byId("scenario").elements.benchmark.replaceChildren(...known.map(option));
  byId("hedge").elements.instrument.replaceChildren(...known.map(option), ...(known.includes("^NDX") ? FUTURES.map(option) : []));
  asked("scenario", ({ benchmark, move }) => read(`indices/${index}/scenario`, { benchmark, move: Number(move) / 100 }).then(scenarioOf));
  asked("hedge", ({ instrument, notional }) => read(`indices/${index}/hedge`, { instrument, notional }).then(hedgeOf));
}

// Shows what a form's answer is made into, or why there is none.
function asked(name, answer) {
  byId(name).onsubmit = async (event) => {
    event.preventDefault();
    const { figure, of, notes } = await answer(Object.fromEntries(new FormData(byId(name)))).catch((error) => ({ figure: "–", of: error.message, notes: [] }));
    byId(`${name}-figure`).textContent = figure;
    byId(`${name}-of`).textContent = of;
    byId(`${name}-note`).textContent = notes.filter(Boolean).join(" ");
  };
}

function scenarioOf(seen) {
  const { realised } = seen;
  const held = realised.coverage === null ? "" : `Such intervals held ${percent(realised.coverage)} of ${realised.n} sessions out of sample${realised.calibrated ? "" : ": not what they claim"}.`;
  return {
    figure: signed(seen.expected),
    of: `expected, ${percent(seen.confidence, 0)} of the time ${signed(seen.low)} to ${signed(seen.high)}`,
    notes: [held, `Beta ${number(seen.beta)} over ${seen.sessions} sessions to ${seen.last_session.slice(0, 10)}.`, ...seen.notes],
  };
}

function hedgeOf(seen) {
  const removed = `${percent(seen.removed)} of the variance removed over ${seen.n} sessions out of sample, ${percent(seen.removed_largest)} on the 25 largest.`;
  return { figure: seen.units === null ? "refused" : `${number(seen.units, 1)} ${seen.instrument}`, of: `${seen.verdict}: ${seen.reason}`, notes: [removed, ...seen.notes] };
}
