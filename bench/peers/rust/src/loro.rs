// SPDX-License-Identifier: Apache-2.0
use std::sync::{Arc, Mutex};

use ::loro::{ExportMode, LoroDoc, LoroText, Subscription};

use crate::peer::{id, Content, Peer};
use crate::traces::Patch;

pub struct Document {
    doc: LoroDoc,
    text: LoroText,
    /// Where commits put their updates, once someone wants them.
    sent: Option<(Arc<Mutex<Vec<u8>>>, Subscription)>,
}

impl Document {
    fn with(doc: LoroDoc, agent: u32) -> Self {
        doc.set_record_timestamp(false);
        doc.set_peer_id(id(agent, 64)).expect("no edits before");
        let text = doc.get_text("text");
        Document { doc, text, sent: None }
    }
}

impl Peer for Document {
    const CRATE: &'static str = "loro";
    const FORMATS: &'static [&'static str] = &["snapshot", "shallow snapshot", "updates"];

    fn new(agent: u32) -> Self {
        Document::with(LoroDoc::new(), agent)
    }

    fn replay(&mut self, patches: &[Patch]) {
        for patch in patches {
            if patch.deleted > 0 {
                self.text.delete(patch.pos, patch.deleted).expect("a position within");
            }
            if !patch.inserted.is_empty() {
                self.text.insert(patch.pos, &patch.inserted).expect("a position within");
            }
        }
        self.doc.commit();
    }

    fn edit(&mut self, patches: &[Patch]) -> Vec<u8> {
        if self.sent.is_none() {
            let sent = Arc::new(Mutex::new(Vec::new()));
            let sink = sent.clone();
            let subscription = self.doc.subscribe_local_update(Box::new(move |update| {
                sink.lock().unwrap().clone_from(update);
                true
            }));
            self.sent = Some((sent, subscription));
        }
        self.replay(patches);
        std::mem::take(&mut self.sent.as_ref().unwrap().0.lock().unwrap())
    }

    fn apply(&mut self, update: &[u8]) {
        self.doc.import(update).expect("an update");
    }

    fn apply_all(&mut self, updates: &[&[u8]]) {
        let updates: Vec<Vec<u8>> = updates.iter().map(|update| update.to_vec()).collect();
        self.doc.import_batch(&updates).expect("updates");
    }

    fn fork(&mut self, agent: u32) -> Option<Self> {
        Some(Document::with(self.doc.fork(), agent))
    }

    fn history(&mut self) -> Vec<u8> {
        self.save("updates")
    }

    fn save(&mut self, format: &str) -> Vec<u8> {
        let saved = match format {
            "snapshot" => self.doc.export(ExportMode::Snapshot),
            "shallow snapshot" => self.doc.export(ExportMode::shallow_snapshot_owned(self.doc.oplog_frontiers())),
            _ => self.doc.export(ExportMode::all_updates()),
        };
        saved.expect("encodes in memory")
    }

    fn open(agent: u32, format: &str, saved: &[u8]) -> Self {
        let doc = match format {
            "updates" => {
                let doc = LoroDoc::new();
                doc.import(saved).expect("a saved document");
                doc
            }
            _ => LoroDoc::from_snapshot(saved).expect("a saved document"),
        };
        Document::with(doc, agent)
    }

    fn content(&self) -> Content {
        Content::Text(self.text.to_string())
    }
}
