// SPDX-License-Identifier: Apache-2.0
//! Measures other sequence CRDTs on the traces of joinery's text benchmark. A line of JSON for each figure.

mod automerge;
mod cola;
mod columns;
mod diamond_types;
mod loro;
mod measure;
mod peer;
mod shapes;
mod traces;
mod yrs;

use std::path::{Path, PathBuf};

use measure::{Options, Report};
use peer::{version, Peer};
use traces::{Patch, Trace};

#[global_allocator]
static ALLOCATOR: measure::Counting = measure::Counting;

const TRACES: [&str; 6] = ["automerge-paper", "sveltecomponent", "seph-blog1", "friendsforever", "A1", "S1"];
const FLAT: &str = "friendsforever-flat";

enum Input {
    Sequential(Vec<Patch>, String),
    Concurrent(Trace),
}

/// The traces that are wanted and there.
fn load(options: &Options, folder: &Path) -> Vec<(&'static str, Input)> {
    let mut inputs = Vec::new();
    for name in TRACES {
        let flat = name == "friendsforever" && options.wants_trace(FLAT);
        if !options.wants_trace(name) && !flat {
            continue;
        }
        let trace = match Trace::load(folder, name) {
            Ok(trace) => trace,
            Err(error) => {
                eprintln!("{name}: skipped, {error}");
                continue;
            }
        };
        if flat {
            inputs.push((FLAT, Input::Sequential(trace.flattened(), trace.end.clone())));
        }
        if !options.wants_trace(name) {
            continue;
        }
        inputs.push((
            name,
            if trace.is_concurrent() {
                Input::Concurrent(trace)
            } else {
                let end = trace.end.clone();
                Input::Sequential(trace.into_patches(), end)
            },
        ));
    }
    inputs
}

/// Goes through the sizes of a shape until one takes too long.
fn grow(options: &Options, sizes: &[(&'static str, usize)], measure: impl Fn(&'static str, usize) -> bool) {
    let mut wanted = sizes.iter().filter(|(name, _)| options.wants_trace(name));
    if !wanted.all(|&(name, size)| measure(name, size)) {
        wanted.for_each(|(name, _)| eprintln!("{name}: skipped, the one before takes too long already"));
    }
}

fn measure<P: Peer>(options: &Options, inputs: &[(&'static str, Input)]) {
    if !options.wants_peer(P::NAME) {
        return;
    }
    let version = version(P::CRATE);
    let on = |trace| {
        eprintln!("{} {version}: {trace}", P::NAME);
        Report { options, peer: P::NAME, version, trace }
    };
    for (name, input) in inputs {
        match input {
            Input::Sequential(patches, end) => columns::sequential::<P>(&on(name), patches, end),
            Input::Concurrent(trace) => columns::concurrent::<P>(&on(name), &trace.txns, &trace.end),
        }
    }
    let wanted = |name: &&&str| options.wants_trace(name);
    shapes::B1.iter().filter(wanted).for_each(|name| shapes::b1::<P>(&on(name)));
    shapes::B2.iter().filter(wanted).for_each(|name| shapes::b2::<P>(&on(name)));
    ["b3"].iter().filter(wanted).for_each(|name| shapes::b3::<P>(&on(name)));
    grow(options, &shapes::PREPEND, |name, n| shapes::prepend::<P>(&on(name), n));
    grow(options, &shapes::RANDOM_INSERT, |name, before| shapes::random_insert::<P>(&on(name), before));
}

fn usage() -> ! {
    eprintln!("usage: text_peers [--peer NAME]... [--trace NAME]... [--column NAME]... [--quick]");
    std::process::exit(2)
}

fn main() {
    let mut options = Options { peers: Vec::new(), traces: Vec::new(), columns: Vec::new(), quick: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let filter = match arg.as_str() {
            "--quick" => {
                options.quick = true;
                continue;
            }
            "--peer" => &mut options.peers,
            "--trace" => &mut options.traces,
            "--column" => &mut options.columns,
            _ => usage(),
        };
        filter.push(args.next().unwrap_or_else(|| usage()));
    }
    let inputs = match std::env::var_os("JOINERY_TRACES") {
        Some(folder) => load(&options, &PathBuf::from(folder)),
        None => {
            eprintln!("traces: skipped, JOINERY_TRACES does not name their folder");
            Vec::new()
        }
    };
    measure::<diamond_types::Document>(&options, &inputs);
    measure::<cola::Document>(&options, &inputs);
    measure::<yrs::Document>(&options, &inputs);
    measure::<loro::Document>(&options, &inputs);
    measure::<automerge::Document>(&options, &inputs);
}
