// SPDX-License-Identifier: Apache-2.0
// Time, live memory and the report.
'use strict';

/** Runs are repeated while they have taken less than this together. */
const BUDGET = 3_000;
const RUNS = 5;

class TooLong extends Error {}

/** Stops a run that takes more than `limit` milliseconds. */
class Deadline {
  #start = performance.now();
  #limit;

  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  elapsed() {
    return performance.now() - this.#start;
  }

  /** Does `f` for each item. Throws TooLong when time is up first. */
  each(items, f) {
    // The clock is read seldom where items take little.
    let next = 0;
    let stride = 1;
    let before = this.elapsed();
    for (let i = 0; i < items.length; i++) {
      if (i === next) {
        const now = this.elapsed();
        if (now > this.#limit) throw new TooLong();
        stride = now - before < 1 ? Math.min(256, 2 * stride) : 1;
        next = i + stride;
        before = now;
      }
      f(items[i], i);
    }
  }
}

/** KiB that live on the heap as long as the result of `f` does. Null without `--expose-gc`. */
function heapKib(f) {
  if (!globalThis.gc) return null;
  const used = () => {
    for (let i = 0; i < 5; i++) globalThis.gc();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const held = [f()]; // the first leaves code and caches that stay
  const grown = [0, 1, 2].map(() => {
    const before = used();
    held.push(f());
    return used() - before;
  });
  return grown.sort((a, b) => a - b)[1] / 1024; // now and then something else goes meanwhile
}

/**
 * The median time of several runs after some to warm up (the compiler needs a few); of a single one if that takes long.
 * `run` returns the time that counts.
 */
function sample(quick, run) {
  const start = performance.now();
  const first = run();
  if (quick || performance.now() - start > BUDGET / 2) return { median: first, runs: 1 };
  while (performance.now() - start < BUDGET / 4) run();
  const times = [];
  while (times.length < RUNS && performance.now() - start < BUDGET) times.push(run());
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1], runs: times.length };
}

/**
 * An agent's id, as long as those that a library draws at random: short ones would make short updates. In the order of the
 * agents, which decides in what order some peers put what agents of friendsforever insert at one place.
 */
function idOf(agent, bits) {
  return 2 ** (bits - 1) + (agent & 0x7fffffff);
}

const selects = (filter, name) => filter.length === 0 || filter.includes(name);

/** Where the figures of one peer and one trace go. */
class Report {
  constructor(options, peer, version, trace) {
    Object.assign(this, { options, peer, version, trace });
    console.error(`${peer} ${version}: ${trace}`);
  }

  wants(...columns) {
    return columns.some((column) => selects(this.options.columns, column));
  }

  /** Prints one figure; null if it could not be had. `variant` names the format it is of, if there are some. */
  figure(column, variant, value, unit, runs) {
    if (!this.wants(column)) return;
    const rounded = value === null ? null : Math.round(value * 1000) / 1000;
    const { peer, version, trace } = this;
    const line = { peer, version, trace, column, value: rounded, unit, runs };
    if (variant !== '') line.variant = variant;
    console.log(JSON.stringify(line));
  }

  /** Measures a time and prints it, divided by `per`. Returns whether it could be had. */
  time(column, variant, unit, per, run) {
    if (!this.wants(column)) return true;
    const scale = { ms: 1, us: 1e3, ns: 1e6 }[unit];
    try {
      const { median, runs } = sample(this.options.quick, run);
      this.figure(column, variant, (median * scale) / per, unit, runs);
      return true;
    } catch (error) {
      if (!(error instanceof TooLong)) throw error;
      this.skip(`${column}: takes too long`);
      this.figure(column, variant, null, unit, 0);
      return false;
    }
  }

  skip(why) {
    console.error(`${this.peer} ${this.trace}: ${why}`);
  }
}

module.exports = { Deadline, Report, TooLong, heapKib, idOf, selects };
