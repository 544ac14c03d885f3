//! One row per trace: computed when a piece is written, kept beside its spans, added up when a
//! trace lies in several pieces.

use std::ops::{Deref, Range};
use std::sync::Arc;

use model::{TraceId, kind, status_code};

use crate::types::{ServiceShare, TraceSummary};

/// What a summary needs to know of a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanFacts {
    pub(crate) span_id: u64,
    pub(crate) parent_id: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) kind: i32,
    pub(crate) status: i32,
    /// Number of the scope in the piece's list.
    pub(crate) scope: i32,
}

/// Which traces a piece has, when they are and where their spans lie, by trace id: a quarter of
/// the table, and all that most queries need of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceIndex {
    pub(crate) ids: Vec<u128>,
    /// The earliest start that is not 0.
    pub(crate) start: Vec<u64>,
    /// The latest end, or start where that is later.
    pub(crate) end: Vec<u64>,
    /// The first span's row in the piece. One entry more than traces.
    pub(crate) first_row: Vec<u32>,
}

impl Default for TraceIndex {
    fn default() -> Self {
        let (ids, start, end) = Default::default();
        Self { ids, start, end, first_row: vec![0] }
    }
}

impl TraceIndex {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.ids.capacity() * 16
            + (self.start.capacity() + self.end.capacity()) * 8
            + self.first_row.capacity() * 4
    }

    pub(crate) fn find(&self, id: TraceId) -> Option<usize> {
        self.ids.binary_search(&id.to_number()).ok()
    }

    /// The trace whose rows include this one.
    pub(crate) fn trace_of_row(&self, row: u32) -> usize {
        self.first_row.partition_point(|&first| first <= row) - 1
    }

    pub(crate) fn rows(&self, trace: usize) -> Range<usize> {
        self.first_row[trace] as usize..self.first_row[trace + 1] as usize
    }
}

/// The rows of a piece's traces, by trace id, as columns.
#[derive(Debug, Default, Clone)]
pub(crate) struct TraceTable {
    /// Kept on its own where the rest is read again when it is asked for.
    pub(crate) index: Arc<TraceIndex>,
    pub(crate) error_count: Vec<u32>,
    pub(crate) orphan_count: Vec<u32>,
    pub(crate) missing_root: Vec<bool>,
    /// Row of the root span, or of the earliest when it is missing, within the trace.
    pub(crate) root_service: Vec<u32>,
    pub(crate) root_name: Vec<u32>,
    /// Start of each trace's part of the three that follow. One entry more than traces.
    pub(crate) service_offsets: Vec<u32>,
    pub(crate) services: Vec<u32>,
    pub(crate) service_spans: Vec<u32>,
    pub(crate) service_errors: Vec<u32>,
    /// The texts that numbers of services and names stand for.
    pub(crate) texts: Vec<String>,
}

impl Deref for TraceTable {
    type Target = TraceIndex;

    fn deref(&self) -> &TraceIndex {
        &self.index
    }
}

impl TraceTable {
    pub(crate) fn services_of(&self, trace: usize) -> Range<usize> {
        self.service_offsets[trace] as usize..self.service_offsets[trace + 1] as usize
    }

    /// Some of its rows, ascending, of spans that lie one behind the other.
    pub(crate) fn pick(&self, traces: &[usize]) -> Self {
        fn some<T: Copy>(values: &[T], traces: &[usize]) -> Vec<T> {
            traces.iter().map(|&trace| values[trace]).collect()
        }
        let mut first_row = vec![0];
        let mut picked = Self {
            error_count: some(&self.error_count, traces),
            orphan_count: some(&self.orphan_count, traces),
            missing_root: some(&self.missing_root, traces),
            service_offsets: vec![0],
            ..Self::default()
        };
        let mut numbers = vec![u32::MAX; self.texts.len()];
        let mut texts = Vec::new();
        let mut number = |text: u32| {
            let number = &mut numbers[text as usize];
            if *number == u32::MAX {
                *number = texts.len() as u32;
                texts.push(self.texts[text as usize].clone());
            }
            *number
        };
        let (mut row, mut share) = (0, 0);
        for &trace in traces {
            row += self.rows(trace).len() as u32;
            first_row.push(row);
            picked.root_service.push(number(self.root_service[trace]));
            picked.root_name.push(number(self.root_name[trace]));
            for at in self.services_of(trace) {
                share += 1;
                picked.services.push(number(self.services[at]));
                picked.service_spans.push(self.service_spans[at]);
                picked.service_errors.push(self.service_errors[at]);
            }
            picked.service_offsets.push(share);
        }
        picked.texts = texts;
        picked.index = Arc::new(TraceIndex {
            ids: some(&self.ids, traces),
            start: some(&self.start, traces),
            end: some(&self.end, traces),
            first_row,
        });
        picked
    }

