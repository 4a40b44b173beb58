// SPDX-License-Identifier: Apache-2.0
//! Time, live memory and the report.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;

/// Runs are repeated while they have taken less than this together.
const BUDGET: Duration = Duration::from_secs(3);
const RUNS: usize = 5;

/// The system's allocator, which counts live bytes while it is told to.
pub struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: isize) {
    if COUNTS.load(Relaxed) {
        LIVE.fetch_add(bytes, Relaxed);
    }
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        System.dealloc(block, layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        System.realloc(block, layout, size)
    }
}

/// KiB that live on the heap as long as the result of `f` does.
pub fn heap_kib<T>(f: impl FnOnce() -> T) -> f64 {
    LIVE.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let held = f();
    COUNTS.store(false, Relaxed);
    drop(held);
    LIVE.load(Relaxed) as f64 / 1024.0
}

/// Stops a run that takes too long.
pub struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Deadline {
    pub fn of(limit: Duration) -> Self {
        Deadline { start: Instant::now(), limit }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Does `f` for each item. None when time is up first.
    pub fn each<T>(&self, items: impl IntoIterator<Item = T>, mut f: impl FnMut(T)) -> Option<()> {
        // The clock is read seldom where items take little.
        let (mut next, mut stride, mut before) = (0, 1, self.elapsed());
        for (i, item) in items.into_iter().enumerate() {
            if i == next {
                let now = self.elapsed();
                if now > self.limit {
                    return None;
                }
                stride = if now - before < Duration::from_millis(1) { 256.min(2 * stride) } else { 1 };
                (next, before) = (i + stride, now);
            }
            f(item);
        }
        Some(())
    }
}

/// A median, and of how many runs.
pub struct Sample {
    pub median: Duration,
    pub runs: usize,
}

/// The median time of several runs after one to warm up; of a single one if that takes long. `run` returns the time that
/// counts, or None when it gave up.
pub fn sample(quick: bool, mut run: impl FnMut() -> Option<Duration>) -> Option<Sample> {
    let start = Instant::now();
    let first = run()?;
    if quick || start.elapsed() > BUDGET / 2 {
        return Some(Sample { median: first, runs: 1 });
    }
    let mut times = Vec::new();
    while times.len() < RUNS && start.elapsed() < BUDGET {
        times.push(run()?);
    }
    times.sort_unstable();
    Some(Sample { median: times[times.len() / 2], runs: times.len() })
}

/// What is measured, and how often.
pub struct Options {
    pub peers: Vec<String>,
    pub traces: Vec<String>,
    pub columns: Vec<String>,
    pub quick: bool,
}

fn selects(filter: &[String], name: &str) -> bool {
    filter.is_empty() || filter.iter().any(|selected| selected == name)
}

impl Options {
    pub fn wants_peer(&self, name: &str) -> bool {
        selects(&self.peers, name)
    }

    pub fn wants_trace(&self, name: &str) -> bool {
        selects(&self.traces, name)
    }
}

/// Where the figures of one peer and one trace go.
pub struct Report<'a> {
    pub options: &'a Options,
    pub peer: &'static str,
    pub version: &'static str,
    pub trace: &'a str,
}

impl Report<'_> {
    pub fn wants(&self, column: &str) -> bool {
        selects(&self.options.columns, column)
    }

    pub fn wants_any(&self, columns: &[&str]) -> bool {
        columns.iter().any(|column| self.wants(column))
    }

    /// Prints one figure; without a value if it could not be had. `variant` names the format it is of, if there are some.
    pub fn figure(&self, column: &str, variant: &str, value: Option<f64>, unit: &str, runs: usize) {
        if !self.wants(column) {
            return;
        }
        let value = value.map(|v| (v * 1000.0).round() / 1000.0);
        let mut line = json!({
            "peer": self.peer, "version": self.version, "trace": self.trace, "column": column,
            "value": value, "unit": unit, "runs": runs,
        });
        if !variant.is_empty() {
            line["variant"] = variant.into();
        }
        println!("{line}");
    }

    /// Measures a time and prints it, divided by `per`. Returns whether it could be had.
    pub fn time(
        &self,
        column: &str,
        variant: &str,
        unit: &str,
        per: f64,
        run: impl FnMut() -> Option<Duration>,
    ) -> bool {
        if !self.wants(column) {
            return true;
        }
        let scale = match unit {
            "ms" => 1e3,
            "us" => 1e6,
            "ns" => 1e9,
            _ => unreachable!("a unit of time"),
        };
        let sample = sample(self.options.quick, run);
        if sample.is_none() {
            self.skip(&format!("{column}: takes too long"));
        }
        let value = sample.as_ref().map(|s| s.median.as_secs_f64() * scale / per);
        self.figure(column, variant, value, unit, sample.map_or(0, |s| s.runs));
        value.is_some()
    }

    pub fn skip(&self, why: &str) {
        eprintln!("{} {}: {why}", self.peer, self.trace);
    }
}
