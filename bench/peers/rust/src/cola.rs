// SPDX-License-Identifier: Apache-2.0
//! cola keeps positions and leaves the text to its user. Here nobody keeps it: what is inserted only travels in the
//! updates. It has no encoding of one edit either, so that is serde's, with bincode's variable-length integers.

use ::cola::{Deletion, EncodedReplica, Insertion, Replica};
use bincode::Options;
use serde::{Deserialize, Serialize};

use crate::peer::{id, Content, Peer};
use crate::traces::Patch;

/// All replicas are forks of an empty one, whose id this is.
const EMPTY: u64 = 1;

pub struct Document(Replica);

#[derive(Serialize, Deserialize)]
enum Edit<'a> {
    Insert(Insertion, &'a str),
    Delete(Deletion),
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new()
}

impl Peer for Document {
    const CRATE: &'static str = "cola-crdt";
    const NAME: &'static str = "cola";

    fn new(agent: u32) -> Self {
        Document(Replica::new(EMPTY, 0).fork(id(agent, 64)))
    }

    fn replay(&mut self, patches: &[Patch]) {
        for patch in patches {
            if patch.deleted > 0 {
                let _ = self.0.deleted(patch.pos..patch.pos + patch.deleted);
            }
            if !patch.inserted.is_empty() {
                let _ = self.0.inserted(patch.pos, patch.inserted.chars().count());
            }
        }
    }

    fn edit(&mut self, patches: &[Patch]) -> Vec<u8> {
        let mut edits = Vec::with_capacity(2 * patches.len());
        for patch in patches {
            if patch.deleted > 0 {
                edits.push(Edit::Delete(self.0.deleted(patch.pos..patch.pos + patch.deleted)));
            }
            if !patch.inserted.is_empty() {
                let insertion = self.0.inserted(patch.pos, patch.inserted.chars().count());
                edits.push(Edit::Insert(insertion, &patch.inserted));
            }
        }
        codec().serialize(&edits).expect("encodes in memory")
    }

    fn apply(&mut self, update: &[u8]) {
        for edit in codec().deserialize::<Vec<Edit>>(update).expect("an update") {
            match edit {
                Edit::Insert(insertion, _) => {
                    let _ = self.0.integrate_insertion(&insertion);
                }
                Edit::Delete(deletion) => {
                    let _ = self.0.integrate_deletion(&deletion);
                }
            }
        }
    }

    fn apply_all(&mut self, updates: &[&[u8]]) {
        updates.iter().for_each(|update| self.apply(update));
    }

    /// A fork counts its agent's edits from zero.
    fn fork(&mut self, _: u32) -> Option<Self> {
        None
    }

    /// The encoded replica is the only form its history has.
    fn history(&mut self) -> Vec<u8> {
        self.save("")
    }

    fn merge(agent: u32, history: &[u8]) -> Self {
        Self::open(agent, "", history)
    }

    fn save(&mut self, _: &str) -> Vec<u8> {
        codec().serialize(&self.0.encode()).expect("encodes in memory")
    }

    fn open(agent: u32, _: &str, saved: &[u8]) -> Self {
        let encoded: EncodedReplica = codec().deserialize(saved).expect("a saved replica");
        Document(Replica::decode(id(agent, 64), &encoded).expect("a saved replica"))
    }

    fn content(&self) -> Content {
        Content::Length(self.0.len())
    }
}
