// The table of all indices: sorted by its headings; the betas as they come.
import { ask } from "./data.js";
import { byId, make } from "./dom.js";
import { day, number } from "./format.js";
import { sortable } from "./table.js";
import { themeSwitch } from "./theme.js";

async function showBetas() {
  const betas = await ask(new URL("page-data/overview", document.baseURI));
  const clocks = new Set();
  for (const cell of document.querySelectorAll("[data-beta]")) {
    const row = betas[cell.dataset.beta] ?? {};
    const there = row.beta !== undefined && row.beta !== null;
    cell.textContent = there ? number(row.beta) : "–";
    cell.title = there ? `n ${row.n}, to ${day(Date.parse(row.last_session))}` : row.missing ?? "";
    if (!there) continue;
    cell.dataset.value = row.beta;
    cell.append(make("small", { textContent: `± ${number(row.se)}` }));
    clocks.add(row.clock);
  }
  if (clocks.has("daily_utc")) byId("beta-note").textContent += " Where the last closes have no level at their instant it is that of UTC days.";
}

themeSwitch();
sortable(byId("overview"));
showBetas().catch((error) => { byId("beta-note").textContent = error.message; }).finally(() => { document.body.dataset.ready = "yes"; });
