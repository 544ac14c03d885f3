//! Reading a trace: its rows from every piece, each span once, back into OTLP.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use model::wire::{
    put_bytes_field, put_bytes_unless_empty, put_fixed32_field, put_fixed64_field, put_message,
    put_varint_field, put_varint_unless_zero,
};
use model::{SpanBatch, TraceId, TracesEncoder, encode_key_value};

use crate::column::{Column, Values};
use crate::columns::{Table, name, parse_attribute_column};
use crate::piece::{Damaged, Piece};
use crate::scopes::{ScopeList, ScopeRow};
use crate::search::View;
use crate::summary::{SpanFacts, TraceTableBuilder};
use crate::types::{TraceRead, TraceSummary, ValueType};

/// All spans of a trace, by start.
pub(crate) fn read(view: &mut View, id: TraceId) -> TraceRead {
    let mut spans: Vec<EncodedSpan> = Vec::new();
    for piece in view.pieces.clone() {
        if piece.may_hold(id) {
            let part = read_part(piece.as_ref(), id);
            spans.extend(view.note(part).unwrap_or_default());
        }
    }
    let partial = view.is_partial();
    if spans.is_empty() {
        return TraceRead { spans: None, partial };
    }
    spans.sort_by(|a, b| {
        let scope = || a.scope.message().cmp(b.scope.message());
        a.key.cmp(&b.key).then_with(|| a.name.cmp(&b.name)).then_with(scope)
    });
    // Sent twice, into different pieces.
    spans.dedup_by(|later, earlier| {
        later.key == earlier.key
            && later.name == earlier.name
            && later.scope.message() == earlier.scope.message()
    });
    let mut encoder = TracesEncoder::new();
    // By the row itself, which the spans keep alive: comparing resources costs what they are long.
    let mut places: HashMap<*const ScopeRow, (usize, usize)> = HashMap::new();
    for span in &spans {
        let place = *places.entry(Arc::as_ptr(&span.scope)).or_insert_with(|| {
            let batch = span.scope.batch();
            let (resource, scope) = (span.scope.resource(), span.scope.scope());
            encoder.origin(
                batch.bytes_of(resource.message),
                batch.bytes_of(resource.schema_url),
                batch.bytes_of(scope.message),
                batch.bytes_of(scope.schema_url),
            )
        });
        encoder.span(place, |out| out.extend_from_slice(&span.message));
    }
    match SpanBatch::decode(Bytes::from(encoder.finish())) {
        Ok(batch) => TraceRead { spans: Some(batch), partial },
        // What was just encoded decodes, but for a trace beyond the bounds of a single batch.
        Err(error) => {
            tracing::error!(trace = %id, %error, "a trace is too large to be read as a whole");
            TraceRead { spans: None, partial: true }
        }
    }
}

/// The row of a trace that lies in several pieces, from its spans: an orphan of one part may have
/// its parent in another, and a span that was sent twice may lie in two.
pub(crate) fn summary(view: &mut View, id: TraceId) -> Option<TraceSummary> {
    let mut scopes = ScopeList::default();
    let mut spans: Vec<SummedSpan> = Vec::new();
    for piece in view.pieces.clone() {
        if piece.may_hold(id) {
            let part = summed_part(piece.as_ref(), id, &mut scopes);
            spans.extend(view.note(part).unwrap_or_default());
        }
    }
    if spans.is_empty() {
        return None;
    }
    let identity = |span: &SummedSpan| (span.key, span.facts.scope);
    spans.sort_by(|a, b| identity(a).cmp(&identity(b)).then_with(|| a.name.cmp(&b.name)));
    spans.dedup_by(|a, b| identity(a) == identity(b) && a.name == b.name);
    let mut table = TraceTableBuilder::new();
    for scope in scopes.rows() {
        table.add_scope(scope.service());
    }
    let facts: Vec<SpanFacts> = spans.iter().map(|span| span.facts).collect();
    table.add(id.to_number(), &facts, &mut Vec::new(), |at| &spans[at].name);
    Some(table.finish().summary(0))
}

struct SummedSpan {
    key: SpanKey,
    name: String,
    facts: SpanFacts,
}

