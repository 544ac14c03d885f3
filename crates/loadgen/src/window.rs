//! Orders spans by when they end, as they leave the processes of a system: the spans of a trace
//! come apart, children before parents, among those of other traces.

use crate::plan::SPANS_MAX;
use crate::trace::{Record, Tracer};

/// Virtual time passes in ticks; in each some traces start.
const TRACES_PER_TICK: usize = 4;
const TICK_NANO: u64 = 3_000_000;
/// What ends later than this many ticks after its trace's start is sent early.
const TICKS: usize = 64;

/// Spans that may be taken before a trace, of which one span was taken, is complete.
pub(crate) const COMPLETE_AFTER_SPANS: usize = TICKS * TRACES_PER_TICK * SPANS_MAX;

/// A calendar queue: a slot per tick.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    slots: Vec<Vec<Record>>,
    now: usize,
    /// Of the slot at hand.
    taken: usize,
    /// Spans that traces may still be started for; the last one may take more.
    left: u64,
    /// Spans that wait to be taken.
    waiting: usize,
}

/// When the traces that start now end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now_unix_nano: u64,
    /// They end within this time before now.
    pub(crate) interval_nano: u32,
}

impl Window {
    /// A window that starts traces until they have so many spans together.
    pub(crate) fn new(spans_min: u64) -> Self {
        Self { slots: vec![Vec::new(); TICKS], now: 0, taken: 0, left: spans_min, waiting: 0 }
    }

    /// Appends the next `spans` to `out`; fewer when no more come.
    pub(crate) fn take(
        &mut self,
        tracer: &mut Tracer,
        clock: Clock,
        spans: usize,
        out: &mut Vec<Record>,
    ) {
        let mut left = spans;
        loop {
            let ready = &self.slots[self.now][self.taken..];
            let count = ready.len().min(left);
            out.extend_from_slice(&ready[..count]);
            self.taken += count;
            self.waiting -= count;
            left -= count;
            if left == 0 || (self.left == 0 && self.waiting == 0) {
                return;
            }
            self.tick(tracer, clock);
        }
    }

    /// Moves all that waits into the past.
    pub(crate) fn shift(&mut self, back_nano: u64) {
        for record in self.slots.iter_mut().flatten() {
            record.start_unix_nano = record.start_unix_nano.saturating_sub(back_nano);
            record.end_unix_nano = record.end_unix_nano.saturating_sub(back_nano);
        }
    }

    fn tick(&mut self, tracer: &mut Tracer, clock: Clock) {
        self.slots[self.now].clear();
        self.taken = 0;
        self.now = (self.now + 1) % TICKS;
        let now = self.now;
        for _ in 0..TRACES_PER_TICK {
            if self.left == 0 {
                return;
            }
            let before = u64::from(tracer.below(clock.interval_nano));
            let end_unix_nano = clock.now_unix_nano.saturating_sub(before);
            let mut spans = 0;
            tracer.trace(end_unix_nano, |record, end_nano| {
                let ticks = ((end_nano / TICK_NANO) as usize).min(TICKS - 1);
                self.slots[(now + ticks) % TICKS].push(record);
                spans += 1;
            });
            self.waiting += spans;
            self.left = self.left.saturating_sub(spans as u64);
        }
    }
}
