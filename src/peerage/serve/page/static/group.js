// One service: a heading, and the lines of its records below.

import { element, setAttribute, setText } from "./dom.js";
import { styleOf, styleOfKind } from "./line.js";
import { kind } from "./state.js";
import { clean, compare, count } from "./text.js";

// Versions that a heading lists; of more it gives the number.
const LISTED = 4;

// Dots and states that a heading has at most.
const DOTS = 60;
const STATES = 5;

export class Group {
  /** The lines, sorted as they are shown. */
  lines = [];
  /** Whether its instances have more than one version. */
  mixed = false;
  /** How many of its lines match what is asked for. */
  shown = 0;

  constructor(service) {
    this.service = service;
    const label = service === null ? "Without a service id" : clean(service);
    this.button = element(
      "button",
      { type: "button", class: "fold", tabindex: "-1", "aria-expanded": "true" },
      label,
    );
    this.number = element("span", { class: "number" });
    this.versions = element("span", { class: "versions" });
    this.states = element("span", { class: "states" });
    this.dots = element("span", { class: "dots", "aria-hidden": "true" });
    const cell = element(
      "th",
      { role: "rowheader", scope: "rowgroup", "aria-colspan": "8" },
      this.button,
      this.number,
      this.dots,
      this.versions,
      this.states,
    );
    this.tr = element("tr", { role: "row", class: "service", "data-service": service ?? "" }, cell);
    this.body = element("tbody", { role: "rowgroup" }, this.tr);
  }

  /** Add a line, or put it where it belongs after its key has changed. */
  place(line) {
    const old = this.lines.indexOf(line);
    if (old >= 0) this.lines.splice(old, 1);
    const index = positionIn(
      this.lines,
      (each) => compare(each.key, line.key) || compare(each.name, line.name),
    );
    this.lines.splice(index, 0, line);
    const next = this.lines[index + 1]?.tr ?? null;
    if (line.tr.parentNode !== this.body || line.tr.nextSibling !== next)
      this.body.insertBefore(line.tr, next);
  }

  drop(line) {
    this.lines.splice(this.lines.indexOf(line), 1);
  }

  /** Show the heading anew, and those lines that are `wanted(row, group)`. */
  refresh(wanted, unfolded) {
    this.#showVersions();
    this.#showStates();
    const shown = this.lines.filter((line) => wanted(line.row, this));
    const set = new Set(shown);
    for (const line of this.lines) line.tr.hidden = !unfolded || !set.has(line);
    this.shown = shown.length;
    this.#showDots(unfolded ? [] : shown);
    setAttribute(this.button, "aria-expanded", String(unfolded));
    const all = this.lines.length;
    setText(
      this.number,
      shown.length === all ? count(all, "instance") : `${shown.length} of ${count(all, "instance")}`,
    );
    this.body.hidden = shown.length === 0;
    // What isn't near the window isn't laid out; this is the height that it is taken to have.
    this.body.style.setProperty("--lines", String(unfolded ? shown.length : 0));
  }

  #showVersions() {
    const numbers = tally(
      this.lines.filter((line) => !line.row.superseded && line.row.instance !== null),
      (row) => clean(row.version),
    );
    numbers.delete("");
    this.mixed = numbers.size > 1;
    const sorted = [...numbers].sort(([one], [other]) => compare(one, other));
    const usual = sorted.reduce((most, each) => (each[1] >= most[1] ? each : most), ["", 0])[0];
    for (const line of this.lines) line.markVersion(this.mixed && differs(line.row, usual));
    let texts = sorted.map(([version]) => version);
    if (this.mixed) {
      texts =
        sorted.length > LISTED
          ? [count(sorted.length, "version")]
          : sorted.map(([version, number]) => `${version} ×${number}`);
    }
    setAttribute(this.tr, "data-mixed", this.mixed ? "" : null);
    if (this.versions.textContent !== texts.join("")) {
      this.versions.replaceChildren(...texts.map((text) => element("span", {}, text)));
    }
  }

  // A service whose lines aren't shown has a dot for each of them.
  #showDots(lines) {
    const styles = lines.slice(0, DOTS).map((line) => styleOf(line.row));
    const text = styles.join(" ");
    if (this.dots.dataset.text === text) return;
    this.dots.dataset.text = text;
    this.dots.replaceChildren(...styles.map((style) => element("i", { "data-kind": style })));
    setAttribute(this.body, "data-folded", lines.length > 0 ? "" : null);
  }

  #showStates() {
    const numbers = tally(this.lines, kind);
    numbers.delete("ready");
    const texts = [...numbers]
      .slice(0, STATES)
      .map(([word, number]) => [`${number} ${clean(word)}`, styleOfKind(word)]);
    if (this.states.textContent !== texts.map(([text]) => text).join("")) {
      this.states.replaceChildren(
        ...texts.map(([text, style]) => element("span", { "data-kind": style }, text)),
      );
    }
  }
}

// A record without a version says nothing, and a superseded one isn't called.
function differs(row, usual) {
  const version = clean(row.version);
  return version !== "" && version !== usual && !row.superseded;
}

/** Return the index in sorted *items* of the first one for which `comparison(item)` is above 0. */
export function positionIn(items, comparison) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (comparison(items[middle]) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

function tally(lines, word) {
  const numbers = new Map();
  for (const { row } of lines) numbers.set(word(row), (numbers.get(word(row)) ?? 0) + 1);
  return numbers;
}
