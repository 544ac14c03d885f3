//! One trace from a plan: ids, times, errors, and which spans have an event, a link or a rare
//! attribute.

use crate::catalog::{Catalog, SLOWNESS_ONE};
use crate::latency::Latency;
use crate::operation::Template;
use crate::piece::PieceId;
use crate::plan::{Join, Plans, SPANS_MAX, Step};
use crate::rng::{Rng, mix, scaled};

/// A span that is made up but not yet written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Record {
    pub(crate) trace_id: [u64; 2],
    pub(crate) span_id: u64,
    pub(crate) parent_span_id: u64,
    pub(crate) start_unix_nano: u64,
    pub(crate) end_unix_nano: u64,
    pub(crate) template: u16,
    /// Instance and scope: `instance * SCOPES + scope`.
    pub(crate) group: u16,
    /// Of the encoded span, without its tag and length.
    pub(crate) length: u16,
    pub(crate) event: PieceId,
    pub(crate) rare: PieceId,
    /// A place in [`Links`] plus one; 0 for none.
    pub(crate) link: u16,
}

/// Trace and span that a link leads to.
pub(crate) type LinkTarget = ([u64; 2], u64);

/// Length of a link as a field of a span: two ids.
pub(crate) const LINK_LENGTH: usize = 30;

/// The targets of links that wait to be written; so few that records need not carry them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    targets: Vec<LinkTarget>,
    free: Vec<u16>,
}

impl Links {
    fn keep(&mut self, target: LinkTarget) -> u16 {
        if let Some(place) = self.free.pop() {
            self.targets[usize::from(place) - 1] = target;
            return place;
        }
        // No more links than this wait, whatever the request's size.
        if self.targets.len() == usize::from(u16::MAX) {
            return 0;
        }
        self.targets.push(target);
        self.targets.len() as u16
    }

    pub(crate) fn take(&mut self, place: u16) -> LinkTarget {
        self.free.push(place);
        self.targets[usize::from(place) - 1]
    }
}

/// What happens to a span while its trace is made up.
#[derive(Debug, Clone, Copy, Default)]
struct Draw {
    random: u64,
    span_id: u64,
    instance: u16,
    /// The operation's own time between two children.
    gap: u64,
    /// Time until the next child may start, from the start of the trace.
    cursor: u64,
    /// Time of the children so far, then the whole duration.
    duration: u64,
    failed: bool,
}

/// Makes traces.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    pub(crate) catalog: Catalog,
    pub(crate) links: Links,
    plans: Plans,
    latency: Latency,
    rng: Rng,
    /// Errors per 2^32 traces.
    error_share: u64,
    /// A message sent not long ago.
    recent_message: LinkTarget,
    draws: Box<[Draw; SPANS_MAX]>,
}

/// Of 1024 spans, those with an event that is no exception.
const EVENT_SHARE: u64 = 29;
/// Of 1024 spans, those with a rare attribute.
const RARE_SHARE: u64 = 50;
/// Of 1024 spans that take a message, those that link to another message's trace as well.
const LINK_SHARE: u64 = 215;

impl Tracer {
    pub(crate) fn new(seed: u64, services: usize, error_rate: f64) -> Self {
        let mut rng = Rng::new(seed);
        let catalog = Catalog::new(&mut rng, services);
        let plans = Plans::new(&mut rng, &catalog);
        let latency = Latency::new(&mut rng);
        let recent_message = ([rng.id(), rng.id()], rng.id());
        Self {
            catalog,
            links: Links::default(),
            plans,
            latency,
            rng,
            error_share: (error_rate.clamp(0.0, 1.0) * (1u64 << 32) as f64) as u64,
            recent_message,
            draws: Box::new([Draw::default(); SPANS_MAX]),
        }
    }

