// SPDX-License-Identifier: Apache-2.0
//! Edits that are made up: the text shapes of github.com/dmonad/crdt-benchmarks (B1 to B3), random inserts into a long
//! document, and two writers who prepend.

use std::slice::from_ref;
use std::time::Duration;

use crate::measure::{Deadline, Report};
use crate::peer::{Content, Peer};
use crate::traces::{Patch, Random};

const N: usize = 6000;
/// One run that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(60);

/// Two replicas hold the same.
fn check_same<P: Peer>(a: &P, b: &P) {
    match (a.content(), b.content()) {
        (Content::Text(a), Content::Text(b)) => assert!(a == b, "{}: replicas differ", P::NAME),
        (Content::Length(a), Content::Length(b)) => assert_eq!(a, b, "{}: replicas differ", P::NAME),
        _ => unreachable!("a peer has one kind of content"),
    }
}

/// Inserts what `text` makes at `N` random places of a document with `length` characters.
fn inserts(random: &mut Random, mut length: usize, text: impl Fn(&mut Random) -> String) -> Vec<Patch> {
    let mut one = || {
        let patch = Patch::insert(random.below(length + 1), text(random));
        length += patch.inserted.len();
        patch
    };
    (0..N).map(|_| one()).collect()
}

/// Inserts words and deletes up to nine characters, by turns of a coin.
fn inserts_and_deletes(random: &mut Random, mut length: usize) -> Vec<Patch> {
    let mut one = || {
        let pos = random.below(length + 1);
        if pos == length || random.below(2) == 0 {
            let patch = Patch::insert(pos, random.word());
            length += patch.inserted.len();
            patch
        } else {
            let patch = Patch::delete(pos, (1 + random.below(9)).min(length - pos));
            length -= patch.deleted;
            patch
        }
    };
    (0..N).map(|_| one()).collect()
}

/// B1: one writer, whose updates another applies one by one.
pub const B1: [&str; 7] = ["b1.1", "b1.2", "b1.3", "b1.4", "b1.5", "b1.6", "b1.7"];

pub fn b1<P: Peer>(report: &Report) {
    let mut random = Random::new();
    let patches = match report.trace {
        "b1.1" => (0..N).map(|i| Patch::insert(i, random.text(1))).collect(),
        "b1.2" => vec![Patch::insert(0, random.text(N))],
        "b1.3" => (0..N).map(|_| Patch::insert(0, random.text(1))).collect(),
        "b1.4" => inserts(&mut random, 0, |random| random.text(1)),
        "b1.5" => inserts(&mut random, 0, Random::word),
        "b1.6" => vec![Patch::insert(0, random.text(N)), Patch::delete(0, N)],
        "b1.7" => inserts_and_deletes(&mut random, 0),
        _ => unreachable!("a B1 shape"),
    };
    let mut bytes = 0;
    let mut saved = 0;
    report.time("time", "", "ms", 1.0, || {
        let (mut writer, mut reader) = (P::new(0), P::new(1));
        let mut updates = Vec::with_capacity(patches.len());
        let clock = Deadline::of(LIMIT);
        clock.each(&patches, |patch| updates.push(writer.edit(from_ref(patch))))?;
        clock.each(&updates, |update| reader.apply(update))?;
        let time = clock.elapsed();
        check_same(&writer, &reader);
        bytes = updates.iter().map(Vec::len).sum();
        saved = writer.save(P::FORMATS[0]).len();
        Some(time)
    });
    if bytes > 0 {
        report.figure("bytes_per_update", "", Some(bytes as f64 / patches.len() as f64), "bytes", 1);
        report.figure("bytes", P::FORMATS[0], Some(saved as f64), "bytes", 1);
    }
}

/// B2: two writers of a document with 100 characters edit it side by side, a transaction each, and exchange the updates.
pub const B2: [&str; 4] = ["b2.1", "b2.2", "b2.3", "b2.4"];

pub fn b2<P: Peer>(report: &Report) {
    const START: usize = 100;
    let mut random = Random::new();
    let start = Patch::insert(0, random.text(START));
    let mut side = || match report.trace {
        "b2.1" => vec![Patch::insert(0, random.text(N))],
        "b2.2" => inserts(&mut random, START, |random| random.text(1)),
        "b2.3" => inserts(&mut random, START, Random::word),
        "b2.4" => inserts_and_deletes(&mut random, START),
        _ => unreachable!("a B2 shape"),
    };
    let (left, right) = (side(), side());
    let mut bytes = 0;
    report.time("time", "", "ms", 1.0, || {
        let (mut a, mut b) = (P::new(0), P::new(1));
        b.apply(&a.edit(from_ref(&start)));
        let clock = Deadline::of(LIMIT);
        let (from_a, from_b) = (a.edit(&left), b.edit(&right));
        a.apply(&from_b);
        b.apply(&from_a);
        let time = clock.elapsed();
        check_same(&a, &b);
        bytes = from_a.len() + from_b.len();
        Some(time)
    });
    if bytes > 0 {
        report.figure("bytes_of_updates", "", Some(bytes as f64), "bytes", 1);
    }
}

