// Reads our own API, relative to the page's base address; asks each time whether it changed (mostly 304).
// Errors keep the server's words (problem+json).
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "The server did not answer as expected");
    this.code = problem.code;
    this.status = problem.status;
  }
}

// What the first view draws comes in one answer, under the addresses that would give each part; asked again as a whole.
let first = {};

export async function readFirst(address, { beside = false } = {}) {
  const answer = await ask(new URL(address, document.baseURI));
  first = beside ? { ...first, ...answer } : answer;
}

export async function read(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined)).toString();
  const address = query ? `${path}?${query}` : path;
  if (!(address in first)) return ask(new URL(`v1/${address}`, document.baseURI), { cache: "no-cache" });
  if (first[address].problem) throw new Refused(first[address].problem);
  return first[address];
}

export async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  const body = await answer.json();
  if (!answer.ok) throw new Refused(body);
  return body;
}

// Instants that come as the first and the hours from each to the next.
export function timesOf({ from, hours }) {
  let at = Date.parse(from);
  return hours.map((more) => (at += more * 3_600_000));
}

// Levels as parallel arrays {times (ms), values, status}; follows the pages.
export async function readLevels(index, parameters) {
  const out = { times: [], values: [], status: [] };
  let cursor = null;
  do {
    const page = await read(`indices/${encodeURIComponent(index)}/levels`, { shape: "columns", ...parameters, cursor });
    out.times.push(...(page.data.time ? page.data.time.map(Date.parse) : timesOf(page.data)));
    out.values.push(...page.data.level);
    out.status.push(...page.data.status);
    cursor = page.next;
  } while (cursor);
  return out;
}

// Closes of a benchmark as parallel arrays {times (ms), values}.
export async function readCloses(symbol) {
  const answer = await read(`benchmarks/${encodeURIComponent(symbol)}/closes`, { shape: "columns" });
  return { times: answer.data.time.map(Date.parse), values: answer.data.close };
}

// Tells `onLevel` of each new level: by the event stream, and by asking now and then where there is none.
// `key` is given where reads need one and no cookie can be sent: in the frame of another site.
// With `onLive` the venues are asked for a level between fixings for as long as somebody follows.
export function follow(index, onLevel, key = "", onLive = null) {
  const address = new URL(`v1/indices/${encodeURIComponent(index)}/stream`, document.baseURI);
  if (key) address.searchParams.set("api_key", key);
  if (onLive) address.searchParams.set("live", "true");
  let source = null;
  const listen = () => {
    source = new EventSource(address);
    source.addEventListener("level", (event) => onLevel(JSON.parse(event.data)));
    if (onLive) source.addEventListener("live", (event) => onLive(JSON.parse(event.data)));
  };
  const end = () => source.close();
  listen();
  // A page that the browser keeps for "back" must not keep one of its six connections to this host.
  addEventListener("pagehide", end);
  addEventListener("pageshow", (event) => event.persisted && listen());
  return end;
}
