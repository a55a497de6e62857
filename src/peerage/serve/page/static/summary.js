// The numbers at the top, and the buttons that show only records of a kind.

import { byId, element, setAttribute, setText } from "./dom.js";
import { messages } from "./attention.js";
import { styleOfKind } from "./line.js";
import { kind } from "./state.js";
import { clean, count } from "./text.js";

// In this order; other words of records follow.
const ORDER = ["ready", "draining", "suspect", "not callable", "left by hand", "unreadable", "superseded"];

// A record may have any word as its state. Of those, the most frequent ones have a button, and this many.
const OTHERS = 8;

/** Kinds that a record may be of besides its state. */
export const EXTRA = new Map([
  ["unconfirmed", (row) => row.unconfirmed],
  ["needs attention", (row) => messages(row).length > 0],
  ["has problems", (row) => row.problems.length > 0],
  ["mixed versions", (_row, group) => group.mixed],
]);

/** Tell whether a row of a group is of one of *kinds*; all are if there are none. */
export function isOf(kinds, row, group) {
  if (kinds.size === 0 || kinds.has(kind(row))) return true;
  return [...EXTRA].some(([name, is]) => kinds.has(name) && is(row, group));
}

export class Summary {
  #buttons = new Map();

  constructor(list) {
    this.list = list;
  }

  /**
   * Show the numbers of the rows that match the filter's text.
   *
   * `groups` are those of the table, `matches(row)` tells which rows match, `kinds` are the chosen ones.
   */
  show(groups, matches, kinds) {
    const numbers = new Map(["ready", ...kinds].map((name) => [name, 0]));
    const all = { services: 0, instances: 0 };
    const shown = { services: 0, instances: 0 };
    for (const group of groups) {
      const service = Number(group.service !== null);
      all.services += service;
      all.instances += group.lines.length;
      shown.services += group.shown > 0 ? service : 0;
      shown.instances += group.shown;
      const rows = group.lines.map((line) => line.row).filter(matches);
      for (const row of rows) {
        add(numbers, kind(row));
        for (const [name, is] of EXTRA) if (is(row, group)) add(numbers, name);
      }
    }
    number(byId("services"), shown.services, all.services, "service");
    number(byId("instances"), shown.instances, all.instances, "instance");
    const sorted = choose(numbers, kinds);
    for (const [name, button] of this.#buttons) if (!sorted.includes(name)) this.#remove(name, button);
    let next = this.list.firstChild;
    for (const name of sorted) {
      const button = this.#buttons.get(name) ?? this.#add(name);
      setText(button.lastChild, numbers.get(name).toLocaleString("en"));
      setAttribute(button, "aria-pressed", String(kinds.has(name)));
      const item = button.parentNode;
      if (item === next) next = next.nextSibling;
      else this.list.insertBefore(item, next);
    }
  }

  #add(name) {
    const style = EXTRA.has(name) ? "extra" : styleOfKind(name);
    const label = element("span", { class: "state" }, clean(name));
    const button = element(
      "button",
      { type: "button", "data-filter": name, "data-kind": style },
      label,
      " ",
      element("b"),
    );
    element("li", {}, button);
    this.#buttons.set(name, button);
    return button;
  }

  #remove(name, button) {
    button.parentNode.remove();
    this.#buttons.delete(name);
  }
}

// The names of the buttons, in their order.
function choose(numbers, kinds) {
  const others = [...numbers.keys()].filter((name) => rank(name) === ORDER.length && !kinds.has(name));
  others.sort((one, other) => numbers.get(other) - numbers.get(one));
  const left = new Set(others.slice(OTHERS));
  const names = [...numbers.keys()].filter((name) => !left.has(name));
  return names.sort((one, other) => rank(one) - rank(other) || (one < other ? -1 : 1));
}

function add(numbers, name) {
  numbers.set(name, (numbers.get(name) ?? 0) + 1);
}

function number(target, shown, all, noun) {
  setText(target.firstElementChild, shown.toLocaleString("en"));
  setText(target.lastElementChild, shown === all ? count(all, noun).split(" ")[1] : `of ${count(all, noun)}`);
}

function rank(name) {
  if (EXTRA.has(name)) return 100 + [...EXTRA.keys()].indexOf(name);
  const index = ORDER.indexOf(name);
  return index < 0 ? ORDER.length : index;
}
