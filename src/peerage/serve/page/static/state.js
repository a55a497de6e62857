// What the server said: the rows, the status of the registry, and the timeline. Nothing here touches the page.

// Seconds for which an entry of the timeline is kept, as the server keeps it.
const KEPT = 3600;

// Milliseconds after everything was sent within which changes may be old: what was sent may be a few changes
// behind, and they follow at once.
const CATCHING_UP = 1000;

export class Cluster {
  /** The rows by the names of their records, as the API gives them. */
  rows = new Map();
  /** What happened in the last hour, the latest last. */
  timeline = [];
  /** How the registry is; null until the server told it. */
  status = null;
  /** Names of the records that changed since the page was last drawn. */
  changed = new Set();
  /** Names of those among them that joined or whose state changed, for the page to point out. */
  fresh = new Set();
  /** Whether the status or the timeline changed since the page was last drawn. */
  statusChanged = false;
  timelineChanged = false;

  #resetAt = 0;
  // Seconds by which the server's clock is ahead of the browser's.
  #ahead = 0;

  /** Return the server's time, in seconds since the epoch. */
  now() {
    return Date.now() / 1000 + this.#ahead;
  }

  /** Take everything anew: what isn't among it is gone. */
  reset({ status, rows, timeline }) {
    for (const name of this.rows.keys()) this.changed.add(name);
    this.rows = new Map(rows.map((row) => [row.name, row]));
    for (const name of this.rows.keys()) this.changed.add(name);
    this.fresh.clear();
    this.#resetAt = performance.now();
    this.timeline = timeline;
    this.timelineChanged = true;
    this.setStatus(status);
  }

  put(row) {
    const before = this.rows.get(row.name);
    this.rows.set(row.name, row);
    this.changed.add(row.name);
    const different = before === undefined || kind(before) !== kind(row);
    if (different && performance.now() - this.#resetAt > CATCHING_UP) this.fresh.add(row.name);
  }

  gone({ name }) {
    this.rows.delete(name);
    this.changed.add(name);
  }

  happened(moment) {
    this.timeline.push(moment);
    this.forgetOld();
    this.timelineChanged = true;
  }

  setStatus(status) {
    this.status = status;
    this.#ahead = status.now - Date.now() / 1000;
    this.statusChanged = true;
  }

  /** Drop the entries of the timeline that are older than an hour. */
  forgetOld() {
    const oldest = this.now() - KEPT;
    const first = this.timeline.findIndex((moment) => moment.at >= oldest);
    const old = first < 0 ? this.timeline.length : first;
    if (old > 0) {
      this.timeline.splice(0, old);
      this.timelineChanged = true;
    }
  }
}

/** Return the kind of a row, of which each has one: its state, or `superseded`. */
export function kind(row) {
  return row.superseded ? "superseded" : row.state;
}