    pub(crate) fn summary(&self, trace: usize) -> TraceSummary {
        TraceSummary {
            trace_id: TraceId::from_number(self.ids[trace]),
            root_service: self.texts[self.root_service[trace] as usize].clone(),
            root_name: self.texts[self.root_name[trace] as usize].clone(),
            start_unix_nano: self.start[trace],
            duration_nano: self.end[trace].saturating_sub(self.start[trace]),
            span_count: self.rows(trace).len() as u64,
            error_count: u64::from(self.error_count[trace]),
            services: self
                .services_of(trace)
                .map(|at| ServiceShare {
                    name: self.texts[self.services[at] as usize].clone(),
                    span_count: u64::from(self.service_spans[at]),
                    error_count: u64::from(self.service_errors[at]),
                })
                .collect(),
            missing_root: self.missing_root[trace],
            orphan_count: u64::from(self.orphan_count[trace]),
        }
    }
}

/// Builds the table trace by trace.
#[derive(Debug)]
pub(crate) struct TraceTableBuilder {
    index: TraceIndex,
    /// Without the index.
    table: TraceTable,
    texts: hashbrown::HashMap<String, u32, foldhash::fast::RandomState>,
    /// Scope numbers to text numbers of their services.
    scope_services: Vec<u32>,
    shares: Vec<(u32, u32, u32)>,
    ids: Vec<(u64, u32)>,
}

