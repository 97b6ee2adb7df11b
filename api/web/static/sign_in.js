// The form works without it; this only keeps the reader's colours.
import { themeSwitch } from "./theme.js";

themeSwitch();
document.body.dataset.ready = "yes";