fn summed_part(
    piece: &dyn Piece,
    id: TraceId,
    scopes: &mut ScopeList,
) -> Result<Vec<SummedSpan>, Damaged> {
    let columns = [
        name::SPAN_ID,
        name::START,
        name::DURATION,
        name::NAME,
        name::KIND,
        name::STATUS,
        name::SCOPE,
    ];
    let Some(rows) = Rows::of(piece, id, &columns)? else { return Ok(Vec::new()) };
    let numbers: Vec<i32> = piece.scopes()?.iter().map(|row| scopes.number(row)).collect();
    (0..rows.len())
        .map(|at| {
            let key = rows.key(at);
            let scope = numbers.get(rows.int(name::SCOPE, at) as usize);
            let facts = SpanFacts {
                span_id: key.1,
                parent_id: rows.parent(at),
                start: key.0,
                end: key.2,
                kind: key.3,
                status: rows.int(name::STATUS, at),
                scope: *scope.ok_or_else(|| no_scope(piece))?,
            };
            Ok(SummedSpan { key, name: rows.text(name::NAME, at).to_owned(), facts })
        })
        .collect()
}

fn no_scope(piece: &dyn Piece) -> Damaged {
    let reason = "a span names a scope that is not there".to_owned();
    Damaged { block: piece.id().to_owned(), reason }
}

/// Start, id, end and kind.
type SpanKey = (u64, u64, u64, i32);

struct EncodedSpan {
    key: SpanKey,
    name: String,
    scope: Arc<ScopeRow>,
    message: Vec<u8>,
}

/// A trace's rows in a piece, some of their columns.
struct Rows {
    rows: Range<usize>,
    start: u64,
    columns: Vec<(String, Column)>,
}

impl Rows {
    fn of(piece: &dyn Piece, id: TraceId, columns: &[&str]) -> Result<Option<Self>, Damaged> {
        let traces = piece.index()?;
        let Some(trace) = traces.find(id) else { return Ok(None) };
        let rows = traces.rows(trace);
        let mut names = vec![name::PARENT_DISTANCE, name::PARENT_SPAN_ID];
        names.extend(columns);
        let read = piece.read(Table::Spans, rows.clone(), &names)?;
        let columns = names
            .iter()
            .zip(read)
            .filter_map(|(name, column)| Some(((*name).to_owned(), column?)))
            .collect();
        Ok(Some(Self { rows, start: traces.start[trace], columns }))
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(of, _)| of == name).map(|(_, column)| column)
    }

    fn id(&self, name: &str, at: usize) -> u64 {
        self.column(name).map_or(0, |column| column.id8_at(at))
    }

    fn key(&self, at: usize) -> SpanKey {
        let start = self.start.wrapping_add(self.long(name::START, at) as u64);
        let end = start.wrapping_add(self.long(name::DURATION, at) as u64);
        (start, self.span_id(at), end, self.int(name::KIND, at))
    }

    fn span_id(&self, at: usize) -> u64 {
        self.id(name::SPAN_ID, at)
    }

    fn parent(&self, at: usize) -> u64 {
        match self.int(name::PARENT_DISTANCE, at) {
            0 => self.id(name::PARENT_SPAN_ID, at),
            distance => self.span_id((at as i64 - i64::from(distance)) as usize),
        }
    }

    fn int(&self, name: &str, at: usize) -> i32 {
        self.column(name).map_or(0, |column| column.int32_at(at))
    }

    fn long(&self, name: &str, at: usize) -> i64 {
        self.column(name).map_or(0, |column| column.int64_at(at))
    }

    fn text(&self, name: &str, at: usize) -> &str {
        self.column(name).map_or("", |column| column.text_at(at))
    }

    fn count(&self, name: &str, at: usize) -> u32 {
        self.int(name, at) as u32
    }
}