impl TraceTableBuilder {
    pub(crate) fn new() -> Self {
        Self {
            index: TraceIndex::default(),
            table: TraceTable { service_offsets: vec![0], ..TraceTable::default() },
            texts: hashbrown::HashMap::default(),
            scope_services: Vec::new(),
            shares: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// The service of the next scope number.
    pub(crate) fn add_scope(&mut self, service: &str) {
        let text = self.text(service);
        self.scope_services.push(text);
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.texts.get(text) {
            return number;
        }
        let number = self.table.texts.len() as u32;
        self.table.texts.push(text.to_owned());
        self.texts.insert(text.to_owned(), number);
        number
    }

    /// Adds a trace by its spans, sorted by start, and returns where each one's parent is: the
    /// distance back to it in rows (negative when it is further on), 0 when it has none here.
    /// `name` gives the name of the span at a place.
    pub(crate) fn add<'n>(
        &mut self,
        id: u128,
        spans: &[SpanFacts],
        distances: &mut Vec<i32>,
        name: impl FnOnce(usize) -> &'n str,
    ) {
        self.ids.clear();
        self.ids.extend(spans.iter().enumerate().map(|(at, span)| (span.span_id, at as u32)));
        self.ids.sort_unstable();
        let mut orphans = 0;
        let mut root = None;
        for (at, span) in spans.iter().enumerate() {
            let mut distance = 0;
            if span.parent_id == 0 {
                root = root.or(Some(at));
            } else {
                match parent(&self.ids, spans, at) {
                    Some(parent) => distance = at as i32 - parent as i32,
                    None => orphans += 1,
                }
            }
            distances.push(distance);
        }
        let Self { index, table, .. } = self;
        index.ids.push(id);
        let start = spans.iter().map(|span| span.start).filter(|&start| start > 0).min();
        index.start.push(start.unwrap_or(0));
        index.end.push(spans.iter().map(|span| span.end.max(span.start)).max().unwrap_or(0));
        let first = index.first_row.last().copied().unwrap_or(0);
        index.first_row.push(first + spans.len() as u32);
        table.missing_root.push(root.is_none());
        table.orphan_count.push(orphans);

        self.shares.clear();
        let mut errors = 0;
        for span in spans {
            let service = self.scope_services[span.scope as usize];
            let error = u32::from(span.status == status_code::ERROR);
            errors += error;
            match self.shares.iter_mut().find(|(known, _, _)| *known == service) {
                Some(share) => {
                    share.1 += 1;
                    share.2 += error;
                }
                None => self.shares.push((service, 1, error)),
            }
        }
        table.error_count.push(errors);
        self.shares
            .sort_unstable_by(|a, b| table.texts[a.0 as usize].cmp(&table.texts[b.0 as usize]));
        for &(service, spans, errors) in &self.shares {
            table.services.push(service);
            table.service_spans.push(spans);
            table.service_errors.push(errors);
        }
        table.service_offsets.push(table.services.len() as u32);

        let named = root.unwrap_or(0);
        let service = self.scope_services[spans[named].scope as usize];
        self.table.root_service.push(service);
        let name = self.text(name(named));
        self.table.root_name.push(name);
    }

    pub(crate) fn finish(self) -> TraceTable {
        TraceTable { index: Arc::new(self.index), ..self.table }
    }
}

/// The place of a span's parent: another span of the id that it names. Where client and server
/// share an id (Zipkin), what a server does is below the server, and a server is below the client.
/// `ids` are those of the spans and their places, ascending.
fn parent(ids: &[(u64, u32)], spans: &[SpanFacts], at: usize) -> Option<usize> {
    let span = &spans[at];
    let from = ids.partition_point(|&(id, _)| id < span.parent_id);
    let mut same = ids[from..]
        .iter()
        .take_while(|(id, _)| *id == span.parent_id)
        .map(|&(_, other)| other as usize)
        .filter(|&other| other != at);
    let first = same.next()?;
    let wanted = match span.kind {
        kind::SERVER | kind::CONSUMER => [kind::CLIENT, kind::PRODUCER],
        _ => [kind::SERVER, kind::CONSUMER],
    };
    let fits = |other: &usize| wanted.contains(&spans[*other].kind);
    if fits(&first) { Some(first) } else { same.find(fits).or(Some(first)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(span_id: u64, parent_id: u64, start: u64, end: u64, status: i32) -> SpanFacts {
        let scope = (span_id % 2) as i32;
        SpanFacts { span_id, parent_id, start, end, kind: kind::INTERNAL, status, scope }
    }

    fn table(spans: &[SpanFacts]) -> (TraceTable, Vec<i32>) {
        let mut builder = TraceTableBuilder::new();
        builder.add_scope("cart");
        builder.add_scope("api");
        let mut distances = Vec::new();
        builder.add(7, spans, &mut distances, |at| ["zero", "one", "two", "three"][at]);
        (builder.finish(), distances)
    }

    #[test]
    fn counts_roots_orphans_errors_and_services() {
        let (table, distances) = table(&[
            span(1, 0, 100, 200, 0),
            span(2, 1, 110, 150, 2),
            span(3, 2, 120, 140, 2),
            span(4, 9, 130, 500, 0),
        ]);
        assert_eq!(distances, [0, 1, 1, 0]);
        let summary = table.summary(0);
        assert_eq!(summary.root_service, "api");
        assert_eq!(summary.root_name, "zero");
        assert_eq!((summary.start_unix_nano, summary.duration_nano), (100, 400));
        assert_eq!((summary.span_count, summary.error_count, summary.orphan_count), (4, 2, 1));
        assert!(!summary.missing_root);
        let shares: Vec<_> = summary
            .services
            .iter()
            .map(|share| (share.name.as_str(), share.span_count, share.error_count))
            .collect();
        assert_eq!(shares, [("api", 2, 1), ("cart", 2, 1)]);
    }

    #[test]
    fn odd_times_and_parents_are_kept_apart() {
        // Start 0, end before start, a span that is its own parent, a parent further on.
        let (table, distances) =
            table(&[span(1, 1, 0, 50, 0), span(2, 3, 100, 60, 0), span(3, 9, 110, 120, 0)]);
        assert_eq!(distances, [0, -1, 0]);
        let summary = table.summary(0);
        assert_eq!((summary.start_unix_nano, summary.duration_nano), (100, 20));
        assert_eq!((summary.missing_root, summary.orphan_count), (true, 2));
        assert_eq!(summary.root_name, "zero");
    }

    #[test]
    fn a_parent_of_a_shared_id_is_told_by_kind() {
        let of = |kind, span| SpanFacts { kind, ..span };
        let (table, distances) = table(&[
            of(kind::CLIENT, span(5, 0, 100, 200, 0)),
            of(kind::SERVER, span(5, 5, 110, 190, 0)),
            of(kind::INTERNAL, span(6, 5, 120, 130, 0)),
            of(kind::SERVER, span(7, 5, 130, 140, 0)),
        ]);
        assert_eq!(distances, [0, 1, 1, 3]);
        assert_eq!(table.summary(0).orphan_count, 0);
    }
}
