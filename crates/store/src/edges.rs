//! Who calls whom: pairs of services, counted from the spans and their parents.
//!
//! A parent in the same piece is an array access (`parent_distance`). The few spans whose parent is
//! not in their piece are looked for in the others.

use std::ops::Range;

use hashbrown::HashMap;
use model::{TraceId, kind, status_code};

use crate::column::Column;
use crate::columns::{Table, name};
use crate::piece::{Damaged, Piece};
use crate::search::View;
use crate::summary::TraceIndex;

/// Spans whose parents are looked for together: 50 megabytes.
const ORPHANS_MAX: usize = 1_000_000;

/// Traces of other pieces that a query reads at the most in search of parents: some seconds' work.
const TRACE_READS_MAX: usize = 200_000;

/// The spans to be counted, by start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeRequest {
    /// The earliest start, nanoseconds since the epoch.
    pub start_unix_nano: u64,
    /// The start must be before this, nanoseconds since the epoch.
    pub end_unix_nano: u64,
}

/// Calls from one service to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeRow {
    /// The service that calls; empty when its resource has no name.
    pub parent: String,
    /// The service that is called.
    pub child: String,
    /// Spans of the one whose parent is of the other. Inside one service only those count that
    /// answer a call, being of kind server or consumer.
    pub call_count: u64,
    /// Those with status error.
    pub error_count: u64,
}

/// The answer to an [`EdgeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EdgeSet {
    /// By parent, then by child.
    pub edges: Vec<EdgeRow>,
    /// A damaged block was left out, or parents in other pieces were too many to be looked for.
    pub partial: bool,
}

/// Counts the calls.
pub(crate) fn edges(view: &mut View, request: &EdgeRequest) -> EdgeSet {
    let mut counter = Counter::default();
    for piece in view.pieces.clone() {
        let counted = counter.count_piece(piece.as_ref(), request);
        view.note(counted);
        if counter.orphans.len() >= ORPHANS_MAX {
            counter.find_parents(view);
        }
    }
    counter.find_parents(view);
    counter.finish(view.is_partial())
}

#[derive(Default)]
struct Counter {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Calls and errors by the numbers of two services.
    counts: HashMap<(u32, u32), (u64, u64)>,
    orphans: Vec<Orphan>,
    trace_reads: usize,
    gave_up: bool,
}

/// A span whose parent is not in its piece.
struct Orphan {
    trace: u128,
    id: u64,
    parent: u64,
    call: Call,
}

/// What counts of a span that was called.
#[derive(Clone, Copy)]
struct Call {
    service: u32,
    kind: i32,
    is_error: bool,
}

impl Counter {
    fn number(&mut self, service: &str) -> u32 {
        if let Some(&number) = self.numbers.get(service) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(service.to_owned());
        self.numbers.insert(service.to_owned(), number);
        number
    }

    /// The number of each scope's service.
    fn services(&mut self, piece: &dyn Piece) -> Result<Vec<u32>, Damaged> {
        Ok(piece.scopes()?.iter().map(|row| self.number(row.service())).collect())
    }

    fn add(&mut self, parent: u32, call: Call) {
        if parent != call.service || [kind::SERVER, kind::CONSUMER].contains(&call.kind) {
            let counts = self.counts.entry((parent, call.service)).or_default();
            counts.0 += 1;
            counts.1 += u64::from(call.is_error);
        }
    }

