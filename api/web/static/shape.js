// Paths of series: gaps stay gaps (null breaks the line), and no more points than pixels (lowest and highest kept).
export function extent(series, zero) {
  let low = Infinity, high = -Infinity, from = Infinity, to = -Infinity;
  for (const one of series) {
    from = Math.min(from, one.times[0]);
    to = Math.max(to, one.times[one.times.length - 1]);
    for (const values of [one.values, one.low, one.high]) {
      for (const value of values || []) {
        if (value === null) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
  }
  if (zero === "top") high = 0;
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  return { low, high, from, to };
}

// Indices to draw: all, or the first, lowest, highest and last of each pixel column.
function thinned(values, pixels) {
  if (values.length <= pixels * 3) return values.keys();
  const keep = [];
  const step = values.length / pixels;
  for (let column = 0; column < pixels; column += 1) {
    const start = Math.floor(column * step);
    const end = Math.min(values.length, Math.floor((column + 1) * step));
    let low = start, high = start, gap = -1;
    for (let i = start; i < end; i += 1) {
      if (values[i] === null) gap = i;
      else {
        if (values[low] === null || values[i] < values[low]) low = i;
        if (values[high] === null || values[i] > values[high]) high = i;
      }
    }
    keep.push(...[...new Set([start, low, high, end - 1, ...(gap < 0 ? [] : [gap])])].sort((a, b) => a - b));
  }
  return keep;
}

export function linePath(times, values, { x, y, pixels }) {
  let path = "";
  let pen = false;
  for (const i of thinned(values, pixels)) {
    if (values[i] === null) pen = false;
    else {
      path += `${pen ? "L" : "M"}${x(times[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`;
      pen = true;
    }
  }
  return path;
}

// The area between values and a floor (pixels) or another series (`base`).
export function areaPath(times, values, { x, y, floor, base }) {
  let path = "";
  for (const run of runs(values.map((value, i) => value !== null && (!base || base[i] !== null)))) {
    if (!run.value) continue;
    const forward = [];
    const back = [];
    for (let i = run.from; i <= run.to; i += 1) {
      const px = x(times[i]).toFixed(1);
      forward.push(`${px} ${y(values[i]).toFixed(1)}`);
      if (base) back.push(`${px} ${y(base[i]).toFixed(1)}`);
    }
    const end = base ? back.reverse() : [`${x(times[run.to]).toFixed(1)} ${floor}`, `${x(times[run.from]).toFixed(1)} ${floor}`];
    path += `M${forward.join("L")}L${end.join("L")}Z`;
  }
  return path;
}

// Runs of equal values: [{value, from, to}] with both ends included.
export function runs(values) {
  const out = [];
  values.forEach((value, i) => {
    const last = out[out.length - 1];
    if (last && last.value === value) last.to = i;
    else out.push({ value, from: i, to: i });
  });
  return out;
}

export function drawdowns(values) {
  let peak = -Infinity;
  return values.map((value) => {
    if (value === null) return null;
    peak = Math.max(peak, value);
    return value / peak - 1;
  });
}
