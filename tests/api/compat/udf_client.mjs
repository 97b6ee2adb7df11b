// A datafeed client by TradingView's documented behaviour: every request that it makes and every check on an answer.
// Usage: node udf_client.mjs <base address> <now in seconds>; prints what a chart would be given, as JSON.
const [base, now] = [process.argv[2], Number(process.argv[3])];
const DAY = 86400;
const PERIODS = {D: DAY, W: 7 * DAY};

async function send(path, params = {}) {
  const query = Object.entries(params).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  const answer = await fetch(`${base}/${path}${query && "?" + query}`, {headers: {Origin: "https://charts.example"}});
  check(answer.status === 200, `${path}: status ${answer.status}`);
  check(answer.headers.get("access-control-allow-origin") === "*", `${path}: no CORS`);
  return JSON.parse(await answer.text());
}

function check(holds, text) {
  if (!holds) throw new Error(text);
}

async function configuration() {
  const config = await send("config");
  check(config.supports_search !== config.supports_group_request, "exactly one way to find symbols");
  check(config.supports_time && config.supports_marks && config.supports_timescale_marks, "time and both marks");
  check(config.exchanges.every((one) => ["value", "name", "desc"].every((key) => typeof one[key] === "string")), "exchanges");
  check(config.symbols_types.every((one) => typeof one.name === "string" && typeof one.value === "string"), "types");
  return config;
}

async function search(input, type = "", exchange = "") {
  const found = await send("search", {limit: 30, query: input.toUpperCase(), type, exchange});
  check(found.s === undefined && Array.isArray(found), "an answer with s is an error");
  const keys = ["symbol", "full_name", "description", "exchange", "ticker", "type"];
  for (const one of found) check(keys.every((key) => typeof one[key] === "string"), "a symbol found");
  return found.map((one) => one.symbol);
}

async function resolve(name, config) {
  const symbol = await send("symbols", {symbol: name});
  if (symbol.s !== undefined) return "unknown_symbol";
  check(symbol.session === "24x7" && symbol.timezone === "Etc/UTC" && symbol.format === "price", "session");
  check(symbol.minmov > 0 && symbol.pricescale > 0 && Number.isInteger(symbol.pricescale), "price format");
  check(symbol.listed_exchange && symbol.exchange && symbol.ticker && symbol.description, "names");
  check(symbol.supported_resolutions.every((one) => config.supported_resolutions.includes(one)), "resolutions");
  check(symbol.has_intraday && symbol.has_daily, "bars");
  return symbol;
}

async function bars(symbol, resolution, from, to, countback) {
  const params = {symbol: symbol.ticker, resolution, from, to};
  if (countback !== undefined) params.countback = countback;
  const answer = await send("history", params);
  if (answer.s !== "ok" && answer.s !== "no_data") return {refused: answer.errmsg};
  if (answer.s === "no_data") return {bars: [], noData: true, nextTime: answer.nextTime};
  const rows = answer.t.map((time, n) => ({
    time: time * 1000,
    close: parseFloat(answer.c[n]),
    open: parseFloat(answer.o[n]),
    high: parseFloat(answer.h[n]),
    low: parseFloat(answer.l[n]),
  }));
  rows.forEach((bar, n) => {
    check(n === 0 || bar.time > rows[n - 1].time, "bars ascend strictly");
    check(bar.time < to * 1000, "no bar begins at or after to");
    check(bar.low <= Math.min(bar.open, bar.close) && bar.high >= Math.max(bar.open, bar.close), "a bar holds together");
    check(resolution.length > 2 || PERIODS[resolution] === undefined || (bar.time / 1000) % DAY === 0, "daily bars at 00:00");
  });
  return {bars: rows, noData: false};
}

// Every ten seconds: the newest two bars. A new bar is only taken when the one before it came with it.
async function poll(symbol, resolution, lastTime) {
  const {bars: rows} = await bars(symbol, resolution, now - 10 * (PERIODS[resolution] ?? 3600), now, 2);
  const last = rows.at(-1);
  if (!last || last.time < lastTime) return [];
  if (last.time > lastTime) check(rows.length >= 2, "not enough bars in history for a pulse update");
  return last.time > lastTime ? [rows.at(-2), last] : [last];
}

async function marks(path, symbol, keys) {
  const answer = await send(path, {symbol: symbol.ticker, from: 0, to: now, resolution: "1D"});
  check(Array.isArray(answer), "a list, not columns");
  for (const one of answer) check(keys.every((key) => one[key] !== undefined) && Number.isInteger(one.time), path);
  check(new Set(answer.map((one) => one.id)).size === answer.length, "ids are unique");
  return answer;
}

const config = await configuration();
const time = parseInt(await send("time"));
const symbol = await resolve("DEAI", config);
const empty = await resolve("empty", config);
const daily = await bars(symbol, "1D", now - 30 * DAY, now);
const report = {
  time,
  found: {all: await search(""), one: await search("dem"), kind: await search("", "index", "DEAI"), none: await search("", "stock")},
  unknown: await resolve("NOTHING", config),
  prefixed: (await resolve("DEAI:DEAI", config)).ticker,
  daily: daily.bars,
  hourly: (await bars(symbol, "60", now - DAY, now)).bars,
  weekly: (await bars(symbol, "1W", now - 401 * DAY, now)).bars.length,
  counted: (await bars(symbol, "1D", now - DAY, now, 300)).bars,
  first: (await bars(symbol, "D", -3000 * DAY, now, 5000)).bars.length,
  future: await bars(symbol, "1D", now + 10 * DAY, now + 20 * DAY),
  past: await bars(symbol, "1D", 0, 400 * DAY),
  without: await bars(empty, "1D", now - DAY, now, 2),
  pulse: [await poll(symbol, "D", 0), await poll(symbol, "D", daily.bars.at(-1).time), await poll(symbol, "60", 0)],
  late: (await bars(symbol, "60", now + 50 * DAY, now + 51 * DAY, 2)).bars,
  refused: await bars(symbol, "7", now - DAY, now),
  marks: await marks("marks", symbol, ["id", "time", "color", "text", "label", "labelFontColor", "minSize"]),
  events: await marks("timescale_marks", symbol, ["id", "time", "color", "label", "tooltip"]),
};
console.log(JSON.stringify(report));
