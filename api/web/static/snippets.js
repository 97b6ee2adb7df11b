// One line to use the index elsewhere, ready to copy: one at a time, whole, with what it gives where that can be shown.
import { byId, choice, make, remember, remembered } from "./dom.js";

export function showSnippets(index) {
  const base = new URL(".", document.baseURI).href;
  const below = `${base}v1/indices/${index}`;
  const snippets = [
    ["Frame", `<iframe src="${base}embed/${index}?range=1y" title="${index}" width="640" height="380" style="border:0"></iframe>`],
    ["Element", `<script type="module" src="${base}static/widget.js"></script>\n<deai-index index="${index}" range="1y"></deai-index>`],
    ["Badge", `![${index}](${base}badge/${index}.svg)`, badge],
    ["Python", `from indexer import Client\n\nlevels = Client("${base}").levels("${index}", interval="1d").to_pandas()`],
    ["pandas", `import pandas as pd\n\nlevels = pd.read_csv("${below}/levels.csv", parse_dates=["time"], index_col="time")`],
    ["Sheets", `=IMPORTDATA("${below}/levels.csv?last=90")`],
    ["Excel", `=NUMBERVALUE(WEBSERVICE("${below}/level.txt"), ".")`],
    ["curl", `curl "${below}/beta?benchmark=QQQ&sessions=90"`],
  ];
  const picked = remembered("snippet", "Frame");
  const show = (wanted) => {
    const [, text, preview] = snippets.find(([name]) => name === wanted) ?? snippets[0];
    byId("snippets").replaceChildren(snippet(text), ...(preview ? [preview(base, index)] : []));
  };
  choice(byId("ways"), snippets.map(([name]) => ({ value: name, label: name })), {
    picked: snippets.some(([name]) => name === picked) ? picked : "Frame",
    onPick: (value) => {
      remember("snippet", value);
      show(value);
    },
  });
  show(picked);
}

function badge(base, index) {
  return make("p", {}, make("img", { src: `${base}badge/${encodeURIComponent(index)}.svg`, alt: `Badge of ${index}`, height: 20 }));
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