    /// Counts a piece's calls, and notes the spans whose parent may be in another.
    fn count_piece(&mut self, piece: &dyn Piece, request: &EdgeRequest) -> Result<(), Damaged> {
        let (first, last) = (request.start_unix_nano, request.end_unix_nano.saturating_sub(1));
        let ranges = piece.start_ranges();
        if request.end_unix_nano <= first || !ranges.overlap(first, last) {
            return Ok(());
        }
        let services = self.services(piece)?;
        let traces = piece.index()?;
        let all_fit = ranges.inside(first, last);
        for rows in piece.groups(Table::Spans)? {
            let read = |column: &str| read(piece, rows.clone(), column);
            let distances = read(name::PARENT_DISTANCE)?;
            let (scopes, kinds) = (read(name::SCOPE)?, read(name::KIND)?);
            let statuses = read(name::STATUS)?;
            let (Some(distances), Some(scopes)) = (distances, scopes) else { continue };
            let (Some(kinds), Some(statuses)) = (kinds, statuses) else { continue };
            let fits = if all_fit {
                None
            } else {
                read(name::START)?.map(|starts| inside(&traces, &starts, &rows, first..=last))
            };
            let fits = |at: usize| fits.as_ref().is_none_or(|fits| fits[at]);
            let call = |at: usize| Call {
                service: services.get(scopes.int32s()[at] as usize).copied().unwrap_or(0),
                kind: kinds.int32s()[at],
                is_error: statuses.int32s()[at] == status_code::ERROR,
            };
            let parents = ParentScopes::read(piece, &rows, distances.int32s(), &scopes)?;
            for (at, &distance) in distances.int32s().iter().enumerate() {
                if distance != 0 && fits(at) {
                    let scope = parents.scope(rows.start + at, distance);
                    let parent = scope.and_then(|scope| services.get(scope as usize));
                    parent.copied().into_iter().for_each(|parent| self.add(parent, call(at)));
                }
            }
            let Some(parents) = read(name::PARENT_SPAN_ID)? else { continue };
            let Some(ids) = read(name::SPAN_ID)? else { continue };
            for (at, &parent) in parents.rows_present().zip(parents.id8s()) {
                if parent != 0 && distances.int32s()[at] == 0 && fits(at) {
                    let trace = traces.ids[traces.trace_of_row((rows.start + at) as u32)];
                    let (id, call) = (ids.id8_at(at), call(at));
                    self.orphans.push(Orphan { trace, id, parent, call });
                }
            }
        }
        Ok(())
    }

    /// Counts the orphans whose parent is in any piece, and forgets the others.
    fn find_parents(&mut self, view: &mut View) {
        let mut orphans = std::mem::take(&mut self.orphans);
        orphans.sort_unstable_by_key(|orphan| orphan.trace);
        for piece in view.pieces.clone() {
            let found = self.find_in(piece.as_ref(), &mut orphans);
            view.note(found);
        }
    }

    /// Counts and takes out those whose parent is in this piece. They are sorted by trace.
    fn find_in(&mut self, piece: &dyn Piece, orphans: &mut Vec<Orphan>) -> Result<(), Damaged> {
        let traces = piece.index()?;
        // Which orphans, and the rows of their trace.
        let mut shared: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let mut at = 0;
        for same in orphans.chunk_by(|a, b| a.trace == b.trace) {
            let id = TraceId::from_number(same[0].trace);
            let place = if piece.may_hold(id) { traces.find(id) } else { None };
            shared.extend(place.map(|place| (at..at + same.len(), traces.rows(place))));
            at += same.len();
        }
        let rows: usize = shared.iter().map(|(_, rows)| rows.len()).sum();
        if rows == 0 {
            return Ok(());
        }
        let services = self.services(piece)?;
        // Where much of a piece is asked for, reading all of it costs less.
        let all = if rows >= piece.span_count() / 8 {
            Parents::read(piece, 0..piece.span_count())?
        } else {
            None
        };
        let mut is_found = vec![false; orphans.len()];
        for (some, rows) in shared {
            let own = match &all {
                Some(_) => None,
                None if self.trace_reads >= TRACE_READS_MAX => {
                    self.gave_up = true;
                    break;
                }
                None => {
                    self.trace_reads += 1;
                    Parents::read(piece, rows.clone())?
                }
            };
            let Some(parents) = all.as_ref().or(own.as_ref()) else { continue };
            let by_id = parents.by_id(rows);
            for at in some {
                let orphan = &orphans[at];
                let parent = by_id.get(&orphan.parent).copied().filter(|&row| {
                    // A span that names itself, sent twice, is no parent of its own.
                    orphan.id != orphan.parent || parents.kind(row) != orphan.call.kind
                });
                let service = parent.and_then(|row| services.get(parents.scope(row) as usize));
                if let Some(&service) = service {
                    let call = orphan.call;
                    self.add(service, call);
                    is_found[at] = true;
                }
            }
        }
        let mut is_found = is_found.into_iter();
        orphans.retain(|_| !is_found.next().unwrap_or(false));
        Ok(())
    }

