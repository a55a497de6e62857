// The page: puts together what the server says, what the user has chosen, and what is shown.

import * as ages from "./ages.js";
import * as banner from "./banner.js";
import { announce } from "./announce.js";
import { byId, setAttribute, setText } from "./dom.js";
import { matches, matchesMoment, parse } from "./filter.js";
import * as heading from "./heading.js";
import { listen, Roving } from "./keys.js";
import { Panel } from "./record.js";
import * as scroll from "./scroll.js";
import { Cluster } from "./state.js";
import { follow } from "./stream.js";
import { showStrip } from "./strip.js";
import { isOf, Summary } from "./summary.js";
import { Table } from "./table.js";
import { clean } from "./text.js";
import { startTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import * as url from "./url.js";

// Milliseconds of drawing after which the browser gets to show it and to take input.
const SLICE = 16;
// The same until everything is there for the first time: the less often it is laid out, the sooner it is.
const FIRST_SLICE = 40;

const cluster = new Cluster();
const filter = byId("filter");
const wide = matchMedia("(min-width: 1100px)");
let choice = url.read();
let terms = [];
let everything = false;
/** Whether rows changed since what is made of all of them was drawn. */
let rowsChanged = false;
let scheduled = false;
/** `{at, refused}`: since when there is no connection to the server, and why; null while there is one. */
let lost = null;

const table = new Table(
  byId("table"),
  (row, group) => isOf(choice.kinds, row, group) && matches(terms, row),
  (service) => choice.folded === choice.except.has(service ?? ""),
);
const roving = new Roving(byId("table"));
const summary = new Summary(byId("kinds"));
const timeline = new Timeline(byId("moments"), byId("timeline-note"));
const panel = new Panel(() => {
  selectLine(null);
  choose({ record: null });
});

// Drawing. Everything that arrives until the next frame is drawn together.

function schedule() {
  if (scheduled) return;
  scheduled = true;
  // There are no frames while the page isn't visible, and its title and icon are.
  if (document.hidden) setTimeout(draw);
  else requestAnimationFrame(draw);
}

document.addEventListener("visibilitychange", () => {
  if (scheduled && document.hidden) setTimeout(draw);
});

function draw() {
  if (!scheduled) return;
  scheduled = false;
  const now = cluster.now();
  const ends = performance.now() + (restored ? SLICE : FIRST_SLICE);
  rowsChanged ||= everything || cluster.changed.size > 0;
  for (const name of cluster.changed) {
    if (performance.now() > ends) break;
    cluster.changed.delete(name);
    const row = cluster.rows.get(name);
    table.update(name, row, now);
    if (cluster.fresh.delete(name)) table.line(name)?.flash();
    if (name === panel.name) {
      panel.update(row, now);
      selectLine(name);
    }
  }
  table.refresh(everything);
  everything = false;
  if (cluster.changed.size > 0) schedule();
  else drawRest(now);
}

/** Draw what is made of all rows, once they are drawn. */
function drawRest(now) {
  if (rowsChanged || cluster.statusChanged) drawSummary();
  if (cluster.timelineChanged || rowsChanged) {
    showStrip(byId("strip"), cluster.timeline, now);
    timeline.show(cluster.timeline, (moment) => matchesMoment(terms, moment, cluster.rows.get(moment.name)));
    if (panel.name !== null) panel.showHistory(cluster.rows.get(panel.name), cluster.timeline);
    cluster.timelineChanged = false;
  }
  if (cluster.statusChanged || rowsChanged) drawStatus(now);
  rowsChanged = false;
  roving.refresh();
  if (cluster.status !== null) restore();
}

function drawAll() {
  everything = true;
  schedule();
}

function drawSummary() {
  summary.show(table.groups, (row) => matches(terms, row), choice.kinds);
  const shown = table.groups.some((group) => !group.body.hidden);
  byId("nothing").hidden = shown;
  byId("table").hidden = !shown;
  byId("nothing-clear").hidden = cluster.rows.size === 0;
  if (cluster.rows.size > 0) setText(byId("nothing-text"), "No instance matches the filter.");
  else setText(byId("nothing-text"), emptyText());
}

function emptyText() {
  const { status } = cluster;
  if (status === null) return "Waiting for the server…";
  if (!status.ready) return "Waiting for the registry…";
  const registry = clean(status.registry);
  return `No instance is advertised in ${registry}. Start a service that advertises itself, or try ‘peerage demo --page’.`;
}

function drawStatus(now) {
  cluster.statusChanged = false;
  const found = banner.trouble(cluster.status, lost);
  banner.show(found, now);
  heading.show(cluster, found);
}

// What the user does

function choose(changes, redraw = false) {
  choice = { ...choice, ...changes };
  url.write(() => choice);
  if (redraw) drawAll();
}

function setFilter(text) {
  terms = parse(text);
  choose({ filter: text }, true);
}

function openRecord(name, stay = false) {
  panel.open(name, cluster.rows.get(name), cluster.timeline, cluster.now(), stay);
  selectLine(name);
  choose({ record: name });
}

let selected = null;

/** Mark the line of a record as the one that is shown whole; null: none is. */
function selectLine(name) {
  if (selected !== null) table.line(selected)?.select(false);
  selected = name;
  if (name !== null) table.line(name)?.select(true);
}

function toggle(set, item) {
  const changed = new Set(set);
  if (!changed.delete(item)) changed.add(item);
  return changed;
}

function showFolded() {
  setAttribute(byId("fold"), "aria-pressed", String(choice.folded));
  // Without a line there is nothing that needs the headings of the columns.
  setAttribute(byId("table"), "data-folded", choice.folded && choice.except.size === 0 ? "all" : null);
}

function showTimeline() {
  const shown = choice.timeline === null ? wide.matches : choice.timeline === "shown";
  byId("timeline").hidden = !shown;
  setAttribute(byId("timeline-toggle"), "aria-expanded", String(shown));
}

function clear() {
  filter.value = "";
  terms = [];
  choose({ filter: "", kinds: new Set() }, true);
}

filter.addEventListener("input", () => setFilter(filter.value));

byId("nothing-clear").addEventListener("click", () => {
  clear();
  filter.focus();
});

byId("kinds").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button !== null) choose({ kinds: toggle(choice.kinds, button.dataset.filter) }, true);
});

