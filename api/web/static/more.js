// Below the fold: performance and risk, calendar months, what the networks earn; and the members' markets for their table.
import { ask } from "./data.js";
import { byId, make } from "./dom.js";
import { compact, day, number, percent, signed, tone } from "./format.js";
import { fill } from "./table.js";

const PERIODS = { "1d": "1 day", "7d": "7 days", "30d": "30 days", "90d": "90 days", "180d": "180 days", "1y": "1 year", "3y": "3 years", ytd: "This year", all: "Since base" };
const MONTHS = ["J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D"];
const FIGURES = { dilution: "Dilution a year", staking_share: "Staked", price_to_fees: "Price to fees", realised_turnover: "Turnover on chain a year", fees_usd: "Fees in 30 days", tvl_usd: "Value locked" };

export function readMore(index) {
  return ask(new URL(`page-data/more?index=${encodeURIComponent(index)}`, document.baseURI));
}

export function showMore({ markets, performance, fundamentals }, members) {
  if (!markets.problem) members.draw(markets);
  byId("performance-card").hidden = Boolean(performance.problem);
  if (!performance.problem) showPerformance(performance);
  byId("onchain-card").hidden = Boolean(fundamentals.problem);
  if (!fundamentals.problem) showFundamentals(fundamentals);
}

function showPerformance({ periods, risk, months, tracking, first, last }) {
  fill(byId("periods"), ["Return over", "Change"], periods.map(({ period, value }) => [PERIODS[period] ?? period, { text: signed(value), className: tone(value) }]));
  fill(byId("risk"), ["Window", "CAGR", "Volatility", "Sharpe", "Sortino", "Max drawdown"], risk.map((row) => [
    row.window, signed(row.cagr), percent(row.volatility), number(row.sharpe), number(row.sortino), percent(row.max_drawdown)]));
  const years = new Map();
  for (const { year, month, value, partial } of months) {
    if (!years.has(year)) years.set(year, Array(12).fill("–"));
    years.get(year)[month - 1] = { text: signed(value), className: `${tone(value)} ${heat(value)}`, title: partial ? "a part of the month" : "" };
  }
  fill(byId("months"), ["Year", ...MONTHS], [...years].map(([year, cells]) => [String(year), ...cells]));
  const words = tracking.map((row) => `${row.beside.toUpperCase()} ${number(row.correlation)} correlation, ${percent(row.tracking_error)} tracking error (n ${row.n})`);
  byId("performance-note").textContent = `Daily levels ${day(Date.parse(first))} to ${day(Date.parse(last))}, a year is 365 days, no risk-free rate. Against ${words.join("; ")}.`;
}

// Colour by size: 10 % and 30 % a month are the steps.
function heat(value) {
  const size = Math.abs(value) > 0.3 ? 3 : Math.abs(value) > 0.1 ? 2 : 1;
  return value === null ? "" : `heat-${value > 0 ? "up" : "down"}-${size}`;
}

function showFundamentals({ aggregates, tokens }) {
  const known = aggregates.filter(({ value }) => value !== null);
  const write = (figure, value) => (/usd$/.test(figure) ? `$${compact(value)}` : figure === "price_to_fees" ? `${number(value, 1)}×` : percent(value));
  byId("fundamentals").replaceChildren(...known.map((row) => make("div", { title: `${row.rule}: ${row.definition}` },
    make("dt", { textContent: FIGURES[row.figure] ?? row.figure }), make("dd", { textContent: write(row.figure, row.value) }),
    make("small", { textContent: `${percent(row.coverage, 0)} of the weight` }))));
  const figures = known.map(({ figure }) => figure);
  byId("networks-box").hidden = !known.length;
  fill(byId("networks"), ["Network", "Market value", ...figures.map((figure) => FIGURES[figure] ?? figure)], tokens.map((token) => [
    { link: `assets/${token.asset}`, text: token.symbol }, token.market_cap_usd === null ? "–" : `$${compact(token.market_cap_usd)}`,
    ...figures.map((figure) => (token[figure] === null ? { text: "–", title: token.missing[figure] ?? "" } : write(figure, token[figure])))]));
  byId("onchain-note").textContent = known.length ? "Weighted by the basket; each says of how much of the weight it is known."
    : `Nothing is measured of these networks yet; \`deai up\` reads chains and public counts once a day. Missing: ${[...new Set(Object.values(tokens[0]?.missing ?? {}))].join("; ")}.`;
}
