// SPDX-License-Identifier: Apache-2.0
//! The columns that are measured on editing traces.

use std::collections::HashMap;
use std::slice::from_ref;
use std::time::{Duration, Instant};

use crate::measure::{heap_kib, Deadline, Report};
use crate::peer::{Content, Peer};
use crate::traces::{unseen, Patch, Txn};

const WRITER: u32 = 0;
const READER: u32 = u32::MAX - 1; // not an agent of a trace
const ZSTD_LEVEL: i32 = 19;
/// One run that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(60);
/// The same for the history of several writers, which is made once.
const HISTORY_LIMIT: Duration = Duration::from_secs(180);
/// A writer that has missed more transactions than this catches up by a fork of another's replica.
const FEW: usize = 16;

/// Panics unless the replica holds `text`.
pub fn check<P: Peer>(replica: &P, text: &str) {
    match replica.content() {
        Content::Text(content) => assert!(content == text, "{}: another text", P::NAME),
        Content::Length(length) => assert_eq!(length, text.chars().count(), "{}: another length", P::NAME),
    }
}

fn replayed<P: Peer>(patches: &[Patch]) -> P {
    let mut replica = P::new(WRITER);
    replica.replay(patches);
    replica
}

/// One writer's trace.
pub fn sequential<P: Peer>(report: &Report, patches: &[Patch], end: &str) {
    report.time("local", "", "ms", 1.0, || {
        let start = Instant::now();
        let replica: P = replayed(patches);
        let time = start.elapsed();
        check(&replica, end);
        Some(time)
    });
    if report.wants("heap_local") {
        let heap = heap_kib(|| replayed::<P>(patches));
        report.figure("heap_local", "", Some(heap), "KiB", 1);
    }
    let keystrokes = ["local_delta", "bytes_per_keystroke"];
    if !report.wants_any(&[&keystrokes[..], &REMOTE, &WHOLE].concat()) {
        return;
    }

    // A document with the history of one edit for each patch, and its updates.
    let mut updates = Vec::with_capacity(patches.len());
    let mut writer = P::new(WRITER);
    if Deadline::of(LIMIT).each(patches, |patch| updates.push(writer.edit(from_ref(patch)))).is_none() {
        report.skip("an edit for each keystroke takes too long, nothing else is measured");
        for column in keystrokes.into_iter().chain(REMOTE) {
            report.figure(column, "", None, "", 0);
        }
        return;
    }
    check(&writer, end);
    let bytes: usize = updates.iter().map(Vec::len).sum();
    report.figure("bytes_per_keystroke", "", Some(bytes as f64 / patches.len() as f64), "bytes", 1);

    let mut sent = Vec::with_capacity(patches.len());
    report.time("local_delta", "", "ms", 1.0, || {
        sent.clear();
        let mut replica = P::new(WRITER);
        let clock = Deadline::of(LIMIT);
        clock.each(patches, |patch| sent.push(replica.edit(from_ref(patch))))?;
        let time = clock.elapsed();
        check(&replica, end);
        Some(time)
    });
    drop(sent);

    remote::<P>(report, &updates, end);
    drop(updates);
    whole(report, writer, end);
}

/// A trace of several writers: each edits a replica of its own, with what it had seen merged.
pub fn concurrent<P: Peer>(report: &Report, txns: &[Txn], end: &str) {
    if !report.wants_any(&[&REMOTE[..], &WHOLE].concat()) {
        return;
    }
    let mut replicas: HashMap<u32, (P, usize)> = HashMap::new(); // of each agent, with its last transaction
    let mut updates: Vec<Vec<u8>> = Vec::with_capacity(txns.len());
    let clock = Deadline::of(HISTORY_LIMIT);
    let built = clock.each(txns.iter().zip(unseen(txns)).enumerate(), |(i, (txn, missing))| {
        let mut replica = replicas.remove(&txn.agent).map_or_else(|| P::new(txn.agent), |(replica, _)| replica);
        if !missing.is_empty() {
            let forked = match txn.parents[..] {
                [parent] if missing.len() > FEW => {
                    replicas.get_mut(&txns[parent].agent).filter(|(_, last)| *last == parent)
                }
                _ => None,
            };
            match forked.and_then(|(other, _)| other.fork(txn.agent)) {
                Some(fork) => replica = fork,
                None => {
                    let missing: Vec<&[u8]> = missing.iter().map(|&earlier| updates[earlier].as_slice()).collect();
                    replica.apply_all(&missing);
                }
            }
        }
        updates.push(replica.edit(&txn.patches));
        replicas.insert(txn.agent, (replica, i));
    });
    if built.is_none() {
        report.skip("takes too long to make the history");
        return;
    }
    drop(replicas);
    let mut all = P::new(READER);
    all.apply_all(&updates.iter().map(Vec::as_slice).collect::<Vec<_>>());
    check(&all, end);
    remote::<P>(report, &updates, end);
    drop(updates);
    whole(report, all, end);
}

const REMOTE: [&str; 3] = ["remote", "remote_batch", "heap_remote"];

/// Updates that an empty replica gets.
fn remote<P: Peer>(report: &Report, updates: &[Vec<u8>], end: &str) {
    let in_time = report.time("remote", "", "ms", 1.0, || {
        let mut replica = P::new(READER);
        let clock = Deadline::of(LIMIT);
        clock.each(updates, |update| replica.apply(update))?;
        let time = clock.elapsed();
        check(&replica, end);
        Some(time)
    });
    let at_once: Vec<&[u8]> = updates.iter().map(Vec::as_slice).collect();
    report.time("remote_batch", "", "ms", 1.0, || {
        let mut replica = P::new(READER);
        let start = Instant::now();
        replica.apply_all(&at_once);
        let time = start.elapsed();
        check(&replica, end);
        Some(time)
    });
    if report.wants("heap_remote") && in_time {
        let heap = heap_kib(|| {
            let mut replica = P::new(READER);
            updates.iter().for_each(|update| replica.apply(update));
            replica
        });
        report.figure("heap_remote", "", Some(heap), "KiB", 1);
    }
}

const WHOLE: [&str; 6] = ["merge", "heap_merge", "save", "bytes", "bytes_zstd", "open"];

/// What is done with a whole document at once.
fn whole<P: Peer>(report: &Report, mut document: P, end: &str) {
    let history = document.history();
    report.time("merge", "", "ms", 1.0, || {
        let start = Instant::now();
        let replica = P::merge(READER, &history);
        let time = start.elapsed();
        check(&replica, end);
        Some(time)
    });
    if report.wants("heap_merge") {
        report.figure("heap_merge", "", Some(heap_kib(|| P::merge(READER, &history))), "KiB", 1);
    }
    for format in P::FORMATS {
        report.time("save", format, "ms", 1.0, || {
            let start = Instant::now();
            document.save(format);
            Some(start.elapsed())
        });
        let saved = document.save(format);
        report.figure("bytes", format, Some(saved.len() as f64), "bytes", 1);
        let compressed = zstd::encode_all(&saved[..], ZSTD_LEVEL).expect("compresses in memory");
        report.figure("bytes_zstd", format, Some(compressed.len() as f64), "bytes", 1);
        report.time("open", format, "ms", 1.0, || {
            let start = Instant::now();
            let content = P::open(READER, format, &saved).content();
            let time = start.elapsed();
            if let Content::Text(text) = content {
                assert!(text == end, "{}: opened with another text", P::NAME);
            }
            Some(time)
        });
    }
}
