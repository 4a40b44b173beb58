// SPDX-License-Identifier: Apache-2.0
use ::diamond_types::list::encoding::{ENCODE_FULL, ENCODE_PATCH};
use ::diamond_types::list::ListCRDT;
use ::diamond_types::AgentId;

use crate::peer::{Content, Peer};
use crate::traces::Patch;

pub struct Document {
    list: ListCRDT,
    agent: AgentId,
}

impl Document {
    fn with(mut list: ListCRDT, agent: u32) -> Self {
        let agent = list.get_or_create_agent_id(&agent.to_string());
        Document { list, agent }
    }
}

impl Peer for Document {
    const CRATE: &'static str = "diamond-types";

    fn new(agent: u32) -> Self {
        Document::with(ListCRDT::new(), agent)
    }

    fn replay(&mut self, patches: &[Patch]) {
        for patch in patches {
            if patch.deleted > 0 {
                self.list.delete_without_content(self.agent, patch.pos..patch.pos + patch.deleted);
            }
            if !patch.inserted.is_empty() {
                self.list.insert(self.agent, patch.pos, &patch.inserted);
            }
        }
    }

    fn edit(&mut self, patches: &[Patch]) -> Vec<u8> {
        let before = self.list.oplog.local_version();
        self.replay(patches);
        self.list.oplog.encode_from(ENCODE_PATCH, &before)
    }

    fn apply(&mut self, update: &[u8]) {
        self.list.merge_data_and_ff(update).expect("an update");
    }

    fn apply_all(&mut self, updates: &[&[u8]]) {
        let ListCRDT { branch, oplog } = &mut self.list;
        for update in updates {
            oplog.decode_and_add(update).expect("an update");
        }
        branch.merge(oplog, oplog.local_version_ref());
    }

    fn fork(&mut self, agent: u32) -> Option<Self> {
        Some(Document::with(self.list.clone(), agent))
    }

    fn history(&mut self) -> Vec<u8> {
        self.list.oplog.encode(ENCODE_FULL)
    }

    fn save(&mut self, _: &str) -> Vec<u8> {
        self.list.oplog.encode(ENCODE_FULL)
    }

    fn open(agent: u32, _: &str, saved: &[u8]) -> Self {
        Document::with(ListCRDT::load_from(saved).expect("a saved document"), agent)
    }

    fn content(&self) -> Content {
        Content::Text(self.list.branch.content().to_string())
    }
}
