// Numbers and times as the page writes them. Fractions come in, percent goes out; null stays a dash.
const DASH = "–";
const MINUS = "\u2212";
const numberFormats = new Map();

export function number(value, digits = 2) {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  if (!numberFormats.has(digits)) {
    numberFormats.set(digits, new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  const text = numberFormats.get(digits).format(value);
  return /[1-9]/.test(text) ? text.replace("-", MINUS) : text.replace("-", "");
}

export function level(value) {
  return number(value, Math.abs(value) >= 100_000 ? 0 : 2);
}

export function percent(value, digits = 1) {
  return value === null || value === undefined ? DASH : `${number(value * 100, digits)}\u202f%`;
}

export function signed(value, digits = 1) {
  if (value === null || value === undefined) return DASH;
  return (value > 0 ? "+" : "") + percent(value, digits);
}

export function price(value) {
  if (value === null || value === undefined) return DASH;
  const digits = value >= 1000 ? 0 : value >= 1 ? 2 : value >= 0.01 ? 4 : 6;
  return `$${number(value, digits)}`;
}

const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

export function compact(value) {
  return value === null || value === undefined ? DASH : short.format(value).replace("-", MINUS);
}

export function tone(value) {
  return value > 0 ? "up" : value < 0 ? "down" : "";
}

export function day(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

export function moment(ms) {
  const text = new Date(ms).toISOString();
  return text.slice(11, 16) === "00:00" ? `${text.slice(0, 10)} 00:00 UTC` : `${text.slice(0, 10)} ${text.slice(11, 16)} UTC`;
}

export function age(ms, now = Date.now()) {
  const minutes = Math.max(0, Math.round((now - ms) / 60_000));
  if (minutes < 1) return "just now";
  if (minutes < 90) return `${minutes} min ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 48) return `${hours} h ago`;
  const days = Math.round(hours / 24);
  return days < 730 ? `${number(days, 0)} days ago` : `${number(days / 365.25, 1)} years ago`;
}