    /// A random number under `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.rng.below(bound)
    }

    /// Makes a trace that ends at `end_unix_nano`; gives its spans to `emit`, children before
    /// parents, each with its end as nanoseconds since the start of the trace.
    pub(crate) fn trace(&mut self, end_unix_nano: u64, mut emit: impl FnMut(Record, u64)) {
        let plan = self.plans.pick(&mut self.rng);
        let draws = &mut self.draws[..plan.len()];
        let trace_id = [self.rng.id(), self.rng.id()];
        for draw in draws.iter_mut() {
            *draw = Draw { random: self.rng.next(), span_id: self.rng.id(), ..Draw::default() };
        }
        durations(plan, draws, &self.catalog, &self.latency, trace_id[0]);
        let last = starts(plan, draws);
        let failure = if self.rng.next() >> 32 < self.error_share {
            let origin = scaled(self.rng.next(), plan.len() as u32) as usize;
            spread_failure(plan, draws, origin);
            origin
        } else {
            usize::MAX
        };

        let start_unix_nano = end_unix_nano.saturating_sub(last);
        let mut message = self.recent_message;
        for (index, (step, draw)) in plan.iter().zip(draws.iter()).enumerate().rev() {
            let operation = self.catalog.operations.get(step.operation);
            let ok = scaled(draw.random << 16, u32::from(operation.ok_count));
            let template = u32::from(operation.first_template)
                + if draw.failed { u32::from(operation.ok_count) } else { ok };
            let start = draw.cursor;
            let end = start + draw.duration;
            let mut record = Record {
                trace_id,
                span_id: draw.span_id,
                parent_span_id: draws[usize::from(step.parent)].span_id,
                // Only a clock near 1970 leaves no room for the trace.
                start_unix_nano: (start_unix_nano + start).min(end_unix_nano),
                end_unix_nano: (start_unix_nano + end).min(end_unix_nano),
                template: template as u16,
                group: draw.instance * crate::catalog::SCOPES as u16 + u16::from(operation.scope),
                ..Record::default()
            };
            let template = &self.catalog.operations.templates[template as usize];
            let fate = mix(draw.random);
            if index == failure {
                record.event = template.exception;
            }
            extras(&self.catalog, fate, template, &mut record);
            if step.join == Join::Detached {
                if fate & 1023 < LINK_SHARE {
                    record.link = self.links.keep(self.recent_message);
                }
                message = (trace_id, record.parent_span_id);
            }
            let pieces = &self.catalog.operations.pieces;
            let link = if record.link == 0 { 0 } else { LINK_LENGTH };
            record.length = template.length
                + (pieces.length(record.event) + pieces.length(record.rare) + link) as u16;
            emit(record, end);
        }
        self.recent_message = message;
    }
}

/// Children before parents: a duration is the operation's own time and that of what it waits for.
#[inline]
fn durations(plan: &[Step], draws: &mut [Draw], catalog: &Catalog, latency: &Latency, trace: u64) {
    for index in (0..plan.len()).rev() {
        let step = &plan[index];
        let operation = catalog.operations.get(step.operation);
        let service = &catalog.services[usize::from(step.service)];
        // All calls of a trace to a service reach the same pod.
        let balance = (trace ^ u64::from(step.service)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let instance =
            service.first_instance + scaled(balance, u32::from(service.instances)) as u16;
        let slowness = u64::from(catalog.instances[usize::from(instance)].slowness);
        let draw = &mut draws[index];
        let own = latency.draw(operation.median_nano, operation.spread, draw.random) * slowness
            / u64::from(SLOWNESS_ONE);
        draw.instance = instance;
        draw.gap = own / (u64::from(step.children) + 1);
        draw.duration += own;
        let duration = draw.duration;
        let parent = &mut draws[usize::from(step.parent)];
        match step.join {
            _ if index == 0 => {}
            Join::Sequential => parent.duration += duration,
            Join::Parallel => parent.duration = parent.duration.max(duration),
            Join::Detached => {}
        }
    }
}

/// Parents before children: puts each into its parent's time. Leaves a span's start in `cursor`;
/// gives the end of the trace.
#[inline]
fn starts(plan: &[Step], draws: &mut [Draw]) -> u64 {
    let mut start = [0; SPANS_MAX];
    let mut last = draws[0].duration;
    for (index, step) in plan.iter().enumerate().skip(1) {
        let own = draws[index];
        let parent = usize::from(step.parent);
        // The time before a child is a random part of its parent's time between two children.
        let wait = |gap: u64| (gap * (own.random >> 48)) >> 16;
        start[index] = match step.join {
            Join::Sequential => {
                let at = draws[parent].cursor + wait(draws[parent].gap);
                draws[parent].cursor = at + own.duration;
                at
            }
            Join::Parallel => draws[parent].cursor + wait(draws[parent].gap),
            Join::Detached => {
                start[parent] + draws[parent].duration + own.gap + wait(QUEUE_NANO_MAX)
            }
        };
        draws[index].cursor = start[index];
        last = last.max(start[index] + own.duration);
    }
    for (draw, start) in draws.iter_mut().zip(start) {
        draw.cursor = start;
    }
    last
}

/// The longest that a message waits.
const QUEUE_NANO_MAX: u64 = 15_000_000;

/// An error goes up to whoever waits for the answer; nobody waits for a message.
fn spread_failure(plan: &[Step], draws: &mut [Draw], origin: usize) {
    let mut at = origin;
    loop {
        draws[at].failed = true;
        if at == 0 || plan[at].join == Join::Detached {
            return;
        }
        at = usize::from(plan[at].parent);
    }
}

/// Gives some spans an event, and some a rare attribute.
#[inline]
fn extras(catalog: &Catalog, fate: u64, template: &Template, record: &mut Record) {
    let is_ok = template.status == PieceId::default();
    if (fate >> 10) & 1023 < EVENT_SHARE && is_ok {
        record.event = catalog.events[((fate >> 32) % catalog.events.len() as u64) as usize];
    }
    if (fate >> 20) & 1023 < RARE_SHARE {
        let others = catalog.rare.len() as u64 - 2;
        let index = match (fate >> 40) & 3 {
            0 | 1 => 0,
            2 => 1,
            _ => 2 + (fate >> 42) % others,
        };
        record.rare = catalog.rare[index as usize];
    }
}
