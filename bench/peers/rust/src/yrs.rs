// SPDX-License-Identifier: Apache-2.0
use std::slice::from_ref;

use ::yrs::updates::decoder::Decode;
use ::yrs::{
    ClientID, Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact, TransactionMut,
    Update,
};

use crate::peer::{id, Content, Peer};
use crate::traces::Patch;

pub struct Document {
    doc: Doc,
    text: TextRef,
}

fn make(text: &TextRef, txn: &mut TransactionMut, patches: &[Patch]) {
    for patch in patches {
        if patch.deleted > 0 {
            text.remove_range(txn, patch.pos as u32, patch.deleted as u32);
        }
        if !patch.inserted.is_empty() {
            text.insert(txn, patch.pos as u32, &patch.inserted);
        }
    }
}

impl Document {
    fn apply_decoded(&mut self, update: Update) {
        self.doc.transact_mut().apply_update(update).expect("an update");
    }
}

impl Peer for Document {
    const CRATE: &'static str = "yrs";
    const FORMATS: &'static [&'static str] = &["v1", "v2"];

    fn new(agent: u32) -> Self {
        // Its items count in UTF-16 units, so these offsets cost nothing. They are code points too where all characters
        // are of the basic plane, as those of the traces are.
        let offset_kind = OffsetKind::Utf16;
        let client_id = ClientID::new(id(agent, 53));
        let doc = Doc::with_options(Options { offset_kind, ..Options::with_client_id(client_id) });
        let text = doc.get_or_insert_text("text");
        Document { doc, text }
    }

    /// A transaction for each: items are merged when one ends, and with few items it is much faster.
    fn replay(&mut self, patches: &[Patch]) {
        for patch in patches {
            make(&self.text, &mut self.doc.transact_mut(), from_ref(patch));
        }
    }

    fn edit(&mut self, patches: &[Patch]) -> Vec<u8> {
        let mut txn = self.doc.transact_mut();
        make(&self.text, &mut txn, patches);
        txn.commit();
        txn.encode_update_v1()
    }

    fn apply(&mut self, update: &[u8]) {
        self.apply_decoded(Update::decode_v1(update).expect("an update"));
    }

    fn apply_all(&mut self, updates: &[&[u8]]) {
        let mut txn = self.doc.transact_mut();
        for update in updates {
            txn.apply_update(Update::decode_v1(update).expect("an update")).expect("an update");
        }
    }

    fn history(&mut self) -> Vec<u8> {
        self.save("v1")
    }

    fn save(&mut self, format: &str) -> Vec<u8> {
        let txn = self.doc.transact();
        match format {
            "v1" => txn.encode_state_as_update_v1(&StateVector::default()),
            _ => txn.encode_state_as_update_v2(&StateVector::default()),
        }
    }

    fn open(agent: u32, format: &str, saved: &[u8]) -> Self {
        let mut document = Self::new(agent);
        let update = match format {
            "v1" => Update::decode_v1(saved),
            _ => Update::decode_v2(saved),
        };
        document.apply_decoded(update.expect("a saved document"));
        document
    }

    fn content(&self) -> Content {
        Content::Text(self.text.get_string(&self.doc.transact()))
    }
}
