// SPDX-License-Identifier: Apache-2.0
// Editing traces, and the generator of the made-up edits of the other shapes. Positions in the traces are code points;
// they are UTF-16 units too, as no character is outside the basic plane.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');

const { Deadline } = require('./measure.js');
const Y = require('./yjs.js');

function load(folder, name) {
  return JSON.parse(zlib.gunzipSync(fs.readFileSync(path.join(folder, `${name}.json.gz`))));
}

/** Whether agents really edited side by side. */
function isConcurrent(trace) {
  return trace.kind === 'concurrent' && trace.txns.some(({ parents }, i) => i > 0 && String(parents) !== String(i - 1));
}

/** For each transaction, the earlier ones that its agent has not seen yet, in order. */
function unseen(txns) {
  const seenBy = new Map();
  return txns.map(({ agent, parents }, i) => {
    if (!seenBy.has(agent)) seenBy.set(agent, new Set());
    const seen = seenBy.get(agent);
    const missing = [];
    const queue = [...parents];
    while (queue.length > 0) {
      const next = queue.pop();
      if (seen.has(next)) continue;
      seen.add(next);
      missing.push(next);
      queue.push(...txns[next].parents);
    }
    seen.add(i);
    return missing.sort((a, b) => a - b);
  });
}

/** A writer that has missed more transactions than this catches up by a fork of another's replica. */
const FEW = 16;

/**
 * Makes the history of several writers: each edits a replica of its own, with what it had seen merged. Returns the update
 * of every transaction. Throws TooLong when that takes more than `limit` milliseconds.
 */
function makeConcurrently(Peer, txns, limit = Infinity) {
  const replicas = new Map(); // of each agent, with its last transaction
  const updates = [];
  const missing = unseen(txns);
  new Deadline(limit).each(txns, ({ agent, parents, patches }, i) => {
    let replica = replicas.get(agent)?.replica ?? new Peer(agent);
    if (missing[i].length > 0) {
      const other = parents.length === 1 && missing[i].length > FEW ? replicas.get(txns[parents[0]].agent) : undefined;
      if (other?.last === parents[0]) replica = Peer.merge(agent, other.replica.history());
      else replica.applyAll(missing[i].map((earlier) => updates[earlier]));
    }
    updates.push(replica.edit(patches));
    replicas.set(agent, { replica, last: i });
  });
  return updates;
}

/**
 * The patches of a concurrent trace as one writer would make them: each moved to where it lands in the document that has
 * all transactions before it in the file. What was already deleted is left out.
 */
function flattened(txns) {
  const merged = new Y(0xffffffff);
  const flat = [];
  merged.text.observe((event) => {
    let pos = 0;
    for (const { retain = 0, insert = '', delete: deleted = 0 } of event.delta) {
      pos += retain;
      if (deleted > 0 || insert !== '') flat.push([pos, deleted, insert]);
      pos += insert.length;
    }
  });
  for (const update of makeConcurrently(Y, txns)) merged.apply(update);
  return flat;
}

/** Marsaglia's xorshift32: the programs in every language make the same edits. */
class Random {
  #state = 2463534242;

  /** Less than `bound`. */
  below(bound) {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % bound;
  }

  text(length) {
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(97 + this.below(26));
    return text;
  }

  /** Three to nine letters. */
  word() {
    return this.text(3 + this.below(7));
  }
}

module.exports = { load, isConcurrent, makeConcurrently, flattened, Random };
