// SPDX-License-Identifier: Apache-2.0
//! The columns that are measured on editing traces.

use std::slice::from_ref;
use std::time::Instant;

use crate::measure::{heap_kib, Deadline, Report};
use crate::peer::{Content, Peer};
use crate::traces::{unseen, Patch, Txn};

const WRITER: u32 = 0;
const READER: u32 = 1;
const ZSTD_LEVEL: i32 = 3;

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
    let keystrokes = ["local_delta", "bytes_per_keystroke", "remote", "heap_remote"];
    if !report.wants_any(&keystrokes) && !report.wants_any(&WHOLE) {
        return;
    }

    // A document with the history of one edit for each patch, and its updates.
    let mut updates = Vec::with_capacity(patches.len());
    let mut writer = P::new(WRITER);
    if Deadline::start().each(patches, |patch| updates.push(writer.edit(from_ref(patch)))).is_none() {
        report.skip("an edit for each keystroke takes too long, nothing else is measured");
        for column in keystrokes {
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
        let clock = Deadline::start();
        clock.each(patches, |patch| sent.push(replica.edit(from_ref(patch))))?;
        let time = clock.elapsed();
        check(&replica, end);
        Some(time)
    });
    drop(sent);

    let mut in_time = true;
    report.time("remote", "", "ms", 1.0, || {
        let mut replica = P::new(READER);
        let clock = Deadline::start();
        let done = clock.each(&updates, |update| replica.apply(update));
        in_time = done.is_some();
        done?;
        let time = clock.elapsed();
        check(&replica, end);
        Some(time)
    });
    if report.wants("heap_remote") && in_time {
        let heap = heap_kib(|| {
            let mut replica = P::new(READER);
            Deadline::start().each(&updates, |update| replica.apply(update)).map(|_| replica)
        });
        report.figure("heap_remote", "", Some(heap), "KiB", 1);
    }
    drop(updates);
    whole(report, writer, end);
}

/// A trace of several writers: each edits a replica of its own, with what it had seen merged.
pub fn concurrent<P: Peer>(report: &Report, txns: &[Txn], end: &str) {
    if !report.wants_any(&WHOLE) {
        return;
    }
    let mut replicas: Vec<Option<P>> = Vec::new();
    let mut updates: Vec<Vec<u8>> = Vec::with_capacity(txns.len());
    let mut all = P::new(u32::MAX - 1);
    let clock = Deadline::start();
    let built = clock.each(txns.iter().zip(unseen(txns)), |(txn, missing)| {
        let agent = txn.agent as usize;
        replicas.resize_with(replicas.len().max(agent + 1), || None);
        let replica = replicas[agent].get_or_insert_with(|| P::new(txn.agent));
        for earlier in missing {
            replica.apply(&updates[earlier]);
        }
        let update = replica.edit(&txn.patches);
        all.apply(&update);
        updates.push(update);
    });
    if built.is_none() {
        report.skip("takes too long to make the history");
        return;
    }
    drop(replicas);
    check(&all, end);
    whole(report, all, end);
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
