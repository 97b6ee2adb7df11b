// Sends dropped files to this machine's own server and shows what is seen in each.
const zone = document.getElementById("zone");
const options = document.getElementById("options");
const reports = document.getElementById("reports");
let files = [];

function queryOf(file) {
  const query = new URLSearchParams({ name: file.name });
  for (const [name, value] of new FormData(options)) if (value) query.set(name, value);
  return query;
}

async function takeIn(file, button) {
  button.disabled = true;
  button.textContent = "Importing…";
  const answer = await fetch(`files/import?${queryOf(file)}`, { method: "POST", body: file });
  const body = await answer.json();
  const counts = (one) => `${one.name}: ${one.new} new, ${one.unchanged} known, ${one.rejected} refused ${one.note}${one.problem}`;
  const text = document.createElement("pre");
  text.textContent = answer.ok ? body.files.map(counts).join("\n") : body.detail;
  button.replaceWith(text);
}

function shown(report, file) {
  const card = document.createElement("section");
  card.className = "card";
  const title = document.createElement("h2");
  title.textContent = report.name;
  const text = document.createElement("pre");
  text.textContent = report.text;
  card.append(title, text);
  if (report.manifest) {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "The manifest in force";
    const manifest = document.createElement("pre");
    manifest.textContent = report.manifest;
    details.append(summary, manifest);
    card.append(details);
  }
  if (report.readable) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Import ${file.name}`;
    button.addEventListener("click", () => takeIn(file, button));
    card.append(button);
  }
  return card;
}

async function look() {
  const cards = [];
  for (const file of files) {
    const answer = await fetch(`files/explain?${queryOf(file)}`, { method: "POST", body: file });
    const body = await answer.json();
    const found = answer.ok ? body.reports : [{ name: file.name, text: body.detail, manifest: "" }];
    cards.push(...found.map((report) => shown(report, file)));
  }
  reports.replaceChildren(...cards);
}

function take(list) {
  files = [...list];
  look();
}

zone.addEventListener("dragover", (event) => event.preventDefault());
zone.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
document.getElementById("files").addEventListener("change", (event) => take(event.target.files));
options.addEventListener("submit", (event) => {
  event.preventDefault();
  look();
});
document.body.dataset.ready = "yes";
