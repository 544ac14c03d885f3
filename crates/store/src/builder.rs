//! The open end of the head: spans appended row by row into growing columns, and frozen into a
//! sorted [`MemoryPiece`].
//!
//! Attribute columns are sparse (row and value), so that a span costs what it carries, however
//! many keys its neighbours use.

use std::sync::Arc;

use model::SpanBatch;

use crate::attributes::Attributes;
use crate::column::{Column, Values};
use crate::columns::name;
use crate::fields::{FullText, Rare, RareText};
use crate::memory::MemoryPiece;
use crate::piece::{StartRanges, TableBatch};
use crate::scopes::{ScopeList, ScopePool};
use crate::summary::{SpanFacts, TraceTableBuilder};
use crate::texts::Interner;

/// What a span, an event or link, and an attribute take beside their texts.
const SPAN_BYTES: usize = 96;
const EVENT_BYTES: usize = 32;
const ATTRIBUTE_BYTES: usize = 16;

#[derive(Debug, Default)]
struct Events {
    owner: Vec<u32>,
    time: Vec<u64>,
    name: FullText,
    dropped: Rare<u32>,
    attributes: Attributes,
}

#[derive(Debug, Default)]
struct Links {
    owner: Vec<u32>,
    trace: Vec<u128>,
    span: Vec<u64>,
    trace_state: RareText,
    flags: Rare<u32>,
    dropped: Rare<u32>,
    attributes: Attributes,
}

/// What makes two arrivals the same span: sent twice, stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    trace: u128,
    start: u64,
    span: u64,
    end: u64,
    kind: i32,
    scope: i32,
    name: u32,
}

/// Spans in the order they came.
#[derive(Debug, Default)]
pub(crate) struct ChunkBuilder {
    identity: Vec<Identity>,
    parent: Vec<u64>,
    status: Vec<i32>,
    names: Interner,
    status_message: RareText,
    trace_state: RareText,
    flags: Rare<u32>,
    dropped_attributes: Rare<u32>,
    dropped_events: Rare<u32>,
    dropped_links: Rare<u32>,
    attributes: Attributes,
    events: Events,
    links: Links,
    scopes: ScopeList,
    start_ranges: StartRanges,
    /// What the rows take, about.
    bytes: usize,
}

impl ChunkBuilder {
    pub(crate) fn len(&self) -> usize {
        self.identity.len()
    }

    /// What the rows take in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a request's spans, which came at that time.
    pub(crate) fn append(
        &mut self,
        batch: &SpanBatch,
        received_unix_nano: u64,
        pool: &mut ScopePool,
    ) {
        self.bytes += batch.bytes().len();
        let scopes: Vec<i32> = batch
            .scopes()
            .iter()
            .map(|scope| match pool.row(batch, scope) {
                Some(row) => {
                    let known = self.scopes.rows().len();
                    let number = self.scopes.number(&row);
                    // Every one has its resource, which may be long.
                    if self.scopes.rows().len() > known {
                        self.bytes += row.bytes();
                    }
                    number
                }
                // Only of a scope all whose spans were left out.
                None => 0,
            })
            .collect();
        for span in batch.spans() {
            let row = self.identity.len() as u32;
            self.identity.push(Identity {
                trace: span.trace_id.to_number(),
                start: span.start_unix_nano,
                span: span.span_id.to_number(),
                end: span.end_unix_nano,
                kind: span.kind,
                scope: scopes[span.scope as usize],
                name: self.names.intern(batch.bytes_of(span.name)),
            });
            self.start_ranges.add(span.start_unix_nano, received_unix_nano);
            self.parent.push(span.parent_span_id.to_number());
            self.status.push(span.status_code);
            self.status_message.push_unless_empty(row, batch.bytes_of(span.status_message));
            self.trace_state.push_unless_empty(row, batch.bytes_of(span.trace_state));
            self.flags.push_unless_zero(row, span.flags);
            self.dropped_attributes.push_unless_zero(row, span.dropped_attributes_count);
            self.dropped_events.push_unless_zero(row, span.dropped_events_count);
            self.dropped_links.push_unless_zero(row, span.dropped_links_count);
            self.attributes.append(row, batch, batch.span_attributes(span));
            self.bytes += SPAN_BYTES + batch.span_attributes(span).len() * ATTRIBUTE_BYTES;
            for event in batch.span_events(span) {
                let at = self.events.owner.len() as u32;
                self.events.owner.push(row);
                self.events.time.push(event.time_unix_nano);
                self.events.name.push(batch.bytes_of(event.name));
                self.events.dropped.push_unless_zero(at, event.dropped_attributes_count);
                self.events.attributes.append(at, batch, batch.event_attributes(event));
                let attributes = batch.event_attributes(event).len();
                self.bytes += EVENT_BYTES + attributes * ATTRIBUTE_BYTES;
            }
            for link in batch.span_links(span) {
                let at = self.links.owner.len() as u32;
                self.links.owner.push(row);
                self.links.trace.push(link.trace_id.to_number());
                self.links.span.push(link.span_id.to_number());
                self.links.trace_state.push_unless_empty(at, batch.bytes_of(link.trace_state));
                self.links.flags.push_unless_zero(at, link.flags);
                self.links.dropped.push_unless_zero(at, link.dropped_attributes_count);
                self.links.attributes.append(at, batch, batch.link_attributes(link));
                let attributes = batch.link_attributes(link).len();
                self.bytes += EVENT_BYTES + attributes * ATTRIBUTE_BYTES;
            }
        }
    }

