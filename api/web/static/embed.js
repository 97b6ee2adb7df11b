// In an iframe: tells the page around it how tall we are, and follows new levels.
import { level, moment } from "./format.js";
import { follow } from "./data.js";

const { index, theme, range, key } = document.body.dataset;
const tell = () => parent.postMessage({ deai: index, height: document.documentElement.scrollHeight }, "*");
new ResizeObserver(tell).observe(document.body);
tell();

// The chart as large as the frame leaves room for, in steps, so that many frames share a picture.
const STEP = 20;
const chart = document.getElementById("chart");
let drawn = "640x320";  // as the server draws it

function room() {
  const inFrame = parent !== window;
  const left = innerHeight - chart.getBoundingClientRect().top - 10;
  const height = inFrame ? left : Math.min(left, chart.clientWidth * 0.6);
  return [Math.max(200, Math.round(chart.clientWidth / STEP) * STEP), Math.max(140, Math.floor(height / STEP) * STEP)];
}

async function redraw() {
  const [width, height] = room();
  const address = new URL(`charts/${encodeURIComponent(index)}.svg`, document.baseURI);
  address.search = new URLSearchParams({ theme, range, width, height, title: false, ...(key && { api_key: key }) }).toString();
  const answer = await fetch(address, { cache: "no-cache" });
  if (!answer.ok) return;
  drawn = `${width}x${height}`;
  const picture = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
  chart.replaceChildren(document.importNode(picture, true));
}

let later = 0;
function fit() {
  clearTimeout(later);
  later = setTimeout(() => { if (chart.clientWidth && chart.firstElementChild && room().join("x") !== drawn) redraw(); }, 150);
}
addEventListener("resize", fit);
fit();

follow(index, (latest) => {
  const time = document.getElementById("time");
  if (time.dateTime === latest.time) return;
  document.getElementById("level").textContent = level(latest.level);
  document.getElementById("status").textContent = latest.status;
  time.dateTime = latest.time;
  time.textContent = moment(Date.parse(latest.time));
  redraw();
}, key);
