// One line to use the index elsewhere, ready to copy.
import { byId, make } from "./dom.js";

export function showSnippets(index) {
  const base = new URL(".", document.baseURI).href;
  const levels = `${base}v1/indices/${index}/levels?format=csv`;
  const snippets = [
    ["Frame", `<iframe src="${base}embed/${index}?range=1y" title="${index}" width="640" height="380" style="border:0"></iframe>`],
    ["Element", `<script type="module" src="${base}static/widget.js"></script><deai-index index="${index}"></deai-index>`],
    ["Badge", `![${index}](${base}badge/${index}.svg)`],
    ["Python", `pandas.read_csv("${levels}", parse_dates=["time"])`],
    ["Sheets", `=IMPORTDATA("${levels}")`],
    ["Shell", `curl ${base}v1/indices/${index}/latest`],
    ["Beta", `curl "${base}v1/indices/${index}/beta?benchmark=QQQ&sessions=90"`],
  ];
  byId("snippets").replaceChildren(...snippets.flatMap(([name, text]) => [make("p", { className: "note", textContent: name }), snippet(text)]));
}

function snippet(text) {
  const button = make("button", { type: "button", textContent: "copy" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  return make("div", { className: "snippet" }, make("pre", { tabIndex: 0 }, make("code", { textContent: text })), button);
}
