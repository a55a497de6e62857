// The timeline: what joined, left and failed in the last hour, the latest first.

import { timeOfDay } from "./ages.js";
import { element, setText } from "./dom.js";
import { clean, count } from "./text.js";

// Entries that are shown at a time.
const MOST = 200;

// What an entry about the registry says; the others name an instance.
const REGISTRY = new Map([
  ["lost", ["lost", "touch with the registry"]],
  ["found", ["back", "in touch with the registry"]],
]);

export class Timeline {
  #shown = [];
  #items = new Map();

  constructor(list, note) {
    this.list = list;
    this.note = note;
  }

  /** Show those of *moments*, the latest last, that are `wanted`. */
  show(moments, wanted) {
    const matching = moments.filter(wanted);
    const latest = matching.slice(-MOST).reverse();
    const keep = new Set(latest);
    for (const moment of this.#shown) {
      if (!keep.has(moment)) {
        this.#items.get(moment).remove();
        this.#items.delete(moment);
      }
    }
    // What is shown already stays in place, so that it keeps the focus.
    let next = this.list.firstChild;
    for (const moment of latest) {
      const item = this.#item(moment);
      if (item === next) next = next.nextSibling;
      else this.list.insertBefore(item, next);
    }
    this.#shown = latest;
    setText(this.note, note(moments.length, matching.length));
  }

  #item(moment) {
    let item = this.#items.get(moment);
    if (item === undefined) {
      item = draw(moment);
      this.#items.set(moment, item);
    }
    return item;
  }
}

function note(all, matching) {
  if (all === 0) return "No changes in the last hour, or since the server was started.";
  if (matching === 0) return "No change of the last hour matches the filter.";
  return matching > MOST ? `Not shown: ${count(matching - MOST, "earlier change")} of the last hour.` : "";
}

function draw(moment) {
  const time = element("time", { datetime: new Date(moment.at * 1000).toISOString() }, timeOfDay(moment.at));
  // A record may have any word as its state, also "lost".
  const known = moment.service === null && moment.instance === null ? REGISTRY.get(moment.what) : undefined;
  const [word, about] = known ?? [clean(moment.what), null];
  const what = element("span", { class: "what" }, word);
  const subject =
    about === null
      ? element(
          "button",
          { type: "button", class: "subject", "data-record": moment.name },
          clean(moment.instance ?? moment.name),
        )
      : element("span", { class: "subject" }, about);
  const detail = moment.detail ? element("p", {}, clean(moment.detail)) : "";
  return element("li", { "data-what": moment.what }, time, what, subject, detail);
}