    /// The rows so far as a piece, sorted, each span once.
    pub(crate) fn freeze(&self, id: String) -> MemoryPiece {
        let mut order: Vec<u32> = (0..self.identity.len() as u32).collect();
        order.sort_unstable_by_key(|&row| (self.identity[row as usize], row));
        order.dedup_by_key(|row| self.identity[*row as usize]);
        let mut places = vec![u32::MAX; self.identity.len()];
        for (place, &row) in order.iter().enumerate() {
            places[row as usize] = place as u32;
        }
        let rows = order.len();

        let mut traces = TraceTableBuilder::new();
        for scope in self.scopes.rows() {
            traces.add_scope(scope.service());
        }
        let mut distances = Vec::with_capacity(rows);
        let mut starts = Vec::with_capacity(rows);
        let mut facts = Vec::new();
        for group in order.chunk_by(|a, b| self.trace(*a) == self.trace(*b)) {
            facts.clear();
            facts.extend(group.iter().map(|&row| self.facts(row as usize)));
            traces.add(self.trace(group[0]), &facts, &mut distances, |at| {
                let name = self.identity[group[at] as usize].name;
                std::str::from_utf8(self.names.get(name)).unwrap_or_default()
            });
            let start = facts.iter().map(|span| span.start).filter(|&start| start > 0).min();
            starts.resize(starts.len() + group.len(), start.unwrap_or(0));
        }
        let traces = traces.finish();

        let spans = self.spans_table(&order, &places, &distances, &starts);
        let (events, events_rest) = self.events_table(&places);
        let (links, links_rest) = self.links_table(&places);
        let (spans, spans_rest) = spans;
        let tables = [spans, events, links, spans_rest, events_rest, links_rest];
        let scopes = self.scopes.rows().to_vec();
        MemoryPiece::new(id, tables, traces, scopes, self.start_ranges)
    }

    fn trace(&self, row: u32) -> u128 {
        self.identity[row as usize].trace
    }

    fn facts(&self, row: usize) -> SpanFacts {
        let identity = &self.identity[row];
        SpanFacts {
            span_id: identity.span,
            parent_id: self.parent[row],
            start: identity.start,
            end: identity.end,
            kind: identity.kind,
            status: self.status[row],
            scope: identity.scope,
        }
    }

    fn spans_table(
        &self,
        order: &[u32],
        places: &[u32],
        distances: &[i32],
        starts: &[u64],
    ) -> (TableBatch, TableBatch) {
        let rows = order.len();
        let identities = || order.iter().map(|&row| &self.identity[row as usize]);
        let ints = |get: &dyn Fn(&Identity) -> i32| Values::Int32(identities().map(get).collect());
        let start = identities()
            .zip(starts)
            .map(|(identity, &start)| identity.start.wrapping_sub(start) as i64);
        let duration =
            identities().map(|identity| identity.end.wrapping_sub(identity.start) as i64);
        let status = order.iter().map(|&row| self.status[row as usize]);
        let names = Arc::new(self.names.texts().clone());
        let mut columns: Vec<(Arc<str>, Column)> = [
            (name::TRACE_ID, Values::Id16(identities().map(|identity| identity.trace).collect())),
            (name::SPAN_ID, Values::Id8(identities().map(|identity| identity.span).collect())),
            (name::PARENT_DISTANCE, Values::Int32(distances.to_vec())),
            (name::START, Values::Int64(start.collect())),
            (name::DURATION, Values::Int64(duration.collect())),
            (
                name::NAME,
                Values::Codes(identities().map(|identity| identity.name).collect(), names),
            ),
            (name::KIND, ints(&|identity| identity.kind)),
            (name::STATUS, Values::Int32(status.collect())),
            (name::SCOPE, ints(&|identity| identity.scope)),
        ]
        .map(|(name, values)| (name.into(), Column::full(values)))
        .into();
        let parents: Vec<u64> = order.iter().map(|&row| self.parent[row as usize]).collect();
        let unresolved = unresolved_parents(&parents, distances);
        columns.extend(unresolved.map(|column| (name::PARENT_SPAN_ID.into(), column)));
        let rare = [
            (name::STATUS_MESSAGE, self.status_message.freeze(places, rows)),
            (name::TRACE_STATE, self.trace_state.freeze(places, rows)),
            (name::FLAGS, self.flags.freeze(places, rows)),
            (name::DROPPED_ATTRIBUTES, self.dropped_attributes.freeze(places, rows)),
            (name::DROPPED_EVENTS, self.dropped_events.freeze(places, rows)),
            (name::DROPPED_LINKS, self.dropped_links.freeze(places, rows)),
        ];
        push_present(&mut columns, rare);
        let (attributes, rest) = self.attributes.freeze(places, rows);
        columns.extend(attributes);
        (TableBatch { rows, columns }, rest)
    }

