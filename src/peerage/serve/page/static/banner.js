// The banner: why what is shown may be out of date, and since when.

import * as ages from "./ages.js";
import { byId, element, setAttribute } from "./dom.js";
import { clean } from "./text.js";

let shown = "";
let age = null;

/**
 * Return what is wrong, `{kind, sentence, at, rest}`; null if nothing is.
 *
 * `lost` says since when there is no connection to the server, and whether it was refused; null: there is one.
 */
export function trouble(status, lost) {
  if (lost !== null) {
    const known = status === null ? "" : "The page shows what was known then. ";
    const hint = lost.refused ? "It may have too many clients or need a token, or a proxy can't reach it. " : "";
    const verb = lost.refused ? "refuses to send changes" : "doesn't answer";
    const rest = `${hint}${known}It connects again by itself.`;
    return { kind: "disconnected", sentence: `The server of this page ${verb}.`, at: lost.at, rest };
  }
  if (status === null) return null;
  if (!status.ready) {
    const reason = status.stale ? sentence(status.stale) : "It hasn't answered yet.";
    return {
      kind: "waiting",
      sentence: `The registry ${clean(status.registry)} hasn't been read yet.`,
      at: null,
      rest: reason,
    };
  }
  if (status.stale !== null) {
    const rest = `${sentence(status.stale)} The page shows what was known then, without what has changed since.`;
    return { kind: "stale", sentence: "The registry is out of reach.", at: status.as_of, rest };
  }
  return null;
}

// A reason comes as the part of a sentence.
function sentence(reason) {
  const text = clean(reason, 400);
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

/** Show what is wrong; null hides the banner. Its age goes on by itself, and isn't read aloud each second. */
export function show(found, now) {
  const banner = byId("banner");
  const text = JSON.stringify(found);
  setAttribute(document.documentElement, "data-trouble", found?.kind ?? null);
  if (text === shown) return;
  shown = text;
  if (age !== null) ages.forget(age);
  age = null;
  if (found === null) {
    banner.replaceChildren();
    return;
  }
  const parts = [element("strong", {}, found.sentence)];
  if (found.at !== null) {
    age = element("span", { class: "age", "aria-hidden": "true" });
    ages.show(age, found.at, now);
    parts.push(
      element(
        "span",
        { class: "since" },
        `Since ${ages.since(found.at, now)}`,
        element("span", { "aria-hidden": "true" }, " · "),
        age,
      ),
    );
  }
  parts.push(element("span", { class: "rest" }, found.rest));
  banner.replaceChildren(element("p", {}, ...parts));
}
