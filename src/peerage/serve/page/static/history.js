// What happened to one instance in the last hour, for the panel that shows its record.

import { timeOfDay } from "./ages.js";
import { element } from "./dom.js";
import { clean } from "./text.js";

// Entries that are shown.
const MOST = 20;

/**
 * Return the entries of the timeline about the instance of the record *name*, the latest first.
 *
 * Its other records belong to it: one that restarts gets another record. *row* is what is known of the record,
 * undefined if it is gone.
 */
export function historyOf(moments, name, row) {
  const one = row ?? moments.findLast((moment) => moment.name === name);
  const same = (moment) =>
    moment.name === name ||
    (one !== undefined &&
      one.instance !== null &&
      moment.instance === one.instance &&
      moment.service === one.service);
  return moments.filter(same).slice(-MOST).reverse();
}

/** Show entries in *list*. */
export function showHistory(list, moments) {
  const text = JSON.stringify(moments);
  if (list.dataset.moments === text) return;
  list.dataset.moments = text;
  list.replaceChildren(
    ...moments.map(({ at, what }) =>
      element(
        "li",
        {},
        element("time", { datetime: new Date(at * 1000).toISOString() }, timeOfDay(at)),
        element("span", { "data-what": what }, element("span", { class: "what" }, clean(what))),
      ),
    ),
  );
}