    fn finish(self, partial: bool) -> EdgeSet {
        let name = |number: u32| self.names[number as usize].clone();
        let mut edges: Vec<EdgeRow> = self
            .counts
            .iter()
            .map(|(&(parent, child), &(call_count, error_count))| EdgeRow {
                parent: name(parent),
                child: name(child),
                call_count,
                error_count,
            })
            .collect();
        edges.sort_by(|a, b| (&a.parent, &a.child).cmp(&(&b.parent, &b.child)));
        EdgeSet { edges, partial: partial || self.gave_up }
    }
}

/// Rows of a piece among which parents are looked for.
struct Parents {
    first: usize,
    ids: Column,
    scopes: Column,
    kinds: Column,
}

impl Parents {
    fn read(piece: &dyn Piece, rows: Range<usize>) -> Result<Option<Self>, Damaged> {
        let first = rows.start;
        let columns = [name::SPAN_ID, name::SCOPE, name::KIND];
        let mut read = piece.read(Table::Spans, rows, &columns)?.into_iter();
        let mut next = || read.next().flatten();
        let (Some(ids), Some(scopes), Some(kinds)) = (next(), next(), next()) else {
            return Ok(None);
        };
        Ok(Some(Self { first, ids, scopes, kinds }))
    }

    /// The first row of each span id.
    fn by_id(&self, rows: Range<usize>) -> HashMap<u64, usize> {
        let mut by_id = HashMap::with_capacity(rows.len());
        for row in rows {
            by_id.entry(self.ids.id8_at(row - self.first)).or_insert(row);
        }
        by_id
    }

    fn scope(&self, row: usize) -> i32 {
        self.scopes.int32_at(row - self.first)
    }

    fn kind(&self, row: usize) -> i32 {
        self.kinds.int32_at(row - self.first)
    }
}

fn read(piece: &dyn Piece, rows: Range<usize>, column: &str) -> Result<Option<Column>, Damaged> {
    Ok(piece.read(Table::Spans, rows, &[column])?.pop().flatten())
}

/// Which rows of a group start in a range.
fn inside(
    traces: &TraceIndex,
    starts: &Column,
    rows: &Range<usize>,
    range: std::ops::RangeInclusive<u64>,
) -> Vec<bool> {
    let mut trace = traces.trace_of_row(rows.start as u32);
    let offsets = starts.int64s().iter().enumerate();
    offsets
        .map(|(at, &offset)| {
            while traces.first_row[trace + 1] as usize <= rows.start + at {
                trace += 1;
            }
            range.contains(&traces.start[trace].wrapping_add(offset as u64))
        })
        .collect()
}

/// The scopes of the rows that the parents of a group's spans are in: the group's own, and those
/// beside it that the traces at its ends reach into.
struct ParentScopes {
    first: usize,
    scopes: Column,
}

impl ParentScopes {
    fn read(
        piece: &dyn Piece,
        rows: &Range<usize>,
        distances: &[i32],
        own: &Column,
    ) -> Result<Self, Damaged> {
        let (mut first, mut end) = (rows.start, rows.end);
        for (at, &distance) in distances.iter().enumerate() {
            let parent = (rows.start + at) as i64 - i64::from(distance);
            first = first.min(parent.max(0) as usize);
            end = end.max(parent.max(0) as usize + 1);
        }
        end = end.min(piece.span_count());
        if (first, end) == (rows.start, rows.end) {
            return Ok(Self { first, scopes: own.clone() });
        }
        let scopes = read(piece, first..end, name::SCOPE)?.unwrap_or_else(|| own.clone());
        Ok(Self { first, scopes })
    }

    fn scope(&self, row: usize, distance: i32) -> Option<i32> {
        let parent = row as i64 - i64::from(distance);
        let at = usize::try_from(parent).ok()?.checked_sub(self.first)?;
        self.scopes.int32s().get(at).copied()
    }
}
