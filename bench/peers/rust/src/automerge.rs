// SPDX-License-Identifier: Apache-2.0
use std::sync::OnceLock;

use ::automerge::transaction::Transactable;
use ::automerge::{ActorId, Automerge, Change, ObjId, ObjType, ReadDoc, ROOT};

use crate::peer::{id, Content, Peer};
use crate::traces::Patch;

pub struct Document {
    doc: Automerge,
    text: ObjId,
}

fn actor(agent: u32) -> ActorId {
    ActorId::from(id(agent, 64).to_be_bytes().repeat(2))
}

/// The change that makes the text object. Every replica begins with it.
fn genesis() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut doc = Automerge::new().with_actor(actor(u32::MAX));
        let mut txn = doc.transaction();
        txn.put_object(ROOT, "text", ObjType::Text).expect("a new object");
        txn.commit();
        doc.save()
    })
}

impl Document {
    fn with(doc: Automerge) -> Self {
        let (_, text) = doc.get(ROOT, "text").expect("a map").expect("the text");
        Document { doc, text }
    }
}

impl Peer for Document {
    const CRATE: &'static str = "automerge";
    const FORMATS: &'static [&'static str] = &["deflated", "plain"];

    fn new(agent: u32) -> Self {
        Document::with(Automerge::load(genesis()).expect("a document").with_actor(actor(agent)))
    }

    fn replay(&mut self, patches: &[Patch]) {
        let mut txn = self.doc.transaction();
        for patch in patches {
            let deleted = patch.deleted as isize;
            txn.splice_text(&self.text, patch.pos, deleted, &patch.inserted).expect("a position within");
        }
        txn.commit();
    }

    fn edit(&mut self, patches: &[Patch]) -> Vec<u8> {
        self.replay(patches);
        self.doc.get_last_local_change().expect("a change").raw_bytes().to_vec()
    }

    fn apply(&mut self, update: &[u8]) {
        self.apply_all(&[update]);
    }

    fn apply_all(&mut self, updates: &[&[u8]]) {
        let change = |update: &&[u8]| Change::try_from(*update).expect("an update");
        let changes: Vec<Change> = updates.iter().map(change).collect();
        self.doc.apply_changes(changes).expect("updates");
    }

    fn fork(&mut self, agent: u32) -> Option<Self> {
        Some(Document::with(self.doc.fork().with_actor(actor(agent))))
    }

    fn history(&mut self) -> Vec<u8> {
        self.doc.save()
    }

    fn merge(agent: u32, history: &[u8]) -> Self {
        let mut doc = Automerge::new().with_actor(actor(agent));
        doc.load_incremental(history).expect("a history");
        Document::with(doc)
    }

    fn save(&mut self, format: &str) -> Vec<u8> {
        match format {
            "deflated" => self.doc.save(),
            _ => self.doc.save_nocompress(),
        }
    }

    fn open(agent: u32, _: &str, saved: &[u8]) -> Self {
        Document::with(Automerge::load(saved).expect("a saved document").with_actor(actor(agent)))
    }

    fn content(&self) -> Content {
        Content::Text(self.doc.text(&self.text).expect("a text"))
    }
}
