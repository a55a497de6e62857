// Light or dark: as the system says, unless the user has chosen.

import { setAttribute } from "./dom.js";

const THEMES = ["auto", "light", "dark"];
const KEY = "peerage.theme";

/** Take up the theme that was chosen last, and let *button* choose the next one. */
export function startTheme(button) {
  let theme = stored();
  apply(button, theme);
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    store(theme);
    apply(button, theme);
  });
}

function apply(button, theme) {
  setAttribute(document.documentElement, "data-theme", theme === "auto" ? null : theme);
  setAttribute(button, "data-is", theme);
  setAttribute(button, "aria-label", `Colours: ${theme === "auto" ? "as the system" : theme}`);
  setAttribute(button, "title", button.getAttribute("aria-label"));
}

// A browser that keeps nothing forgets the choice with the page.
function stored() {
  try {
    const found = localStorage.getItem(KEY);
    return THEMES.includes(found) ? found : "auto";
  } catch {
    return "auto";
  }
}

function store(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // See above.
  }
}
