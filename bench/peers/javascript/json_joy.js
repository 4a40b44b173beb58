// SPDX-License-Identifier: Apache-2.0
'use strict';

const { Model } = require('json-joy/lib/json-crdt');
const { Patch, s } = require('json-joy/lib/json-crdt-patch');

const { idOf } = require('./measure.js');

class Document {
  static package = 'json-joy';
  static formats = [''];

  /** The schema makes the same empty text, by the global session, in every replica: nobody needs the patch for that. */
  constructor(agent, model = Model.create(s.str(''), idOf(agent, 53))) {
    this.model = model;
    model.api.flush();
    this.text = model.api.str([]);
  }

  #make(patches) {
    for (const [pos, deleted, inserted] of patches) {
      if (deleted > 0) this.text.del(pos, deleted);
      if (inserted !== '') this.text.ins(pos, inserted);
    }
    return this.model.api.flush();
  }

  replay(patches) {
    this.#make(patches);
  }

  edit(patches) {
    return this.#make(patches).toBinary();
  }

  apply(update) {
    this.model.applyPatch(Patch.fromBinary(update));
  }

  /** In the order of their making. */
  applyAll(updates) {
    this.model.applyBatch(updates.map((update) => Patch.fromBinary(update)));
  }

  /** It keeps no history apart from the document itself. */
  history() {
    return this.save();
  }

  static merge(agent, history) {
    return Document.open(agent, '', history);
  }

  save() {
    return this.model.toBinary();
  }

  static open(agent, format, saved) {
    return new Document(agent, Model.load(saved, idOf(agent, 53)));
  }

  content() {
    return this.model.view();
  }
}

module.exports = Document;
