/** Defines `<deai-index src="https://your.host/" index="deai" range="1y" theme="auto" key="deai_…">`. */
export {};

declare global {
  interface HTMLElementTagNameMap {
    "deai-index": HTMLElement;
  }
}
