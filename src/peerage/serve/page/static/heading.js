// What the window's title, its icon and the head of the page say.

import { byId, setAttribute, setText } from "./dom.js";
import { kind } from "./state.js";
import { clean, count } from "./text.js";

/** Show which registry it is, how many instances there are, and what is wrong: the banner's trouble, or null. */
export function show(cluster, trouble) {
  const is = trouble?.kind ?? (cluster.status === null ? "connecting" : "live");
  setAttribute(byId("connection"), "data-is", is);
  setText(byId("connection"), is);
  setText(byId("registry"), clean(cluster.status?.registry));
  setAttribute(byId("registry"), "title", byId("registry").textContent || null);
  const suspects = [...cluster.rows.values()].filter((row) => kind(row) === "suspect").length;
  const parts = [
    trouble?.kind,
    suspects > 0 ? `${suspects} suspect` : null,
    count(cluster.rows.size, "instance"),
  ];
  const title = [...parts, "peerage"].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
  // Seen in the row of tabs, too.
  const icon = trouble === null && suspects === 0 ? "static/icon.svg" : "static/icon-trouble.svg";
  setAttribute(byId("icon"), "href", icon);
}
