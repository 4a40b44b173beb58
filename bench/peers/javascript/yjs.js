// SPDX-License-Identifier: Apache-2.0
'use strict';

const Y = require('yjs');

const { idOf } = require('./measure.js');

class Document {
  static package = 'yjs';
  static formats = ['v1', 'v2'];

  constructor(agent) {
    this.doc = new Y.Doc();
    this.doc.clientID = idOf(agent, 32);
    this.text = this.doc.getText('text');
    /** Where transactions put their updates, once someone wants them. */
    this.sent = null;
  }

  #make(patches) {
    this.doc.transact(() => {
      for (const [pos, deleted, inserted] of patches) {
        if (deleted > 0) this.text.delete(pos, deleted);
        if (inserted !== '') this.text.insert(pos, inserted);
      }
    });
  }

  /** A transaction for each: items are merged when one ends, and with few items it is much faster. */
  replay(patches) {
    for (const patch of patches) this.#make([patch]);
  }

  edit(patches) {
    if (this.sent === null) {
      this.doc.on('update', (update, origin, doc, transaction) => {
        if (transaction.local) this.sent = update;
      });
    }
    this.#make(patches);
    return this.sent;
  }

  apply(update) {
    Y.applyUpdate(this.doc, update);
  }

  /** In the order of their making. */
  applyAll(updates) {
    this.doc.transact(() => updates.forEach((update) => this.apply(update)));
  }

  history() {
    return this.save('v1');
  }

  static merge(agent, history) {
    return Document.open(agent, 'v1', history);
  }

  save(format) {
    return format === 'v1' ? Y.encodeStateAsUpdate(this.doc) : Y.encodeStateAsUpdateV2(this.doc);
  }

  static open(agent, format, saved) {
    const document = new Document(-1); // as nobody: it would take another id for one that has edited before
    if (format === 'v1') Y.applyUpdate(document.doc, saved);
    else Y.applyUpdateV2(document.doc, saved);
    document.doc.clientID = idOf(agent, 32);
    return document;
  }

  content() {
    return this.text.toString();
  }
}

module.exports = Document;
