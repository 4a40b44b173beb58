// SPDX-License-Identifier: Apache-2.0
//! What every library under measurement is asked to do.

use crate::traces::Patch;

/// What a replica holds. cola keeps positions only, so its content is known by length alone.
pub enum Content {
    Text(String),
    Length(usize),
}

pub trait Peer: Sized {
    /// The name of its crate.
    const CRATE: &'static str;
    const NAME: &'static str = Self::CRATE;
    /// The formats it can be saved in. The first has no name where it is the only one.
    const FORMATS: &'static [&'static str] = &[""];

    /// An empty replica. `agent` is not used by any other replica of the same document.
    fn new(agent: u32) -> Self;

    /// Makes local edits, in one transaction if that is fastest. Nobody wants an update.
    fn replay(&mut self, patches: &[Patch]);

    /// Makes local edits in one transaction, and encodes them as an update for other replicas.
    fn edit(&mut self, patches: &[Patch]) -> Vec<u8>;

    /// Applies what `edit` has encoded at another replica.
    fn apply(&mut self, update: &[u8]);

    /// Applies several updates at once, in the order of their making.
    fn apply_all(&mut self, updates: &[&[u8]]);

    /// A replica for `agent` that has merged what this one has. None where an agent which has edited before cannot go on
    /// in such a replica.
    fn fork(&mut self, agent: u32) -> Option<Self> {
        Some(Self::merge(agent, &self.history()))
    }

    /// Encodes the whole history as one update.
    fn history(&mut self) -> Vec<u8>;

    /// An empty replica which that update has been applied to.
    fn merge(agent: u32, history: &[u8]) -> Self {
        let mut replica = Self::new(agent);
        replica.apply(history);
        replica
    }

    /// Saves the document so that it can still be merged with others when it is opened.
    fn save(&mut self, format: &str) -> Vec<u8>;
    fn open(agent: u32, format: &str, saved: &[u8]) -> Self;

    fn content(&self) -> Content;
}

/// An agent's id, as long as those that a library draws at random: short ones would make short updates. In the order of the
/// agents, which decides in what order some peers put what agents of friendsforever insert at one place.
pub fn id(agent: u32, bits: u32) -> u64 {
    (1 << (bits - 1)) | (agent as u64 & 0x7fff_ffff)
}

/// The version of a crate, as locked.
pub fn version(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    let start = lock.find(&entry).expect("a locked crate") + entry.len();
    lock[start..].split('"').next().unwrap()
}
