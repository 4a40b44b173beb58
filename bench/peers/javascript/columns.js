// SPDX-License-Identifier: Apache-2.0
// The columns that are measured on editing traces.
'use strict';

const assert = require('node:assert');

const { Deadline, TooLong, heapKib } = require('./measure.js');
const { makeConcurrently } = require('./traces.js');

const WRITER = 0;
const READER = 0xfffffffe; // not an agent of a trace
/** One run that takes longer, in ms, is given up. */
const LIMIT = 60_000;
/** The same for the history of several writers, which is made once. */
const HISTORY_LIMIT = 180_000;
const REMOTE = ['remote', 'remote_batch', 'heap_remote'];
const WHOLE = ['merge', 'heap_merge', 'save', 'bytes', 'open'];

function check(replica, text) {
  assert(replica.content() === text, 'another text');
}

/** One writer's trace. */
function sequential(Peer, report, patches, end) {
  const replayed = () => {
    const replica = new Peer(WRITER);
    replica.replay(patches);
    return replica;
  };
  report.time('local', '', 'ms', 1, () => {
    const clock = new Deadline();
    const replica = replayed();
    const time = clock.elapsed();
    check(replica, end);
    return time;
  });
  if (report.wants('heap_local')) report.figure('heap_local', '', heapKib(replayed), 'KiB', 1);
  const keystrokes = ['local_delta', 'bytes_per_keystroke', ...REMOTE];
  if (!report.wants(...keystrokes, ...WHOLE)) return;

  // A document with the history of one edit for each patch, and its updates.
  const edits = patches.map((patch) => [patch]);
  const updates = [];
  const writer = new Peer(WRITER);
  try {
    new Deadline(LIMIT).each(edits, (edit) => updates.push(writer.edit(edit)));
  } catch (error) {
    if (!(error instanceof TooLong)) throw error;
    report.skip('an edit for each keystroke takes too long, nothing else is measured');
    for (const column of keystrokes) report.figure(column, '', null, '', 0);
    return;
  }
  check(writer, end);
  const bytes = updates.reduce((sum, update) => sum + update.length, 0);
  report.figure('bytes_per_keystroke', '', bytes / patches.length, 'bytes', 1);

  report.time('local_delta', '', 'ms', 1, () => {
    const sent = [];
    const replica = new Peer(WRITER);
    const clock = new Deadline(LIMIT);
    clock.each(edits, (edit) => sent.push(replica.edit(edit)));
    const time = clock.elapsed();
    check(replica, end);
    return time;
  });

  remote(Peer, report, updates, end);
  whole(Peer, report, writer, end);
}

/** A trace of several writers. */
function concurrent(Peer, report, txns, end) {
  if (!report.wants(...REMOTE, ...WHOLE)) return;
  let updates;
  try {
    updates = makeConcurrently(Peer, txns, HISTORY_LIMIT);
  } catch (error) {
    if (!(error instanceof TooLong)) throw error;
    report.skip('takes too long to make the history');
    return;
  }
  const all = new Peer(READER);
  all.applyAll(updates);
  check(all, end);
  remote(Peer, report, updates, end);
  whole(Peer, report, all, end);
}

/** Updates that an empty replica gets. */
function remote(Peer, report, updates, end) {
  const inTime = report.time('remote', '', 'ms', 1, () => {
    const replica = new Peer(READER);
    const clock = new Deadline(LIMIT);
    clock.each(updates, (update) => replica.apply(update));
    const time = clock.elapsed();
    check(replica, end);
    return time;
  });
  report.time('remote_batch', '', 'ms', 1, () => {
    const replica = new Peer(READER);
    const clock = new Deadline();
    replica.applyAll(updates);
    const time = clock.elapsed();
    check(replica, end);
    return time;
  });
  if (report.wants('heap_remote') && inTime) {
    const applied = () => {
      const replica = new Peer(READER);
      for (const update of updates) replica.apply(update);
      return replica;
    };
    report.figure('heap_remote', '', heapKib(applied), 'KiB', 1);
  }
}

/** What is done with a whole document at once. */
function whole(Peer, report, document, end) {
  const history = document.history();
  report.time('merge', '', 'ms', 1, () => {
    const clock = new Deadline();
    const replica = Peer.merge(READER, history);
    const time = clock.elapsed();
    check(replica, end);
    return time;
  });
  if (report.wants('heap_merge')) {
    report.figure('heap_merge', '', heapKib(() => Peer.merge(READER, history)), 'KiB', 1);
  }
  for (const format of Peer.formats) {
    report.time('save', format, 'ms', 1, () => {
      const clock = new Deadline();
      document.save(format);
      return clock.elapsed();
    });
    const saved = document.save(format);
    report.figure('bytes', format, saved.length, 'bytes', 1);
    report.time('open', format, 'ms', 1, () => {
      const clock = new Deadline();
      const text = Peer.open(READER, format, saved).content();
      const time = clock.elapsed();
      assert(text === end, 'opened with another text');
      return time;
    });
  }
}

module.exports = { sequential, concurrent };
