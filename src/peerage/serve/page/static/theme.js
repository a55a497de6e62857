// Light or dark: as the system says, unless the user has chosen.

import { setAttribute, setText } from "./dom.js";

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
  setText(button, theme.slice(0, 1).toUpperCase() + theme.slice(1));
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