/// B3: 20 * sqrt(N) writers insert a number at the start of an empty document, and one of them gets all updates.
pub fn b3<P: Peer>(report: &Report) {
    let writers = (20.0 * (N as f64).sqrt()) as u32;
    let mut bytes = 0;
    report.time("time", "", "ms", 1.0, || {
        let mut replicas: Vec<P> = (0..writers).map(P::new).collect();
        let edit = |(i, replica): (usize, &mut P)| replica.edit(&[Patch::insert(0, i.to_string())]);
        let updates: Vec<_> = replicas.iter_mut().enumerate().map(edit).collect();
        let (first, others) = replicas.split_first_mut().expect("many writers");
        bytes = updates.iter().map(Vec::len).sum();
        let clock = Deadline::of(LIMIT);
        clock.each(&updates[1..], |update| first.apply(update))?;
        let time = clock.elapsed();
        let last = others.last_mut().expect("many writers");
        last.apply_all(&updates.iter().rev().skip(1).map(Vec::as_slice).collect::<Vec<_>>());
        check_same(first, last);
        Some(time)
    });
    if bytes > 0 {
        report.figure("bytes_of_updates", "", Some(bytes as f64), "bytes", 1);
    }
}

/// Single characters at random places of a document of ten millions, which is one insertion or already in pieces.
pub const RANDOM_INSERT: [(&str, usize); 2] = [("random-insert", 0), ("random-insert-in-pieces", 1_000_000)];

/// With so many inserts before those that are measured. Returns whether the time could be had.
pub fn random_insert<P: Peer>(report: &Report, before: usize) -> bool {
    if !report.wants("time") {
        return true;
    }
    const LENGTH: usize = 10_000_000;
    const INSERTS: usize = 100_000;
    const IN_ONE_TRANSACTION: usize = 1000;
    let mut random = Random::new();
    let all: Vec<Patch> = (0..before + INSERTS).map(|i| Patch::insert(random.below(LENGTH + i + 1), "x")).collect();
    let start = Patch::insert(0, "a".repeat(LENGTH));
    report.time("time", "", "ns", INSERTS as f64, || {
        let clock = Deadline::of(LIMIT);
        let mut replica = P::new(0);
        replica.replay(from_ref(&start));
        clock.each(all[..before].chunks(IN_ONE_TRANSACTION), |patches| replica.replay(patches))?;
        let prepared = clock.elapsed();
        clock.each(all[before..].chunks(IN_ONE_TRANSACTION), |patches| replica.replay(patches))?;
        Some(clock.elapsed() - prepared)
    })
}

/// Two writers who know nothing of each other prepend single characters, and then exchange their updates: one by one, and
/// all at once. Returns whether the first time could be had.
pub const PREPEND: [(&str, usize); 2] = [("prepend-2000", 2000), ("prepend-20000", 20_000)];

pub fn prepend<P: Peer>(report: &Report, n: usize) -> bool {
    let patch = Patch::insert(0, "x");
    let run = |at_once: bool| {
        let (mut a, mut b) = (P::new(0), P::new(1));
        let (mut from_a, mut from_b) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let clock = Deadline::of(LIMIT);
        clock.each(0..n, |_| {
            from_a.push(a.edit(from_ref(&patch)));
            from_b.push(b.edit(from_ref(&patch)));
        })?;
        if at_once {
            a.apply_all(&from_b.iter().map(Vec::as_slice).collect::<Vec<_>>());
            b.apply_all(&from_a.iter().map(Vec::as_slice).collect::<Vec<_>>());
        } else {
            clock.each(from_a.iter().zip(&from_b), |(for_b, for_a)| {
                a.apply(for_a);
                b.apply(for_b);
            })?;
        }
        let time = clock.elapsed();
        check_same(&a, &b);
        Some(time)
    };
    let edits = 2.0 * n as f64;
    report.time("time_batch", "", "us", edits, || run(true)) && report.time("time", "", "us", edits, || run(false))
}
