// In an iframe: tells the page around it how tall we are, and follows new levels.
import { level, moment } from "./format.js";
import { follow } from "./data.js";

const { index, theme, range, key } = document.body.dataset;
const tell = () => parent.postMessage({ deai: index, height: document.documentElement.scrollHeight }, "*");
new ResizeObserver(tell).observe(document.body);
tell();

async function redraw() {
  const address = new URL(`charts/${encodeURIComponent(index)}.svg`, document.baseURI);
  address.search = new URLSearchParams({ theme, range, width: 640, height: 260, title: false, ...(key && { api_key: key }) }).toString();
  const answer = await fetch(address, { cache: "no-cache" });
  if (!answer.ok) return;
  const drawn = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
  document.getElementById("chart").replaceChildren(document.importNode(drawn, true));
}

follow(index, (latest) => {
  const time = document.getElementById("time");
  if (time.dateTime === latest.time) return;
  document.getElementById("level").textContent = level(latest.level);
  document.getElementById("status").textContent = latest.status;
  time.dateTime = latest.time;
  time.textContent = moment(Date.parse(latest.time));
  redraw();
}, key);
