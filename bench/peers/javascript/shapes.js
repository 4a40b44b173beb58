// SPDX-License-Identifier: Apache-2.0
// Edits that are made up: the text shapes of github.com/dmonad/crdt-benchmarks (B1 to B3), random inserts into a long
// document, and two writers who prepend.
'use strict';

const assert = require('node:assert');

const { Deadline } = require('./measure.js');
const { Random } = require('./traces.js');

const N = 6000;
/** One run that takes longer, in ms, is given up. */
const LIMIT = 60_000;
const times = (n, f) => Array.from({ length: n }, (_, i) => f(i));
const size = (updates) => updates.reduce((sum, update) => sum + update.length, 0);

function checkSame(a, b) {
  assert(a.content() === b.content(), 'replicas differ');
}

/** Inserts what `text` makes at N random places of a document with `length` characters. */
function inserts(random, length, text) {
  return times(N, () => {
    const patch = [random.below(length + 1), 0, text()];
    length += patch[2].length;
    return patch;
  });
}

/** Inserts words and deletes up to nine characters, by turns of a coin. */
function insertsAndDeletes(random, length) {
  return times(N, () => {
    const pos = random.below(length + 1);
    if (pos === length || random.below(2) === 0) {
      const word = random.word();
      length += word.length;
      return [pos, 0, word];
    }
    const deleted = Math.min(1 + random.below(9), length - pos);
    length -= deleted;
    return [pos, deleted, ''];
  });
}

const B1 = {
  'b1.1': (random) => times(N, (i) => [i, 0, random.text(1)]),
  'b1.2': (random) => [[0, 0, random.text(N)]],
  'b1.3': (random) => times(N, () => [0, 0, random.text(1)]),
  'b1.4': (random) => inserts(random, 0, () => random.text(1)),
  'b1.5': (random) => inserts(random, 0, () => random.word()),
  'b1.6': (random) => [[0, 0, random.text(N)], [0, N, '']],
  'b1.7': (random) => insertsAndDeletes(random, 0),
};

/** One writer, whose updates another applies one by one. */
function b1(Peer, report, patchesOf) {
  const edits = patchesOf(new Random()).map((patch) => [patch]);
  let bytes = 0;
  let saved = 0;
  const done = report.time('time', '', 'ms', 1, () => {
    const writer = new Peer(0);
    const reader = new Peer(1);
    const updates = [];
    const clock = new Deadline(LIMIT);
    clock.each(edits, (edit) => updates.push(writer.edit(edit)));
    clock.each(updates, (update) => reader.apply(update));
    const time = clock.elapsed();
    checkSame(writer, reader);
    bytes = size(updates);
    saved = writer.save(Peer.formats[0]).length;
    return time;
  });
  if (!done || bytes === 0) return;
  report.figure('bytes_per_update', '', bytes / edits.length, 'bytes', 1);
  report.figure('bytes', Peer.formats[0], saved, 'bytes', 1);
}

const START = 100;
const B2 = {
  'b2.1': (random) => [[0, 0, random.text(N)]],
  'b2.2': (random) => inserts(random, START, () => random.text(1)),
  'b2.3': (random) => inserts(random, START, () => random.word()),
  'b2.4': (random) => insertsAndDeletes(random, START),
};

/** Two writers of a document with 100 characters edit it side by side, a transaction each, and exchange the updates. */
function b2(Peer, report, patchesOf) {
  const random = new Random();
  const start = [[0, 0, random.text(START)]];
  const left = patchesOf(random);
  const right = patchesOf(random);
  let bytes = 0;
  report.time('time', '', 'ms', 1, () => {
    const a = new Peer(0);
    const b = new Peer(1);
    b.apply(a.edit(start));
    const clock = new Deadline(LIMIT);
    const fromA = a.edit(left);
    const fromB = b.edit(right);
    a.apply(fromB);
    b.apply(fromA);
    const time = clock.elapsed();
    checkSame(a, b);
    bytes = size([fromA, fromB]);
    return time;
  });
  if (bytes > 0) report.figure('bytes_of_updates', '', bytes, 'bytes', 1);
}

/** 20 * sqrt(N) writers insert a number at the start of an empty document, and one of them gets all updates. */
function b3(Peer, report) {
  let bytes = 0;
  report.time('time', '', 'ms', 1, () => {
    const replicas = times(Math.floor(20 * Math.sqrt(N)), (i) => new Peer(i));
    const updates = replicas.map((replica, i) => replica.edit([[0, 0, String(i)]]));
    const first = replicas[0];
    const last = replicas[replicas.length - 1];
    bytes = size(updates);
    const clock = new Deadline(LIMIT);
    clock.each(updates.slice(1), (update) => first.apply(update));
    const time = clock.elapsed();
    last.applyAll(updates.slice(0, -1).reverse());
    checkSame(first, last);
    return time;
  });
  if (bytes > 0) report.figure('bytes_of_updates', '', bytes, 'bytes', 1);
}

/** Inserts that come before those that are measured. */
const RANDOM_INSERT = { 'random-insert': 0, 'random-insert-in-pieces': 1_000_000 };

/**
 * Single characters at random places of a document of ten millions, which is one insertion or already in pieces. Returns
 * whether the time could be had.
 */
function randomInsert(Peer, report, before) {
  const LENGTH = 10_000_000;
  const INSERTS = 100_000;
  const IN_ONE_TRANSACTION = 1000;
  if (!report.wants('time')) return true;
  const random = new Random();
  const transactions = times((before + INSERTS) / IN_ONE_TRANSACTION, (t) =>
    times(IN_ONE_TRANSACTION, (i) => [random.below(LENGTH + t * IN_ONE_TRANSACTION + i + 1), 0, 'x']));
  const start = [[0, 0, 'a'.repeat(LENGTH)]];
  return report.time('time', '', 'ns', INSERTS, () => {
    const clock = new Deadline(LIMIT);
    const replica = new Peer(0);
    replica.replay(start);
    clock.each(transactions.slice(0, before / IN_ONE_TRANSACTION), (patches) => replica.replay(patches));
    const prepared = clock.elapsed();
    clock.each(transactions.slice(before / IN_ONE_TRANSACTION), (patches) => replica.replay(patches));
    return clock.elapsed() - prepared;
  });
}

const PREPEND = { 'prepend-2000': 2000, 'prepend-20000': 20_000 };

/**
 * Two writers who know nothing of each other prepend single characters, and then exchange their updates: one by one, and
 * all at once. Returns whether the first time could be had.
 */
function prepend(Peer, report, n) {
  const edits = times(n, () => [[0, 0, 'x']]);
  const run = (atOnce) => {
    const a = new Peer(0);
    const b = new Peer(1);
    const fromA = [];
    const fromB = [];
    const clock = new Deadline(LIMIT);
    clock.each(edits, (edit) => {
      fromA.push(a.edit(edit));
      fromB.push(b.edit(edit));
    });
    if (atOnce) {
      a.applyAll(fromB);
      b.applyAll(fromA);
    } else {
      clock.each(fromA, (forB, i) => {
        a.apply(fromB[i]);
        b.apply(forB);
      });
    }
    const time = clock.elapsed();
    checkSame(a, b);
    return time;
  };
  return (
    report.time('time_batch', '', 'us', 2 * n, () => run(true)) && report.time('time', '', 'us', 2 * n, () => run(false))
  );
}

/** Each kind and its shapes by name. A shape is left out when the one before, which is smaller, took too long. */
const shapes = [[b1, B1], [b2, B2], [b3, { b3: null }], [prepend, PREPEND], [randomInsert, RANDOM_INSERT]];

module.exports = { shapes };
