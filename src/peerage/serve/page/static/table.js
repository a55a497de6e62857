// The table: services and their records, patched where something changed.

import { Group, positionIn } from "./group.js";
import { Line } from "./line.js";
import { compare } from "./text.js";

export class Table {
  #groups = [];
  #byService = new Map();
  #lines = new Map();
  #groupOf = new Map();
  #dirty = new Set();

  /** `wanted(row, group)` tells whether a row is shown, `unfolded(service)` whether its lines are. */
  constructor(table, wanted, unfolded) {
    this.table = table;
    this.wanted = wanted;
    this.unfolded = unfolded;
  }

  /** The services as they are shown. */
  get groups() {
    return this.#groups;
  }

  /** Return the line of a record; undefined if there is none. */
  line(name) {
    return this.#lines.get(name);
  }

  /** Show what is known of the record *name* now: a row, or undefined if it is gone. */
  update(name, row, now) {
    const line = this.#lines.get(name) ?? new Line(name);
    const group = this.#groupOf.get(name);
    if (row === undefined || (group !== undefined && group.service !== row.service))
      this.#remove(line, group);
    if (row === undefined) return;
    const key = line.key;
    line.show(row, now);
    const target = this.#groupFor(row.service);
    if (!this.#lines.has(name) || key !== line.key) target.place(line);
    this.#lines.set(name, line);
    this.#groupOf.set(name, target);
    this.#dirty.add(target);
  }

  /** Bring the headings up to date, and which lines are shown; *all* of them, or those of services that changed. */
  refresh(all = false) {
    for (const group of all ? this.#groups : this.#dirty) {
      if (group.lines.length > 0) group.refresh(this.wanted, this.unfolded(group.service));
      else this.#drop(group);
    }
    this.#dirty.clear();
  }

  #remove(line, group) {
    if (group === undefined) return;
    group.drop(line);
    line.remove();
    this.#lines.delete(line.name);
    this.#groupOf.delete(line.name);
    this.#dirty.add(group);
  }

  #groupFor(service) {
    let group = this.#byService.get(service);
    if (group === undefined) {
      group = new Group(service);
      const index = positionIn(this.#groups, (each) => compareServices(each.service, service));
      this.table.insertBefore(group.body, this.#groups[index]?.body ?? null);
      this.#groups.splice(index, 0, group);
      this.#byService.set(service, group);
    }
    return group;
  }

  #drop(group) {
    group.body.remove();
    this.#groups.splice(this.#groups.indexOf(group), 1);
    this.#byService.delete(group.service);
  }
}

// Records without a service id, among them the unreadable ones, come last.
function compareServices(one, other) {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  return compare(one, other);
}
