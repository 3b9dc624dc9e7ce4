// Replays the records of a log with one policy. In Node and in browsers.

import { ask, differences, recorded } from "./record.mjs";

// What became of each record, as a list of counts and every difference: `{ records, identical, different,
// skipped, changes }`.
export class Tally {
  records = 0;
  identical = 0;
  different = 0;
  skipped = { "without input": 0, "no policy was asked": 0, "another policy": 0, marked: 0 };
  changes = [];

  // Replays one record with an instance from `component` that has these settings. `isOurs` says which of the
  // policies that were asked is this one.
  async replay(record, component, settings, isOurs) {
    this.records += 1;
    const then = this.#answered(record, isOurs);
    if (!then) return;
    const decide = await component.configured(settings);
    const now = ask(decide, record.input, then.addresses !== undefined);
    const found = differences(recorded(then), now);
    this.#count(record, found);
  }

  #answered({ input, replay }, isOurs) {
    if (!input) return this.#skip("without input");
    if (replay) return this.#skip("marked");
    if (input.answered.length === 0) return this.#skip("no policy was asked");
    return input.answered.find(({ policy }) => isOurs(policy)) ?? this.#skip("another policy");
  }

  #skip(why) {
    this.skipped[why] += 1;
  }

  #count({ id, target }, found) {
    if (found.length === 0) {
      this.identical += 1;
      return;
    }
    this.different += 1;
    if (this.changes.length < MAX_CHANGES) this.changes.push({ id, target, differences: found });
  }
}

// The records that are shown; all are counted.
const MAX_CHANGES = 1000;
