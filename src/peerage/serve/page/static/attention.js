// What a service says that needs attention. ASAB's form is {id: {message: …, …}, …}; a record may have any other.

import { clean } from "./text.js";

/** Return the messages of a row, each one line. */
export function messages(row) {
  const value = row.attention_required;
  if (value === null || value === undefined || value === false || value === "") return [];
  if (typeof value !== "object") return [clean(value)];
  return Object.values(value).map((each) => clean(typeof each?.message === "string" ? each.message : each));
}
