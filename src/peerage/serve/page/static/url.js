// What the user has chosen, in the fragment of the page's address, so that a link shows the same.

// Milliseconds without a change after which the address is written; browsers limit how often it may be.
const PAUSE = 250;

/** Return the choice that the address spells. */
export function read() {
  const found = new URLSearchParams(location.hash.slice(1));
  return {
    filter: found.get("filter") ?? "",
    kinds: new Set(found.getAll("state")),
    record: found.get("record"),
    folded: found.get("folded") === "all",
    except: new Set(found.getAll("except")),
    timeline: found.get("timeline"),
    at: found.get("at"),
  };
}

let waiting = 0;

/** Write the choice into the address soon; `choice()` is asked then. */
export function write(choice) {
  clearTimeout(waiting);
  waiting = setTimeout(() => history.replaceState(null, "", address(choice())), PAUSE);
}

function address({ filter, kinds, record, folded, except, timeline, at }) {
  const text = new URLSearchParams();
  if (filter) text.set("filter", filter);
  for (const kind of kinds) text.append("state", kind);
  if (record !== null) text.set("record", record);
  if (folded) text.set("folded", "all");
  for (const service of except) text.append("except", service);
  if (timeline !== null) text.set("timeline", timeline);
  if (at !== null) text.set("at", at);
  return `#${text}`;
}
