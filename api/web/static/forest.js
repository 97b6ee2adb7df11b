// Betas side by side: a dot with its confidence interval for each benchmark, against the line of 1.
import { node } from "./chart.js";
import { number } from "./format.js";
import { linear, ticks } from "./scale.js";

const ROW = 34;
const NARROW = 420;  // below, the numbers stand under the names

// items: [{symbol, beta, low, high, text}] or [{symbol, missing}]; onPick(symbol) on click or Enter.
export function drawForest(svg, items, { picked, onPick, left = 74 }) {
  const width = svg.clientWidth || svg.parentElement.clientWidth || 480;
  const narrow = width < NARROW;
  const tall = narrow ? ROW + 8 : ROW;
  if (narrow) left = Math.max(left, 100);
  const known = items.filter((item) => item.beta !== undefined);
  const height = items.length * tall + 24;
  const right = width - (narrow ? 12 : 148);
  const low = Math.min(0, ...known.map((item) => item.low));
  const high = Math.max(1.2, ...known.map((item) => item.high));
  const x = linear(low, high, left + 8, right);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  items.forEach((item, place) => svg.append(row(item, { y: place * tall, tall, x, width, narrow, left, right, on: item.symbol === picked, onPick })));
  const bottom = items.length * tall;
  svg.append(node("line", { class: "one", x1: x(1), x2: x(1), y1: 0, y2: bottom }));
  for (const tick of ticks(low, high, width < 500 ? 3 : 5)) {
    svg.append(node("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle" }, number(tick, 1)));
  }
}

function row(item, { y, tall, x, width, narrow, left, right, on, onPick }) {
  const middle = y + tall / 2;
  const said = item.missing || `beta ${number(item.beta)}, 95 % between ${number(item.low)} and ${number(item.high)}`;
  const group = node("g", { class: `row c0${on ? " on" : ""}`, tabindex: "0", role: "button", "aria-pressed": on });
  group.append(node("rect", { class: "back", x: 0, y: y + 2, width, height: tall - 4, rx: 7 }));
  group.append(node("text", { class: "name", x: 8, y: narrow && item.text ? y + 19 : middle + 5 }, item.symbol));
  if (item.missing) {
    group.append(node("text", { x: left + 8, y: middle + 5 }, "not enough data"));
  } else {
    group.append(node("line", { class: "whisker", x1: x(item.low), x2: x(item.high), y1: middle, y2: middle }));
    group.append(node("circle", { class: "dot", cx: x(item.beta), cy: middle, r: 5.5 }));
    const place = narrow ? { x: 8, y: y + 34 } : { x: right + 18, y: middle + 5 };
    group.append(node("text", { class: "value", ...place }, item.text));
  }
  group.append(node("title", {}, `${item.symbol}: ${said}`));
  group.addEventListener("click", () => onPick(item.symbol));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    onPick(item.symbol);
  });
  return group;
}
