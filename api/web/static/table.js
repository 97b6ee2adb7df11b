// Tables whose headings sort: by `data-value` of the cells where there is one, else by their text; what is missing comes last.
import { make } from "./dom.js";
import { TERMS } from "./glossary.js";

// Rows of cells: a text, or {text, value, title, className, link, node}.
export function fill(table, heads, rows) {
  const head = make("tr", {}, ...heads.map((textContent) => make("th", { scope: "col", textContent, title: TERMS[textContent] ?? "" })));
  table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map(cellOf)))));
}

function cellOf(cell) {
  if (typeof cell === "string") return make("td", { textContent: cell });
  const { text = "", value, title = "", className = "", link, node } = cell;
  const td = make("td", { title, className }, node ?? (link ? make("a", { href: link, textContent: text, target: link.includes(":") ? "_blank" : "", rel: "noopener" }) : text));
  if (value !== undefined) td.dataset.value = value ?? "";
  return td;
}

export function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if ("still" in head.dataset) return;
    const button = make("button", { type: "button" });
    button.append(...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.ariaSort ? head.ariaSort !== "descending" : column > 0;
      for (const other of head.parentElement.cells) other.ariaSort = null;
      head.ariaSort = down ? "descending" : "ascending";
      body.replaceChildren(...[...body.rows].sort((a, b) => compare(valueOf(a.cells[column]), valueOf(b.cells[column]), down)));
    });
  });
}

function valueOf(cell) {
  const text = cell.dataset.value ?? cell.textContent;
  return text === "" || text === "–" ? null : Number.isNaN(Number(text)) ? text : Number(text);
}

function compare(a, b, down) {
  if (a === null || b === null) return (a === null) - (b === null);
  return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
}
