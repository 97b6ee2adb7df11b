// Small helpers for building the page without markup in strings (nothing from the API is ever parsed as HTML).
export const byId = (id) => document.getElementById(id);

export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Buttons of which one is pressed; `onPick(value)` when another is chosen.
export function choice(host, options, { picked, onPick }) {
  host.replaceChildren(...options.map(({ value, label, title }) => {
    const button = make("button", { type: "button", textContent: label, title: title || "" });
    button.setAttribute("aria-pressed", String(value === picked));
    button.addEventListener("click", () => {
      for (const other of host.children) other.setAttribute("aria-pressed", String(other === button));
      onPick(value);
    });
    return button;
  }));
}

export function remember(name, value) {
  try {
    localStorage.setItem(`deai.${name}`, JSON.stringify(value));
  } catch {
    // Storage may be refused; then a choice lasts as long as the page.
  }
}

export function remembered(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`deai.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}