fn read_part(piece: &dyn Piece, id: TraceId) -> Result<Vec<EncodedSpan>, Damaged> {
    let all = piece.columns(Table::Spans)?;
    let wanted: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|column| {
            ![name::TRACE_ID, name::PARENT_DISTANCE, name::PARENT_SPAN_ID].contains(column)
        })
        .collect();
    let Some(rows) = Rows::of(piece, id, &wanted)? else { return Ok(Vec::new()) };
    let scopes = piece.scopes()?;
    let own = Owned::of(piece, Table::Spans, &rows.rows)?;
    let events = OwnedTable::of(piece, Table::Events, &rows.rows)?;
    let links = OwnedTable::of(piece, Table::Links, &rows.rows)?;
    let attributes = attribute_columns(&rows.columns);
    let mut spans = Vec::with_capacity(rows.len());
    for at in 0..rows.len() {
        let key @ (start, span_id, end, kind) = rows.key(at);
        let parent = rows.parent(at);
        let row = rows.rows.start + at;
        let mut out = Vec::with_capacity(512);
        put_bytes_field(&mut out, 1, &id.0);
        put_bytes_field(&mut out, 2, &span_id.to_be_bytes());
        put_bytes_unless_empty(&mut out, 3, rows.text(name::TRACE_STATE, at).as_bytes());
        if parent != 0 {
            put_bytes_field(&mut out, 4, &parent.to_be_bytes());
        }
        put_bytes_unless_empty(&mut out, 5, rows.text(name::NAME, at).as_bytes());
        put_varint_unless_zero(&mut out, 6, kind as u64);
        put_fixed64_field(&mut out, 7, start);
        put_fixed64_field(&mut out, 8, end);
        put_attributes(&mut out, 9, &attributes, at);
        own.put(&mut out, 9, row);
        put_varint_unless_zero(&mut out, 10, rows.count(name::DROPPED_ATTRIBUTES, at).into());
        for event in events.rows_of(row) {
            put_message(&mut out, 11, |out| events.put_event(out, event, start));
        }
        put_varint_unless_zero(&mut out, 12, rows.count(name::DROPPED_EVENTS, at).into());
        for link in links.rows_of(row) {
            put_message(&mut out, 13, |out| links.put_link(out, link));
        }
        put_varint_unless_zero(&mut out, 14, rows.count(name::DROPPED_LINKS, at).into());
        let status = rows.int(name::STATUS, at);
        let status_message = rows.text(name::STATUS_MESSAGE, at);
        if status != 0 || !status_message.is_empty() {
            put_message(&mut out, 15, |out| {
                put_bytes_unless_empty(out, 2, status_message.as_bytes());
                put_varint_unless_zero(out, 3, status as u64);
            });
        }
        let flags = rows.count(name::FLAGS, at);
        if flags != 0 {
            put_fixed32_field(&mut out, 16, flags);
        }
        let scope = scopes.get(rows.int(name::SCOPE, at) as usize).cloned();
        let scope = scope.ok_or_else(|| no_scope(piece))?;
        let name = rows.text(name::NAME, at).to_owned();
        spans.push(EncodedSpan { key, name, scope, message: out });
    }
    Ok(spans)
}

/// The attribute columns among some columns.
fn attribute_columns(columns: &[(String, Column)]) -> Vec<(ValueType, &str, &Column)> {
    columns
        .iter()
        .filter_map(|(name, column)| {
            let (value_type, key) = parse_attribute_column(name)?;
            Some((value_type, key, column))
        })
        .collect()
}

fn put_attributes(
    out: &mut Vec<u8>,
    number: u32,
    columns: &[(ValueType, &str, &Column)],
    at: usize,
) {
    for (value_type, key, column) in columns {
        if let Some(place) = column.place(at) {
            put_attribute(out, number, *value_type, key, column.values(), place);
        }
    }
}

fn put_attribute(
    out: &mut Vec<u8>,
    number: u32,
    value_type: ValueType,
    key: &str,
    values: &Values,
    at: usize,
) {
    encode_key_value(out, number, key.as_bytes(), |out| match (values, value_type) {
        (Values::Codes(codes, texts), ValueType::String) => {
            put_bytes_field(out, 1, texts.get(codes[at]));
        }
        (Values::Codes(codes, texts), ValueType::Bytes) => {
            put_bytes_field(out, 7, texts.get(codes[at]));
        }
        // The column holds the content of the whole value.
        (Values::Codes(codes, texts), _) => out.extend_from_slice(texts.get(codes[at])),
        (Values::Bool(values), _) => put_varint_field(out, 2, u64::from(values[at])),
        (Values::Int64(values), _) => put_varint_field(out, 3, values[at] as u64),
        (Values::Double(values), _) => put_fixed64_field(out, 4, values[at].to_bits()),
        // No attribute has such values.
        (Values::Int32(_) | Values::Id8(_) | Values::Id16(_), _) => {}
    });
}

/// The attributes without a column, of some owners.
struct Owned {
    owners: Vec<u32>,
    columns: Vec<(String, Column)>,
}

impl Owned {
    fn of(piece: &dyn Piece, table: Table, owners: &Range<usize>) -> Result<Self, Damaged> {
        let (owners, columns) = owned_rows(piece, table.rest(), owners)?;
        Ok(Self { owners, columns })
    }

