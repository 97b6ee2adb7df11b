// Sends dropped files to this machine's own server and shows what is seen in each; what a file does not say is asked.
import { themeSwitch } from "./theme.js";

const zone = document.getElementById("zone");
const reports = document.getElementById("reports");
const { options } = reports.dataset;

function made(tag, text, more) {
  const node = Object.assign(document.createElement(tag), more);
  node.textContent = text;
  return node;
}

async function sent(route, file, answers) {
  const query = new URLSearchParams({ name: file.name, ...answers });
  try {
    const answer = await fetch(`files/${route}?${query}`, { method: "POST", body: file });
    const body = await answer.json();
    return answer.ok ? body : { problem: body.detail };
  } catch {
    return { problem: `${file.name} was not read: the program does not answer, or the file was moved` };
  }
}

function answersOf(form) {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
}

function field(name, meaning, answers) {
  const label = made("label", name.replace("_", " "));
  label.append(made("input", "", { name, value: answers[name] ?? "", autocomplete: "off" }));
  if (meaning) label.append(made("span", meaning, { className: "note" }));
  return label;
}

function answerForm(report, file, answers, card) {
  const form = made("form", "", { className: "answers" });
  const asked = Object.entries(report.asked ?? {});
  form.append(...asked.map(([name, meaning]) => field(name, meaning, answers)));
  const others = made("details", "");
  const names = options.split(" ").filter((name) => !(report.asked ?? {})[name]);
  others.append(made("summary", "Say something else of this file"), ...names.map((name) => field(name, "", answers)));
  form.append(others, made("button", "Look again"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    card.replaceWith(...(await cardsOf(file, { sheet: report.sheet ?? "", ...answersOf(form) })));
  });
  return form;
}

async function takeIn(file, answers, button) {
  button.disabled = true;
  button.textContent = "Importing…";
  const body = await sent("import", file, answers);
  const counts = (one) => `${one.name}: ${one.new} new, ${one.revised} changed, ${one.unchanged} known, ${one.rejected} refused ${one.note}${one.problem}`;
  button.replaceWith(made("pre", body.problem ?? body.files.map(counts).join("\n"), { role: "status" }));
}

function cardOf(report, file, answers) {
  const card = made("section", "", { className: "card" });
  card.append(made("h2", report.name), made("pre", report.text));
  if (report.readable) {
    const button = made("button", `Import ${report.sheet ? report.name : file.name}`, { type: "button", className: "import" });
    button.addEventListener("click", () => takeIn(file, { ...answers, ...(report.sheet && { sheet: report.sheet }) }, button));
    const details = made("details", "");
    details.append(made("summary", "The manifest in force"), made("pre", report.manifest));
    card.append(button, details);
  }
  if (report.readable || Object.keys(report.asked ?? {}).length) card.append(answerForm(report, file, answers, card));
  return card;
}

async function cardsOf(file, answers) {
  const body = await sent("explain", file, answers);
  const found = body.reports ?? [{ name: file.name, text: body.problem }];
  return found.map((report) => cardOf(report, file, answers));
}

async function take(files) {
  reports.replaceChildren();
  for (const file of files) reports.append(...(await cardsOf(file, {})));
}

for (const name of ["dragover", "dragleave", "drop"])
  zone.addEventListener(name, (event) => {
    event.preventDefault();
    zone.classList.toggle("over", name === "dragover");
    if (name === "drop") take([...event.dataTransfer.files]);
  });
document.getElementById("files").addEventListener("change", (event) => take([...event.target.files]));
themeSwitch();
document.body.dataset.ready = "yes";
