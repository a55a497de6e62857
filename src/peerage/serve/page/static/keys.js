// The keyboard: `/` goes to the filter, Escape closes or clears, arrows move through the table.

const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity };

/** Handle the keys of the whole page; `escape()` closes or clears something. */
export function listen(filter, escape) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !event.target.closest("input, textarea")) {
      event.preventDefault();
      filter.focus();
      filter.select();
    } else if (event.key === "Escape") {
      event.preventDefault();
      escape();
    }
  });
}

/**
 * Make the buttons of a table one stop of the Tab key, among which the arrow keys move.
 *
 * Left and right fold and unfold a service, as in a tree.
 */
export class Roving {
  #current = null;

  constructor(table) {
    this.table = table;
    table.addEventListener("focusin", (event) => this.#take(event.target.closest("button")));
    table.addEventListener("keydown", (event) => this.#move(event));
  }

  /** See to it that one button can be reached with Tab; call it after the table has changed. */
  refresh() {
    if (this.#current === null || !this.#current.isConnected || this.#current.closest("[hidden]") !== null) {
      this.#take(this.#buttons()[0] ?? null);
    }
  }

  #take(button) {
    if (button === null || button === this.#current) return;
    if (this.#current !== null) this.#current.tabIndex = -1;
    this.#current = button;
    button.tabIndex = 0;
  }

  #move(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const current = event.target.closest("button");
    if (current === null) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const unfolded = current.getAttribute("aria-expanded");
      if (unfolded === String(event.key === "ArrowLeft")) current.click();
      return;
    }
    const move = MOVES[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const buttons = this.#buttons();
    const index = Math.min(buttons.length - 1, Math.max(0, buttons.indexOf(current) + move));
    buttons[index]?.focus();
  }

  #buttons() {
    return [...this.table.querySelectorAll("tbody:not([hidden]) > tr:not([hidden]) button")];
  }
}