    fn events_table(&self, span_places: &[u32]) -> (TableBatch, TableBatch) {
        let (order, places) = order_by_owner(&self.events.owner, span_places);
        if order.is_empty() {
            return Default::default();
        }
        let owner = |&at: &u32| self.events.owner[at as usize] as usize;
        let times = order.iter().map(|at| {
            let start = self.identity[owner(at)].start;
            self.events.time[*at as usize].wrapping_sub(start) as i64
        });
        let mut columns: Vec<(Arc<str>, Column)> = vec![
            (name::ROW.into(), owner_rows(&order, &self.events.owner, span_places)),
            (name::TIME.into(), Column::full(Values::Int64(times.collect()))),
            (name::NAME.into(), self.events.name.freeze(&order)),
        ];
        let dropped = self.events.dropped.freeze(&places, order.len());
        push_present(&mut columns, [(name::DROPPED_ATTRIBUTES, dropped)]);
        let (attributes, rest) = self.events.attributes.freeze(&places, order.len());
        columns.extend(attributes);
        (TableBatch { rows: order.len(), columns }, rest)
    }

    fn links_table(&self, span_places: &[u32]) -> (TableBatch, TableBatch) {
        let (order, places) = order_by_owner(&self.links.owner, span_places);
        if order.is_empty() {
            return Default::default();
        }
        let rows = order.len();
        let trace = order.iter().map(|&at| self.links.trace[at as usize]).collect();
        let span = order.iter().map(|&at| self.links.span[at as usize]).collect();
        let mut columns: Vec<(Arc<str>, Column)> = vec![
            (name::ROW.into(), owner_rows(&order, &self.links.owner, span_places)),
            (name::TRACE_ID.into(), Column::full(Values::Id16(trace))),
            (name::SPAN_ID.into(), Column::full(Values::Id8(span))),
        ];
        let rare = [
            (name::TRACE_STATE, self.links.trace_state.freeze(&places, rows)),
            (name::FLAGS, self.links.flags.freeze(&places, rows)),
            (name::DROPPED_ATTRIBUTES, self.links.dropped.freeze(&places, rows)),
        ];
        push_present(&mut columns, rare);
        let (attributes, rest) = self.links.attributes.freeze(&places, rows);
        columns.extend(attributes);
        (TableBatch { rows, columns }, rest)
    }
}

fn push_present<const N: usize>(
    columns: &mut Vec<(Arc<str>, Column)>,
    optional: [(&str, Option<Column>); N],
) {
    for (name, column) in optional {
        columns.extend(column.map(|column| (name.into(), column)));
    }
}

/// The column of parents that are not among the rows; `None` when all are.
pub(crate) fn unresolved_parents(parents: &[u64], distances: &[i32]) -> Option<Column> {
    let unresolved = |at: &usize| parents[*at] != 0 && distances[*at] == 0;
    let rows: Vec<usize> = (0..parents.len()).filter(unresolved).collect();
    let values = rows.iter().map(|&row| parents[row]).collect();
    let column = |rows: &[usize]| {
        Column::of_rows(rows.iter().map(|&row| row as u32), parents.len(), Values::Id8(values))
    };
    (!rows.is_empty()).then(|| column(&rows))
}

/// Rows in the order of their owners' new places, without those whose owner is gone; and the new
/// place of each row.
fn order_by_owner(owner: &[u32], owner_places: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let place_of_owner = |at: u32| owner_places[owner[at as usize] as usize];
    let mut order: Vec<u32> =
        (0..owner.len() as u32).filter(|&at| place_of_owner(at) != u32::MAX).collect();
    order.sort_by_key(|&at| place_of_owner(at));
    let mut places = vec![u32::MAX; owner.len()];
    for (place, &at) in order.iter().enumerate() {
        places[at as usize] = place as u32;
    }
    (order, places)
}

fn owner_rows(order: &[u32], owner: &[u32], owner_places: &[u32]) -> Column {
    let rows = order.iter().map(|&at| owner_places[owner[at as usize] as usize] as i32);
    Column::full(Values::Int32(rows.collect()))
}
