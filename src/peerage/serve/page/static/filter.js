// Which rows are shown: terms that must all match, each a text or key=value; and kinds of which one must match.

import { clean, fold, plain } from "./text.js";
import { messages } from "./attention.js";
import { kind } from "./state.js";

// A term: perhaps a minus sign, perhaps key=, then a word or a quoted text.
const TERM = /(-?)(?:([^\s"=]+)=)?("[^"]*"?|\S+)/g;

/** Names under which a field of a row can be asked for, besides the keys of its custom ids. */
const FIELDS = new Map([
  ...["service", "instance", "node", "site"].map((field) => [`${field}_id`, field]),
  ...["name", "state", "service", "instance", "node", "site", "host", "appclass", "version"].map((field) => [
    field,
    field,
  ]),
]);

/** Return the terms that a text spells: `orders -ready node_id=n1 version=4.*`. */
export function parse(text) {
  return [...text.matchAll(TERM)].map(([, minus, key, word]) => ({
    wanted: minus === "",
    key: key === undefined ? null : fold(key),
    value: fold(word.replaceAll('"', "")),
  }));
}

/** Tell whether a row matches all terms. */
export function matches(terms, row) {
  return terms.every((term) => matchesTerm(term, row));
}

/** Tell whether an entry of the timeline matches all terms; *row* is the row of its record, if there is one. */
export function matchesMoment(terms, moment, row) {
  return terms.every((term) => {
    if (term.key !== null) return matchesTerm(term, row ?? { ...moment, ids: {} });
    return cached(moment, momentTexts).includes(term.value) === term.wanted;
  });
}

function matchesTerm({ wanted, key, value }, row) {
  const found =
    key === null
      ? cached(row, rowTexts).includes(value)
      : valuesOf(row, key).some((each) => same(each, value));
  return found === wanted;
}

// key=value means the whole value, as in `peerage ls`; an asterisk at the end stands for the rest.
function same(found, value) {
  return value.endsWith("*") ? found.startsWith(value.slice(0, -1)) : found === value;
}

function valuesOf(row, key) {
  if (key === "state" && "state" in row) return [fold(row.state), fold(kind(row))];
  const field = FIELDS.get(key);
  const values = field === undefined ? customIds(row, key) : [row[field]];
  return values.map((each) => fold(clean(each)));
}

function customIds(row, key) {
  return Object.entries(row.ids).flatMap(([each, values]) => (fold(each) === key ? values : []));
}

// The shown texts of each row and entry, folded. One that has changed is another object.
const texts = new WeakMap();

function cached(item, textsOf) {
  let text = texts.get(item);
  if (text === undefined) {
    text = fold(
      textsOf(item)
        .map((value) => clean(value))
        .join("\n"),
    );
    texts.set(item, text);
  }
  return text;
}

function rowTexts(row) {
  const { service, instance, name, node, site, host, appclass, version, state } = row;
  const ids = Object.entries(row.ids).flatMap(([key, values]) =>
    values.map((value) => `${key}=${plain(value)}`),
  );
  const marks = [row.superseded ? "superseded" : "", row.unconfirmed ? "unconfirmed" : ""];
  const fields = [service, instance, name, node, site, host, appclass, version, state];
  return [...fields, ...marks, ...row.urls, ...ids, ...row.problems, ...messages(row)];
}

function momentTexts({ what, service, instance, name, detail }) {
  return [what, service, instance, name, detail];
}
