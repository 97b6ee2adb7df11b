// The switch between light and dark; the choice is kept, and follows the system until one is made.
import { byId, remember, remembered } from "./dom.js";

export function themeSwitch() {
  const root = document.documentElement;
  const chosen = remembered("theme", null);
  if (chosen) root.dataset.theme = chosen;
  byId("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember("theme", root.dataset.theme);
  });
}
