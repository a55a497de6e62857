// Ages that go on without a redraw: once a second, those whose text changes are written anew.

import { setText } from "./dom.js";

// ISO 8601 as records have it; without a zone it is UTC, as `peerage ls` reads it.
const TIME = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?$/;

const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
];

/** Return the seconds since the epoch that a launch time means; null if it isn't a time. */
export function seconds(launchTime) {
  const found = typeof launchTime === "string" ? TIME.exec(launchTime) : null;
  if (found === null) return null;
  const full = launchTime.length <= 10 ? `${launchTime}T00:00` : launchTime.replace(" ", "T");
  const time = Date.parse(found[1] === undefined ? `${full}Z` : full);
  return Number.isNaN(time) ? null : time / 1000;
}

/** Return how long *passed* seconds are: `3 h`; the same words as `peerage ls` writes. */
export function duration(passed) {
  // The clocks of two machines differ, so a time in the future counts as now.
  const whole = Math.max(0, Math.floor(passed));
  for (const [length, unit] of UNITS) {
    if (whole >= 2 * length) return `${Math.floor(whole / length)} ${unit}`;
  }
  return `${whole} s`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const month = new Intl.DateTimeFormat("en", { month: "short" });

/** Return a time of today: `21:03:12`. */
export function timeOfDay(at) {
  return clock.format(at * 1000);
}

/** Return a date and time with its zone. */
export function dateAndTime(at) {
  return moment.format(at * 1000);
}

/** Return since when: the time if it was less than a day ago, else the date. */
export function since(at, now) {
  return now - at < 86_400
    ? timeOfDay(at).slice(0, 5)
    : `${new Date(at * 1000).getDate()} ${month.format(at * 1000)}`;
}

const ticking = new Map();

/** Show in *target* how long ago *at* was, from now on; null shows nothing. */
export function show(target, at, now) {
  if (at === null) {
    forget(target);
    setText(target, "");
    return;
  }
  ticking.set(target, at);
  setText(target, duration(now - at));
}

/** Stop showing an age in *target*. */
export function forget(target) {
  ticking.delete(target);
}

/** Write the ages that have changed. */
export function tick(now) {
  for (const [target, at] of ticking) setText(target, duration(now - at));
}
