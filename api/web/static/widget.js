// <deai-index src="https://host/" index="deai" range="1y" theme="auto"></deai-index>: one script, one element.
// Draws in its own shadow tree; needs nothing from the page but this module.
const HOME = new URL("..", import.meta.url).href;
const STYLE = `
  :host { display: block; font: 14px/1.4 system-ui, sans-serif; font-variant-numeric: tabular-nums; max-width: 720px; }
  a { color: inherit; text-decoration: none; display: block; }
  .head { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; margin: 0 0 6px; }
  strong { font-size: 22px; letter-spacing: -0.01em; }
  .muted { opacity: 0.72; font-size: 13px; }
  .warn { font-weight: 600; }
  img { width: 100%; height: auto; display: block; border-radius: 8px; }
`;

class DeaiIndex extends HTMLElement {
  static observedAttributes = ["index", "range", "theme", "src", "key"];

  connectedCallback() {
    if (!this.shadowRoot) this.attachShadow({ mode: "open" });
    this.show();
    this.timer = setInterval(() => this.show(), 60_000);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  attributeChangedCallback() {
    if (this.isConnected && this.shadowRoot) this.show();
  }

  get home() {
    return this.getAttribute("src") || HOME;
  }

  // An address of ours, with the key of the element where reads need one (scope embed: everyone sees it).
  address(path, parameters = {}) {
    const address = new URL(path, this.home);
    const key = this.getAttribute("key");
    address.search = new URLSearchParams({ ...parameters, ...(key && { api_key: key }) }).toString();
    return address;
  }

  get theme() {
    const asked = this.getAttribute("theme") || "auto";
    if (asked !== "auto") return asked;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  async show() {
    const index = this.getAttribute("index") || "deai";
    const answer = await fetch(this.address(`v1/indices/${encodeURIComponent(index)}/latest`)).catch(() => null);
    const latest = answer ? await answer.json() : { detail: "The index does not answer" };
    const style = document.createElement("style");
    style.textContent = STYLE;
    const link = Object.assign(document.createElement("a"), { href: new URL(`indices/${index}`, this.home).href, target: "_blank", rel: "noopener" });
    link.append(answer?.ok ? this.head(latest) : line("p", "muted", latest.detail));
    if (answer?.ok) link.append(this.picture(index, latest));
    this.shadowRoot.replaceChildren(style, link);
    this.dispatchEvent(new CustomEvent("level", { detail: latest }));
  }

  head(latest) {
    const head = line("p", "head", "");
    const level = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(latest.level);
    const when = `${latest.status}, ${latest.time.slice(0, 16).replace("T", " ")} UTC`;
    head.append(latest.name, line("strong", "", level), line("span", "muted", when));
    if (latest.simulated) head.append(line("span", "warn", "simulated"));
    return head;
  }

  picture(index, latest) {
    const look = { range: this.getAttribute("range") || "1y", theme: this.theme, title: false };
    const address = this.address(`charts/${encodeURIComponent(index)}.svg`, look);
    return Object.assign(document.createElement("img"), { src: address.href, alt: `${latest.name}: level ${latest.level}`, width: 720, height: 360 });
  }
}

function line(name, kind, text) {
  return Object.assign(document.createElement(name), { className: kind, textContent: text });
}

if (!customElements.get("deai-index")) customElements.define("deai-index", DeaiIndex);
