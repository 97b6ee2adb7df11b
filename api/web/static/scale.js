// Scales and ticks: from values to pixels and round numbers, times in UTC.
export function linear(from, to, start, end) {
  const span = to - from || 1;
  const scale = (value) => start + ((value - from) / span) * (end - start);
  scale.invert = (pixel) => from + ((pixel - start) / (end - start)) * span;
  return scale;
}

export function logarithmic(from, to, start, end) {
  const inner = linear(Math.log(from), Math.log(to), start, end);
  return Object.assign((value) => inner(Math.log(value)), { invert: (pixel) => Math.exp(inner.invert(pixel)) });
}

export function ticks(from, to, count) {
  const raw = (to - from) / Math.max(1, count);
  if (!(raw > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw * 0.999);
  const out = [];
  for (let tick = Math.ceil(from / step); tick * step <= to + step * 1e-9; tick += 1) out.push(tick * step || 0);
  return out;
}

export function logTicks(from, to, count) {
  const out = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power += 1) {
    for (const factor of [1, 2, 5]) {
      const value = factor * 10 ** power;
      if (value >= from && value <= to) out.push(value);
    }
  }
  return out.length >= 3 ? out : ticks(from, to, count).filter((value) => value > 0);
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// [{at, label}]: midnights, months or years, whichever gives about `count` of them.
export function timeTicks(from, to, count) {
  const span = to - from;
  const days = span / DAY / count;
  if (days < 0.2) return fixed(from, to, [1, 2, 3, 4, 6, 12].find((h) => h * HOUR >= span / count) * HOUR || 6 * HOUR);
  if (days < 20) return fixed(from, to, [0.25, 0.5, 1, 2, 3, 7, 14].find((d) => d >= days) * DAY || 14 * DAY);
  const step = [1, 2, 3, 6, 12, 24, 60].find((months) => months * 30.4 >= days) || 120;
  const out = [];
  const first = new Date(from);
  for (let month = first.getUTCFullYear() * 12 + Math.ceil((first.getUTCMonth() + 1) / step) * step; ; month += step) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > to) return out;
    const january = month % 12 === 0;
    out.push({ at, label: january ? String(Math.floor(month / 12)) : MONTHS[month % 12] });
  }
}

function fixed(from, to, step) {
  const out = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const date = new Date(at);
    const midnight = at % DAY === 0;
    const label = midnight ? `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}` : date.toISOString().slice(11, 16);
    out.push({ at, label });
  }
  return out;
}

// Index of the first element >= value.
export function lowerBound(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function nearest(sorted, value) {
  const right = Math.min(lowerBound(sorted, value), sorted.length - 1);
  const left = Math.max(0, right - 1);
  return value - sorted[left] <= sorted[right] - value ? left : right;
}