    fn put(&self, out: &mut Vec<u8>, number: u32, owner: usize) {
        let column =
            |name: &str| self.columns.iter().find(|(of, _)| of == name).map(|(_, column)| column);
        let Some(keys) = column(name::KEY) else { return };
        for at in rows_of(&self.owners, owner) {
            for value_type in ValueType::ALL {
                let Some(values) = column(value_type.name()) else { continue };
                if let Some(place) = values.place(at) {
                    let key = keys.text_at(at);
                    put_attribute(out, number, value_type, key, values.values(), place);
                }
            }
        }
    }
}

/// Events or links of some spans.
struct OwnedTable {
    /// Row in the piece of the first.
    first: usize,
    owners: Vec<u32>,
    columns: Vec<(String, Column)>,
    rest: Owned,
}

impl OwnedTable {
    fn of(piece: &dyn Piece, table: Table, owners: &Range<usize>) -> Result<Self, Damaged> {
        let first = if piece.row_count(table) == 0 {
            0
        } else {
            piece.owners(table)?.partition_point(|&owner| (owner as usize) < owners.start)
        };
        let (owners, columns) = owned_rows(piece, table, owners)?;
        let rest = Owned::of(piece, table, &(first..first + owners.len()))?;
        Ok(Self { first, owners, columns, rest })
    }

    fn rows_of(&self, span: usize) -> Range<usize> {
        rows_of(&self.owners, span)
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(of, _)| of == name).map(|(_, column)| column)
    }

    fn text(&self, name: &str, at: usize) -> &str {
        self.column(name).map_or("", |column| column.text_at(at))
    }

    fn count(&self, name: &str, at: usize) -> u32 {
        self.column(name).map_or(0, |column| column.int32_at(at)) as u32
    }

    fn put_event(&self, out: &mut Vec<u8>, at: usize, span_start: u64) {
        let offset = self.column(name::TIME).map_or(0, |column| column.int64_at(at));
        put_fixed64_field(out, 1, span_start.wrapping_add(offset as u64));
        put_bytes_unless_empty(out, 2, self.text(name::NAME, at).as_bytes());
        put_attributes(out, 3, &attribute_columns(&self.columns), at);
        self.rest.put(out, 3, self.first + at);
        put_varint_unless_zero(out, 4, self.count(name::DROPPED_ATTRIBUTES, at).into());
    }

    fn put_link(&self, out: &mut Vec<u8>, at: usize) {
        let trace = self.column(name::TRACE_ID).map_or(0, |column| column.id16_at(at));
        if trace != 0 {
            put_bytes_field(out, 1, &trace.to_be_bytes());
        }
        let span = self.column(name::SPAN_ID).map_or(0, |column| column.id8_at(at));
        if span != 0 {
            put_bytes_field(out, 2, &span.to_be_bytes());
        }
        put_bytes_unless_empty(out, 3, self.text(name::TRACE_STATE, at).as_bytes());
        put_attributes(out, 4, &attribute_columns(&self.columns), at);
        self.rest.put(out, 4, self.first + at);
        put_varint_unless_zero(out, 5, self.count(name::DROPPED_ATTRIBUTES, at).into());
        let flags = self.count(name::FLAGS, at);
        if flags != 0 {
            put_fixed32_field(out, 6, flags);
        }
    }
}

/// Where an owner's rows are among the owners of some rows.
fn rows_of(owners: &[u32], owner: usize) -> Range<usize> {
    let start = owners.partition_point(|&of| (of as usize) < owner);
    let end = owners.partition_point(|&of| of as usize <= owner);
    start..end
}

/// The rows of a table that belong to some owners: whose each is, and all columns.
#[allow(clippy::type_complexity)]
fn owned_rows(
    piece: &dyn Piece,
    table: Table,
    owners: &Range<usize>,
) -> Result<(Vec<u32>, Vec<(String, Column)>), Damaged> {
    if piece.row_count(table) == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let all = piece.owners(table)?;
    let start = all.partition_point(|&owner| (owner as usize) < owners.start);
    let end = all.partition_point(|&owner| (owner as usize) < owners.end);
    if start == end {
        return Ok((Vec::new(), Vec::new()));
    }
    let names = piece.columns(table)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let read = piece.read(table, start..end, &names)?;
    let columns = names
        .iter()
        .zip(read)
        .filter_map(|(name, column)| Some(((*name).to_owned(), column?)))
        .collect();
    Ok((all[start..end].to_vec(), columns))
}
