// The last hour at a glance: a bar for each minute, as high as there were changes.

import { timeOfDay } from "./ages.js";
import { setAttribute } from "./dom.js";
import { count } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const MINUTES = 60;
const HEIGHT = 40;

// What failed is at the bottom of a bar, where it is seen best.
const KINDS = ["failed", "left", "came"];
const KIND_OF = new Map([
  ["vanished", "failed"],
  ["suspect", "failed"],
  ["lost", "failed"],
  ["left", "left"],
  ["draining", "left"],
]);

/** Show the moments of the last hour as bars. */
export function showStrip(target, moments, now) {
  const last = Math.floor(now / 60);
  const minutes = Array.from({ length: MINUTES }, () => ({ failed: 0, left: 0, came: 0 }));
  for (const { at, what } of moments) {
    const index = MINUTES - 1 - (last - Math.floor(at / 60));
    if (index >= 0 && index < MINUTES) minutes[index][KIND_OF.get(what) ?? "came"] += 1;
  }
  const sums = minutes.map((minute) => minute.failed + minute.left + minute.came);
  const most = Math.max(...sums);
  setAttribute(target, "aria-label", label(most, last - (MINUTES - 1 - sums.indexOf(most))));
  const text = JSON.stringify(minutes);
  if (target.dataset.minutes === text) return;
  target.dataset.minutes = text;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${MINUTES * 4} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.append(...minutes.flatMap((minute, index) => bar(minute, index, sums[index], most)));
  target.replaceChildren(svg);
}

function bar(minute, index, sum, most) {
  if (sum === 0) return [rectangle(index, HEIGHT - 1.5, 1.5, "nothing")];
  // The root keeps single changes visible beside a thousand.
  const height = Math.max(5, HEIGHT * Math.sqrt(sum / Math.max(most, 10)));
  let bottom = HEIGHT;
  return KINDS.filter((kind) => minute[kind] > 0).map((kind) => {
    const part = (height * minute[kind]) / sum;
    bottom -= part;
    return rectangle(index, bottom, part, kind);
  });
}

function rectangle(index, top, height, kind) {
  const made = document.createElementNS(SVG, "rect");
  const attributes = { x: index * 4 + 0.5, y: top, width: 3, height, "data-of": kind };
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function label(most, minute) {
  if (most === 0) return "No changes in the last hour.";
  return `Changes in each minute of the last hour; most, ${count(most, "change")}, at ${timeOfDay(minute * 60).slice(0, 5)}.`;
}
