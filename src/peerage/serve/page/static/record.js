// The panel that shows one record whole.

import * as ages from "./ages.js";
import { messages } from "./attention.js";
import { byId, element, setAttribute, setText } from "./dom.js";
import { historyOf, showHistory } from "./history.js";
import { ids, marks, node, styleOf } from "./line.js";
import { clean, json } from "./text.js";

export class Panel {
  /** The name of the record that is shown; null if none is. */
  name = null;

  #focusAfterwards = null;
  #asked = 0;
  #age = null;

  /** `closed()` is called when the user closes it. */
  constructor(closed) {
    this.dialog = byId("record");
    this.closed = closed;
    byId("record-close").addEventListener("click", () => this.close());
    byId("record-copy").addEventListener("click", () => this.#copy());
  }

  /**
   * Show a record; *row* is what is known of it, undefined if it is gone; *moments* are those of the timeline.
   *
   * The focus goes to it and, when it is closed, back to where it was, unless it shall `stay` there.
   */
  open(name, row, moments, now, stay = false) {
    if (!this.dialog.contains(document.activeElement)) this.#focusAfterwards = document.activeElement;
    const other = this.name !== name;
    this.name = name;
    // show() moves the focus.
    const before = document.activeElement;
    if (!this.dialog.open) this.dialog.show();
    if (stay) before.focus();
    if (other) {
      setText(byId("record-json"), "");
      setAttribute(byId("record-link"), "href", address(name));
    }
    this.update(row, now);
    this.showHistory(row, moments);
    this.dialog.scrollTop = 0;
    if (!stay) byId("record-title").focus();
  }

  /** Show what has changed. */
  update(row, now) {
    byId("record-gone").hidden = row !== undefined;
    setAttribute(this.dialog, "data-kind", row === undefined ? "gone" : styleOf(row));
    if (row === undefined) {
      // What was shown of it stays.
      const nothing = byId("record-json").textContent === "";
      byId("record-whole").hidden = nothing;
      if (nothing) {
        byId("record-facts").replaceChildren();
        byId("record-notes").replaceChildren();
      }
      return;
    }
    byId("record-whole").hidden = false;
    setText(byId("record-title"), clean(row.instance ?? row.name));
    this.#showFacts(row, now);
    const note = (kind) => (text) => element("p", { class: kind }, clean(text, 2000));
    byId("record-notes").replaceChildren(
      ...messages(row).map(note("attention")),
      ...row.problems.map(note("problem")),
    );
    this.#fetch(this.name);
  }

  /** Show what happened to its instance in the last hour. */
  showHistory(row, moments) {
    const history = historyOf(moments, this.name, row);
    if (row === undefined && byId("record-json").textContent === "") {
      setText(byId("record-title"), clean(history[0]?.instance ?? this.name));
    }
    byId("record-hour").hidden = history.length === 0;
    showHistory(byId("record-history"), history);
  }

  /** Close it, and return the focus to where it was. */
  close() {
    if (this.name === null) return;
    this.name = null;
    if (this.#age !== null) ages.forget(this.#age);
    this.dialog.close();
    this.closed();
    if (this.#focusAfterwards?.isConnected) this.#focusAfterwards.focus();
  }

  #showFacts(row, now) {
    if (this.#age !== null) ages.forget(this.#age);
    const at = ages.seconds(row.launch_time);
    this.#age = element("span");
    ages.show(this.#age, at, now);
    const state = element("span", { class: "state" }, clean(row.state));
    const facts = [
      ["State", [element("span", {}, state, marks(row))]],
      ["Service", [clean(row.service)]],
      ["Node", [node(row)]],
      ["Version", [clean(row.version)]],
      [
        "Launched",
        at === null
          ? [clean(row.launch_time)]
          : [element("span", {}, ages.dateAndTime(at), " (", this.#age, " ago)")],
      ],
      ["Addresses", row.urls.map((url) => element("code", {}, clean(url)))],
      ["Ids", ids(row).map((each) => element("code", {}, each))],
      ["Class", [clean(row.appclass)]],
      ["Name", [element("code", {}, clean(row.name))]],
    ];
    byId("record-facts").replaceChildren(
      ...facts
        .filter(([, values]) => values.some((value) => value !== ""))
        .map(([label, values]) => element("div", {}, element("dt", {}, label), element("dd", {}, ...values))),
    );
  }

  async #fetch(name) {
    const number = ++this.#asked;
    let text;
    try {
      const response = await fetch(address(name), { cache: "no-store" });
      const answer = await response.json();
      text = response.ok ? json(answer.record) : clean(answer.error);
    } catch {
      // The banner says that there is no connection; what was known stays.
      return;
    }
    // Another record was opened meanwhile, or this one was asked for again.
    if (number === this.#asked && name === this.name) setText(byId("record-json"), text);
  }

  async #copy() {
    const button = byId("record-copy");
    try {
      await navigator.clipboard.writeText(byId("record-json").textContent);
      setText(button, "Copied");
    } catch {
      setText(button, "Not allowed");
    }
    setTimeout(() => setText(button, "Copy"), 1500);
  }
}

function address(name) {
  return `v1/instances/${encodeURIComponent(name)}`;
}