byId("fold").addEventListener("click", () => {
  choose({ folded: !choice.folded, except: new Set() }, true);
  showFolded();
});

byId("timeline-toggle").addEventListener("click", () => {
  choose({ timeline: byId("timeline").hidden ? "shown" : "hidden" });
  showTimeline();
});

byId("table").addEventListener("click", (event) => {
  const tr = event.target.closest("tr");
  if (tr === null || String(getSelection()) !== "") return;
  if (tr.dataset.service !== undefined) {
    choose({ except: toggle(choice.except, tr.dataset.service) }, true);
    showFolded();
  } else if (tr.dataset.name !== undefined) openRecord(tr.dataset.name);
});

// While a record is shown, the arrow keys show the next one.
byId("table").addEventListener("focusin", (event) => {
  const name = event.target.closest("tr")?.dataset.name;
  if (panel.name !== null && name !== undefined && event.target.matches(":focus-visible"))
    openRecord(name, true);
});

byId("moments").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button !== null) openRecord(button.dataset.record);
});

wide.addEventListener("change", showTimeline);
listen(filter, () => {
  if (panel.name !== null) panel.close();
  else if (document.activeElement === filter && filter.value === "") filter.blur();
  else clear();
});
scroll.listen(byId("table"), (at) => choose({ at }));

// The address

let restored = false;

/** Scroll to where the address says, and open its record, once everything is there. */
function restore() {
  if (restored) return;
  restored = true;
  if (choice.at !== null) scroll.to(byId("table"), choice.at);
  if (choice.record !== null) openRecord(choice.record);
}

function take() {
  choice = url.read();
  filter.value = choice.filter;
  terms = parse(choice.filter);
  showFolded();
  showTimeline();
}

addEventListener("hashchange", () => {
  take();
  if (choice.record === null) panel.close();
  restored = false;
  drawAll();
});

// Begin

const RECEIVERS = {
  reset: (data) => cluster.reset(data),
  put: (row) => cluster.put(row),
  gone: (row) => cluster.gone(row),
  status: (status) => cluster.setStatus(status),
  timeline: (moment) => {
    cluster.happened(moment);
    announce(moment, cluster.now());
  },
};

take();
startTheme(byId("theme"));
follow(
  (kind, data) => {
    RECEIVERS[kind](data);
    schedule();
  },
  (connected, refused) => {
    lost = connected ? null : { at: lost?.at ?? cluster.now(), refused };
    cluster.statusChanged = true;
    schedule();
  },
);
setInterval(() => {
  cluster.forgetOld();
  ages.tick(cluster.now());
  // The strip moves on with the minutes.
  if (cluster.timelineChanged || Math.floor(cluster.now()) % 60 === 0) {
    cluster.timelineChanged = true;
    schedule();
  }
}, 1000);
