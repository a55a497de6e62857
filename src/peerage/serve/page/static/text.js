// Texts of records, made fit to be shown. A record may contain anything: marks that reverse the reading order,
// characters that can't be seen, an id of 60 kB.

// What isn't printable, as Python's str.isprintable() decides, so that `peerage ls` spells out the same.
const UNPRINTABLE = /[\p{C}\p{Z}]/gu;

// Characters that are shown of one text.
const LONGEST = 300;

/** Return the value of a field as one line of text: cut, and with what can't be seen spelled out. */
export function clean(value, limit = LONGEST) {
  const text = plain(value);
  const cut = text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  return cut.replace(UNPRINTABLE, spell);
}

/** Return the JSON of a value on several lines, what can't be seen spelled out as JSON does. */
export function json(value) {
  return JSON.stringify(value, null, 2).replace(UNPRINTABLE, (found) =>
    found === " " || found === "\n"
      ? found
      : Array.from(
          { length: found.length },
          (_, index) => `\\u${found.charCodeAt(index).toString(16).padStart(4, "0")}`,
        ).join(""),
  );
}

/** Return the value of a field as text; a field may have any type. */
export function plain(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Return *text* folded, so that the case doesn't count in a comparison. */
export function fold(text) {
  return text.normalize("NFC").toLowerCase();
}

// `orders-10` comes after `orders-9`.
const collator = new Intl.Collator("en", { numeric: true });

/** Compare two texts as people sort them; texts that look the same are told apart. */
export function compare(one, other) {
  return collator.compare(one, other) || (one < other ? -1 : Number(one > other));
}

/** Return `1 instance` or `2 instances`. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

const NAMED = new Map([
  ["\t", "\\t"],
  ["\n", "\\n"],
  ["\r", "\\r"],
]);

// Python spells them likewise: \n, \x1b, \u202e, \U000e0001.
function spell(character) {
  if (character === " ") return character;
  if (NAMED.has(character)) return NAMED.get(character);
  const code = character.codePointAt(0).toString(16);
  if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
  return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
}
