// Where the table is scrolled to, as the name of the record or the service at the top.

// Milliseconds without scrolling after which the place is noted.
const PAUSE = 200;

/** Call `moved(at)` when the user has scrolled; *at* is `null` at the top of the page. */
export function listen(table, moved) {
  let waiting = 0;
  addEventListener(
    "scroll",
    () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => moved(place(table)), PAUSE);
    },
    { passive: true },
  );
}

/** Scroll to a place that listen() told. */
export function to(table, at) {
  const [kind, name] = [at.slice(0, 1), at.slice(1)];
  const attribute = kind === "." ? "data-service" : "data-name";
  table.querySelector(`tr[${attribute}="${CSS.escape(name)}"]`)?.scrollIntoView({ block: "start" });
}

function place(table) {
  if (scrollY < 1) return null;
  // Below the headings of the table and of the service, which stay at the top.
  const top = table.tHead.getBoundingClientRect().bottom + 40;
  const found = document.elementFromPoint(table.getBoundingClientRect().left + 40, top)?.closest("tr");
  if (found?.dataset.name !== undefined) return `=${found.dataset.name}`;
  return found?.dataset.service === undefined ? null : `.${found.dataset.service}`;
}
