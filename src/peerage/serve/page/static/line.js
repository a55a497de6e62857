// One line of the table: the cells of one record.

import * as ages from "./ages.js";
import { messages } from "./attention.js";
import { element, setAttribute, setText } from "./dom.js";
import { kind } from "./state.js";
import { clean } from "./text.js";

// States that have a colour and a shape of their own; other words of records look alike.
const KNOWN = new Set([
  "ready",
  "draining",
  "suspect",
  "not callable",
  "left by hand",
  "unreadable",
  "superseded",
]);

export class Line {
  #cells = {};
  #row = null;

  constructor(name) {
    this.name = name;
    /** What the row is sorted by within its service. */
    this.key = "";
    this.tr = element("tr", { "data-name": name, role: "row" });
    this.opener = element("button", { type: "button", class: "opener", tabindex: "-1" });
    this.age = element("time");
    this.started = element("span", { class: "started" });
    this.kind = element("span", { class: "state" });
    this.marks = element("span", { class: "marks" });
    for (const column of ["state", "instance", "node", "version", "since", "addresses", "ids", "notes"]) {
      const role = column === "instance" ? "rowheader" : "cell";
      this.#cells[column] = this.tr.appendChild(element("td", { "data-column": column, role }));
    }
    this.#cells.state.append(this.kind, this.marks);
    this.#cells.instance.append(this.opener);
    this.#cells.since.append(this.age, this.started);
    this.#cells.notes.hidden = true;
  }

  /** The row that is shown. */
  get row() {
    return this.#row;
  }

  /** Show *row*; only what differs is written. */
  show(row, now) {
    this.#row = row;
    this.key = clean(row.instance ?? row.name);
    setText(this.opener, this.key);
    setText(this.kind, clean(row.state));
    setText(this.marks, marks(row));
    setAttribute(this.tr, "data-marked", marks(row) === "" ? null : "");
    setAttribute(this.tr, "data-kind", styleOf(row));
    setText(this.#cells.node, node(row));
    setText(this.#cells.version, clean(row.version));
    this.#showAge(row, now);
    this.#showList(
      "addresses",
      row.urls.map((url) => clean(url)),
    );
    this.#showList("ids", ids(row));
    this.#showNotes(row);
    for (const column of ["state", "instance", "node", "version", "addresses", "ids"]) {
      setAttribute(this.#cells[column], "title", this.#cells[column].textContent || null);
    }
  }

  /** Mark the version as another than that of most instances, or not. */
  markVersion(differs) {
    setAttribute(this.tr, "data-other-version", differs ? "" : null);
  }

  /** Mark it as the one that is shown whole, or not. */
  select(selected) {
    setAttribute(this.tr, "data-selected", selected ? "" : null);
    setAttribute(this.opener, "aria-current", selected ? "true" : null);
  }

  /** Point out that it joined, or that its state changed. */
  flash() {
    // An animation of another name begins anew, without a layout of the page for each line.
    const again = this.tr.classList.contains("fresh");
    this.tr.classList.toggle("fresh", !again);
    this.tr.classList.toggle("fresh-again", again);
  }

  remove() {
    ages.forget(this.age);
    this.tr.remove();
  }

  #showAge(row, now) {
    const at = ages.seconds(row.launch_time);
    ages.show(this.age, at, now);
    setText(this.started, at === null ? "" : ages.since(at, now));
    setAttribute(this.age, "datetime", at === null ? null : new Date(at * 1000).toISOString());
    setAttribute(this.#cells.since, "title", at === null ? null : `Launched ${ages.dateAndTime(at)}`);
  }

  #showList(column, texts) {
    const cell = this.#cells[column];
    if (cell.textContent === texts.join(" ")) return;
    cell.replaceChildren(...texts.flatMap((text, index) => [index ? " " : "", element("span", {}, text)]));
  }

  #showNotes(row) {
    const attention = messages(row);
    const notes = [...attention, ...row.problems.map((each) => clean(each))];
    const cell = this.#cells.notes;
    const text = notes.join("\n");
    if (cell.dataset.text === text) return;
    cell.dataset.text = text;
    cell.hidden = notes.length === 0;
    const kindOf = (index) => (index < attention.length ? "attention" : "problem");
    cell.replaceChildren(...notes.map((note, index) => element("p", { class: kindOf(index) }, note)));
  }
}

/** Return the word by which the style sheet knows the state of a row. */
export function styleOf(row) {
  return styleOfKind(kind(row));
}

/** Return the word by which the style sheet knows a kind of row. */
export function styleOfKind(word) {
  return KNOWN.has(word) ? word.replaceAll(" ", "-") : "other";
}

/** Return what is said beside the state of a row. */
export function marks(row) {
  return (row.superseded ? ", superseded" : "") + (row.unconfirmed ? ", unconfirmed" : "");
}

/** Return the node of a row, and its host if that says more. */
export function node(row) {
  const [one, host] = [clean(row.node), clean(row.host)];
  if (!one || !host) return one || host;
  return host === one || host.startsWith(`${one}.`) ? one : `${one} (${host})`;
}

/** Return the ids of a row besides its service, instance and node, each as `key=value`. */
export function ids(row) {
  const site = row.site === null ? [] : [`site_id=${clean(row.site)}`];
  return site.concat(
    Object.entries(row.ids).flatMap(([key, values]) =>
      values.map((value) => `${clean(key)}=${clean(value)}`),
    ),
  );
}
