// What the words of the page mean, as people see them when they point at one.
import { make } from "./dom.js";

export const STATUS = {
  final: "priced by enough venues", provisional: "the first filling is not complete: this level will be computed again",
  indicative: "three venues price less of the weight than a final level needs", degraded: "two venues price less of the weight than an indicative level needs",
  carried: "some price is an earlier one", impaired: "too much of the weight is carried, or too few members are held", suspended: "no level can be vouched for",
};

export const TERMS = {
  Beta: "How much the index moves when the benchmark moves: at 1 as much, at 2 twice as much",
  "R²": "The share of the index's moves that the benchmark explains",
  "standard error": "How far off the number may well be; the larger of the plain and the Newey-West (HAC) one, which allows for moves that hang together",
  "Carried prices": "The share of the value whose price is an earlier one, for want of a newer",
  Weight: "Share of the index value now; the target and the drift since the rebalance when you point at it",
  Contribution: "What the member added to the index's move since the last rebalance",
  Venues: "Venues that quoted it in dollars at the level's instant, and how far the highest lay above the lowest",
  Supply: "Where the free-float supply behind the weight came from",
  CAGR: "Growth a year that would give the same end", Volatility: "Standard deviation of daily returns, a year of 365 days",
  Sharpe: "Mean return over volatility, a year, no risk-free rate", Sortino: "The same with falls only", "Max drawdown": "The deepest fall below a former high",
  "Dilution a year": "Growth of the supply, less burns", "Price to fees": "Free-float market value over a year of fees",
};

// A word with what it means.
export function term(word, text = word) {
  return make("abbr", { title: TERMS[word], textContent: text });
}
