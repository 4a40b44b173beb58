// SPDX-License-Identifier: Apache-2.0
//! Editing traces, and the made-up edits of the other shapes.

use std::{fs::File, path::Path};

use ::diamond_types::list::{operation::OpKind, OpLog};
use flate2::read::GzDecoder;
use serde::Deserialize;

/// Deletes `deleted` code points at `pos` and inserts `inserted` there.
#[derive(Deserialize)]
#[serde(from = "(usize, usize, String)")]
pub struct Patch {
    pub pos: usize,
    pub deleted: usize,
    pub inserted: String,
}

impl From<(usize, usize, String)> for Patch {
    fn from((pos, deleted, inserted): (usize, usize, String)) -> Self {
        Patch { pos, deleted, inserted }
    }
}

impl Patch {
    pub fn insert(pos: usize, text: impl Into<String>) -> Self {
        Patch { pos, deleted: 0, inserted: text.into() }
    }

    pub fn delete(pos: usize, deleted: usize) -> Self {
        Patch { pos, deleted, inserted: String::new() }
    }
}

/// In a concurrent trace: the edits of `agent` to the document in which exactly `parents` are merged.
#[derive(Deserialize)]
pub struct Txn {
    #[serde(default)]
    pub agent: u32,
    #[serde(default)]
    pub parents: Vec<usize>,
    pub patches: Vec<Patch>,
}

#[derive(Deserialize)]
pub struct Trace {
    #[serde(default)]
    kind: String,
    #[serde(rename = "endContent")]
    pub end: String,
    pub txns: Vec<Txn>,
}

impl Trace {
    pub fn load(folder: &Path, name: &str) -> std::io::Result<Self> {
        let file = File::open(folder.join(format!("{name}.json.gz")))?;
        let mut json = Vec::new();
        std::io::Read::read_to_end(&mut GzDecoder::new(file), &mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }

    /// Whether agents really edited side by side.
    pub fn is_concurrent(&self) -> bool {
        self.kind == "concurrent" && self.txns.iter().enumerate().skip(1).any(|(i, txn)| txn.parents != [i - 1])
    }

    pub fn into_patches(self) -> Vec<Patch> {
        self.txns.into_iter().flat_map(|txn| txn.patches).collect()
    }

    /// The patches of a concurrent trace as one writer would make them: each moved to where it lands in the document
    /// that has all transactions before it in the file. What was already deleted is left out.
    pub fn flattened(&self) -> Vec<Patch> {
        let mut log = OpLog::new();
        let mut merged = log.local_version();
        let mut tips = Vec::with_capacity(self.txns.len());
        let mut flat = Vec::new();
        for txn in &self.txns {
            let agent = log.get_or_create_agent_id(&txn.agent.to_string());
            let mut version: Vec<usize> = txn.parents.iter().map(|&parent| tips[parent]).collect();
            version.sort_unstable();
            for patch in &txn.patches {
                if patch.deleted > 0 {
                    version = vec![log.add_delete_at(agent, &version, patch.pos..patch.pos + patch.deleted)];
                }
                if !patch.inserted.is_empty() {
                    version = vec![log.add_insert_at(agent, &version, patch.pos, &patch.inserted)];
                }
            }
            tips.push(version[0]);
            let tip = log.local_version();
            for (_, op) in log.iter_xf_operations_from(&merged, &tip) {
                let Some(op) = op else { continue };
                flat.push(match op.kind {
                    OpKind::Ins => Patch::insert(op.start(), op.content_as_str().expect("inserted text")),
                    OpKind::Del => Patch::delete(op.start(), op.end() - op.start()),
                });
            }
            merged = tip;
        }
        flat
    }
}

/// For each transaction, the earlier ones that its agent has not seen yet, in order.
pub fn unseen(txns: &[Txn]) -> Vec<Vec<usize>> {
    let agents = txns.iter().map(|txn| txn.agent as usize + 1).max().unwrap_or(0);
    let mut seen = vec![vec![false; txns.len()]; agents];
    let mut result = Vec::with_capacity(txns.len());
    for (i, txn) in txns.iter().enumerate() {
        let seen = &mut seen[txn.agent as usize];
        let mut missing = Vec::new();
        let mut queue = txn.parents.clone();
        while let Some(next) = queue.pop() {
            if !std::mem::replace(&mut seen[next], true) {
                missing.push(next);
                queue.extend(&txns[next].parents);
            }
        }
        seen[i] = true;
        missing.sort_unstable();
        result.push(missing);
    }
    result
}

/// Marsaglia's xorshift32: the programs in every language make the same edits.
pub struct Random(u32);

impl Random {
    pub fn new() -> Self {
        Random(2463534242)
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound
    }

    pub fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| (b'a' + self.below(26) as u8) as char).collect()
    }

    /// Three to nine letters.
    pub fn word(&mut self) -> String {
        let length = 3 + self.below(7);
        self.text(length)
    }
}
