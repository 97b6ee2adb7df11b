// What is shown stands in the address: a link shows the same to others, and "back" goes to the view before.
export const stated = (name) => new URLSearchParams(location.search).get(name);

// Puts values into the address, null to leave one out; a step to go back from unless it only completes what is there.
export function state(values, { complete = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  const address = location.pathname + (query.size ? `?${query}` : "") + location.hash;
  if (address === location.pathname + location.search + location.hash) return;
  if (complete) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
}

export async function copyLink() {
  await navigator.clipboard?.writeText(location.href);
  return Boolean(navigator.clipboard);  // without TLS, except on this machine, a browser has none
}

// Series of one view as CSV: a row an instant, a column a series, empty where it has no value.
export function csvOf(series) {
  const rows = new Map();
  series.forEach((one, column) => one.times.forEach((time, i) => {
    if (!rows.has(time)) rows.set(time, series.map(() => ""));
    rows.get(time)[column] = one.values[i] ?? "";
  }));
  const lines = [...rows].sort(([a], [b]) => a - b)
    .map(([time, cells]) => [new Date(time).toISOString().replace(".000Z", "Z"), ...cells].join(","));
  return [["time", ...series.map((one) => one.name)].join(","), ...lines, ""].join("\r\n");
}

export function download(name, content, type) {
  const link = Object.assign(document.createElement("a"), { download: name });
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.click();
  URL.revokeObjectURL(link.href);
}
