// Sends dropped files to this machine's own server and shows what is seen in each.
const zone = document.getElementById("zone");
const options = document.getElementById("options");
const reports = document.getElementById("reports");
let files = [];

function shown(report) {
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
  return card;
}

async function look() {
  const cards = [];
  for (const file of files) {
    const query = new URLSearchParams({ name: file.name });
    for (const [name, value] of new FormData(options)) if (value) query.set(name, value);
    const answer = await fetch(`files/explain?${query}`, { method: "POST", body: file });
    const body = await answer.json();
    const found = answer.ok ? body.reports : [{ name: file.name, text: body.detail, manifest: "" }];
    cards.push(...found.map(shown));
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
