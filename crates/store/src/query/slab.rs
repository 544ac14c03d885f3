//! Rows of a piece that a query looks at together: whole traces, a row group or a few.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::mask::Mask;
use super::probe::Probe;
use super::value::{Val, attribute_at};
use crate::column::{Column, Values};
use crate::columns::{Table, attribute_column, name};
use crate::piece::{Damaged, Piece};
use crate::scan::length;
use crate::scopes::ScopeRow;
use crate::summary::{TraceIndex, TraceTable};
use crate::types::ValueType;

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// Values without a column: row and value, by row.
type Extra = Vec<(u32, Val)>;

/// Attributes that have no column of their own: the row that each belongs to, and their columns.
type Rest = (Vec<u32>, Vec<Option<Column>>);

/// Rows of one table, and its columns as far as they were asked for.
pub(super) struct Rows<'a> {
    piece: &'a dyn Piece,
    probe: &'a Probe,
    table: Table,
    rows: Range<usize>,
    /// Of events and links: the row of the span in the slab that each belongs to.
    pub(super) owners: Vec<u32>,
    columns: RefCell<HashMap<String, Option<Column>>>,
    extras: RefCell<HashMap<String, Rc<Extra>>>,
    rest: OnceCell<Rest>,
}

impl<'a> Rows<'a> {
    /// All rows of the table that belong to these spans.
    fn owned(
        piece: &'a dyn Piece,
        table: Table,
        spans: &Range<usize>,
        probe: &'a Probe,
    ) -> Result<Self, Damaged> {
        let (rows, owners) = if piece.row_count(table) == 0 {
            (0..0, Vec::new())
        } else {
            let all = piece.owners(table)?;
            let start = all.partition_point(|&owner| (owner as usize) < spans.start);
            let end = all.partition_point(|&owner| (owner as usize) < spans.end);
            let owners = all[start..end].iter().map(|&owner| owner - spans.start as u32).collect();
            (start..end, owners)
        };
        let mut all = Self::plain(piece, table, rows, probe);
        all.owners = owners;
        Ok(all)
    }

    fn plain(piece: &'a dyn Piece, table: Table, rows: Range<usize>, probe: &'a Probe) -> Self {
        let (columns, extras, rest) = Default::default();
        Self { piece, probe, table, rows, owners: Vec::new(), columns, extras, rest }
    }

    /// Columns of some rows of a table, noted as read.
    fn read(
        &self,
        table: Table,
        rows: Range<usize>,
        names: &[&str],
    ) -> Result<Vec<Option<Column>>, Damaged> {
        let read = |name: &&str| {
            let read = || self.piece.read(table, rows.clone(), &[name]);
            Ok(self.probe.reading(table, name, rows.len(), read)?.pop().flatten())
        };
        names.iter().map(read).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A column; `None` when the piece does not have it.
    pub(super) fn column(&self, name: &str) -> Result<Option<Column>, Damaged> {
        if let Some(column) = self.columns.borrow().get(name) {
            return Ok(column.clone());
        }
        let column = if self.rows.is_empty() || !self.piece.has_column(self.table, name)? {
            None
        } else {
            self.read(self.table, self.rows.clone(), &[name])?.pop().flatten()
        };
        self.columns.borrow_mut().insert(name.to_owned(), column.clone());
        Ok(column)
    }

    /// The columns of an attribute, by type, that can satisfy an equality with this text if there
    /// is one.
    pub(super) fn attribute(
        &self,
        key: &str,
        equal_text: Option<&str>,
    ) -> Result<Vec<(ValueType, Column)>, Damaged> {
        let mut columns = Vec::new();
        for value_type in ValueType::ALL {
            let name = attribute_column(value_type, key);
            let skip = match (value_type, equal_text) {
                (_, None) | (ValueType::Any, _) => false,
                (ValueType::String, Some(text)) => !self.may_contain(&name, text)?,
                _ => true,
            };
            if !skip && let Some(column) = self.column(&name)? {
                columns.push((value_type, column));
            }
        }
        Ok(columns)
    }

    /// False only when no row has that text in that column.
    pub(super) fn may_contain(&self, column: &str, text: &str) -> Result<bool, Damaged> {
        if self.columns.borrow().contains_key(column) {
            return Ok(true);
        }
        let groups = self.piece.groups(self.table)?;
        Ok(groups.into_iter().enumerate().any(|(group, rows)| {
            rows.start < self.rows.end
                && rows.end > self.rows.start
                && self.piece.may_contain(self.table, group, column, text)
        }))
    }

    /// The attributes that have no column, by key.
    pub(super) fn rest_keys(&self) -> Result<HashSet<String>, Damaged> {
        self.rest_keys_where(|_| true)
    }

    /// The attributes that have no column and belong to a row for which this holds, by key.
    pub(super) fn rest_keys_where(
        &self,
        holds: impl Fn(usize) -> bool,
    ) -> Result<HashSet<String>, Damaged> {
        let table = self.table.rest();
        if self.piece.row_count(table) == 0 || self.rows.is_empty() {
            return Ok(HashSet::new());
        }
        let owners = self.piece.owners(table)?;
        let rows = self.rest_rows(&owners);
        let owners = owners.get(rows.clone()).unwrap_or_default();
        let keys = self.read(table, rows, &[name::KEY])?.pop().flatten();
        let Some(keys) = keys else { return Ok(HashSet::new()) };
        let Some((codes, texts)) = keys.codes() else { return Ok(HashSet::new()) };
        let held = |(_, owner): &(&u32, &u32)| holds(**owner as usize - self.rows.start);
        let codes: HashSet<u32> =
            codes.iter().zip(owners).filter(held).map(|(&code, _)| code).collect();
        Ok(codes.into_iter().map(|code| texts.text(code).to_owned()).collect())
    }

    /// The attributes of these rows that have no column, unless the key is not among them: of each
    /// the row it belongs to, and all as columns, of keys and of values by type.
    fn rest_with(&self, key: &str) -> Result<Option<&Rest>, Damaged> {
        let table = self.table.rest();
        if self.piece.row_count(table) == 0 || self.rows.is_empty() {
            return Ok(None);
        }
        let mut groups = self.piece.groups(table)?.into_iter().enumerate();
        if !groups.any(|(group, _)| self.piece.may_contain(table, group, name::KEY, key)) {
            return Ok(None);
        }
        let rest = once(&self.rest, || {
            let all = self.piece.owners(table)?;
            let rows = self.rest_rows(&all);
            let own = all.get(rows.clone()).unwrap_or_default().iter();
            let owners: Vec<u32> = own.map(|&owner| owner - self.rows.start as u32).collect();
            let types = ValueType::ALL.iter().map(|value_type| value_type.name());
            let names: Vec<&str> = std::iter::once(name::KEY).chain(types).collect();
            Ok((owners, self.read(table, rows, &names)?))
        })?;
        Ok(Some(rest).filter(|(owners, _)| !owners.is_empty()))
    }

    /// The rows of the table of attributes without a column that belong to these.
    fn rest_rows(&self, owners: &[u32]) -> Range<usize> {
        let start = owners.partition_point(|&owner| (owner as usize) < self.rows.start);
        start..owners.partition_point(|&owner| (owner as usize) < self.rows.end)
    }

    /// Values of an attribute that have no column: row and value, by row.
    pub(super) fn extra(&self, key: &str) -> Result<Rc<Extra>, Damaged> {
        if let Some(extra) = self.extras.borrow().get(key) {
            return Ok(extra.clone());
        }
        let mut found = Vec::new();
        if let Some((owners, columns)) = self.rest_with(key)?
            && let Some(keys) = &columns[0]
            && let Some((codes, texts)) = keys.codes()
        {
            let is_key: Vec<bool> = texts.iter().map(|text| text == key.as_bytes()).collect();
            let rows = keys.rows_present().zip(codes).filter(|(_, code)| is_key[**code as usize]);
            for (row, _) in rows {
                for (value_type, column) in ValueType::ALL.iter().zip(&columns[1..]) {
                    let Some(column) = column else { continue };
                    if let Some(at) = column.place(row) {
                        found.push((owners[row], attribute_at(*value_type, column.values(), at)));
                    }
                }
            }
        }
        let found = Rc::new(found);
        self.extras.borrow_mut().insert(key.to_owned(), found.clone());
        Ok(found)
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        self.columns.get_mut().drain().filter_map(|(_, column)| column).for_each(Column::reuse);
    }
}

/// Whole traces of a piece.
pub(super) struct Slab<'a> {
    pub(super) piece: &'a dyn Piece,
    pub(super) probe: &'a Probe,
    /// Rows of the piece.
    pub(super) rows: Range<usize>,
    pub(super) table: Arc<TraceIndex>,
    /// The traces, by their place in the table.
    pub(super) traces: Range<usize>,
    pub(super) scopes: Arc<Vec<Arc<ScopeRow>>>,
    pub(super) spans: Rows<'a>,
    events: OnceCell<Rows<'a>>,
    links: OnceCell<Rows<'a>>,
    parents: OnceCell<Vec<u32>>,
    trace_of: OnceCell<Vec<u32>>,
    facts: OnceCell<Arc<TraceTable>>,
}

impl<'a> Slab<'a> {
    pub(super) fn new(
        piece: &'a dyn Piece,
        rows: Range<usize>,
        probe: &'a Probe,
    ) -> Result<Self, Damaged> {
        let table = piece.index()?;
        let traces = if rows.is_empty() {
            0..0
        } else {
            table.trace_of_row(rows.start as u32)..table.trace_of_row(rows.end as u32 - 1) + 1
        };
        Ok(Self {
            piece,
            probe,
            spans: Rows::plain(piece, Table::Spans, rows.clone(), probe),
            rows,
            table,
            traces,
            scopes: piece.scopes()?,
            events: OnceCell::new(),
            links: OnceCell::new(),
            parents: OnceCell::new(),
            trace_of: OnceCell::new(),
            facts: OnceCell::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn events(&self) -> Result<&Rows<'a>, Damaged> {
        once(&self.events, || Rows::owned(self.piece, Table::Events, &self.rows, self.probe))
    }

    pub(super) fn links(&self) -> Result<&Rows<'a>, Damaged> {
        once(&self.links, || Rows::owned(self.piece, Table::Links, &self.rows, self.probe))
    }

    /// All that is known of the traces.
    pub(super) fn facts(&self) -> Result<&Arc<TraceTable>, Damaged> {
        once(&self.facts, || self.piece.traces())
    }

    /// The rows of a trace in the slab.
    pub(super) fn trace_rows(&self, trace: usize) -> Range<usize> {
        let rows = self.table.rows(trace);
        rows.start - self.rows.start..rows.end - self.rows.start
    }

    /// All rows of a row's trace.
    pub(super) fn rows_beside(&self, row: u32) -> Range<usize> {
        self.trace_rows(self.table.trace_of_row(row + self.rows.start as u32))
    }

    /// The trace of each row, by its place in the table.
    pub(super) fn trace_of(&self) -> &[u32] {
        self.trace_of.get_or_init(|| {
            let mut of = Vec::with_capacity(self.len());
            for trace in self.traces.clone() {
                of.resize(of.len() + self.table.rows(trace).len(), trace as u32);
            }
            of
        })
    }

    /// A column that every span has.
    pub(super) fn required(&self, name: &str) -> Result<Column, Damaged> {
        let column = self.spans.column(name)?.filter(|column| column.present().is_none());
        column.ok_or_else(|| Damaged {
            block: self.piece.id().to_owned(),
            reason: format!("its spans lack the column {name}"),
        })
    }

    /// The row of each span's parent in the slab, [`NONE`] where it has none here.
    pub(super) fn parents(&self) -> Result<&Vec<u32>, Damaged> {
        once(&self.parents, || {
            let distances = self.required(name::PARENT_DISTANCE)?;
            let row = |(row, &distance): (usize, &i32)| match distance {
                0 => NONE,
                _ => u32::try_from(row as i64 - i64::from(distance)).unwrap_or(NONE),
            };
            let parents: Vec<u32> = distances.int32s().iter().enumerate().map(row).collect();
            let len = self.len() as u32;
            Ok(parents.into_iter().map(|row| if row < len { row } else { NONE }).collect())
        })
    }

    /// The id of a span's parent, 0 where it names none.
    pub(super) fn parent_id(&self, row: usize) -> Result<u64, Damaged> {
        match self.parents()?[row] {
            NONE => Ok(self.spans.column(name::PARENT_SPAN_ID)?.map_or(0, |ids| ids.id8_at(row))),
            parent => Ok(self.required(name::SPAN_ID)?.id8_at(parent as usize)),
        }
    }

    /// When a span starts.
    pub(super) fn start(&self, row: usize) -> Result<u64, Damaged> {
        let trace = self.trace_of()[row] as usize;
        let offset = self.required(name::START)?.int64_at(row);
        Ok(self.table.start[trace].wrapping_add(offset as u64))
    }

    /// How long each span takes, in nanoseconds, as the language counts: at most 2^63 - 1.
    pub(super) fn durations(&self) -> Result<Column, Damaged> {
        let stored = self.required(name::DURATION)?;
        // One is negative if their bits together are.
        if stored.int64s().iter().fold(0, |bits, nanos| bits | nanos) >= 0 {
            return Ok(stored);
        }
        let nanos = |(row, nanos): (usize, &i64)| match *nanos < 0 {
            true => Ok(i64::try_from(length(self.start(row)?, *nanos)).unwrap_or(i64::MAX)),
            false => Ok(*nanos),
        };
        let values = stored.int64s().iter().enumerate().map(nanos);
        Ok(Column::full(Values::Int64(values.collect::<Result<_, Damaged>>()?)))
    }

    /// How long a span takes, in nanoseconds.
    pub(super) fn duration(&self, row: usize) -> Result<u64, Damaged> {
        Ok(length(self.start(row)?, self.required(name::DURATION)?.int64_at(row)))
    }

    /// The rows of traces for which this holds.
    pub(super) fn rows_of_traces(&self, holds: impl Fn(usize) -> bool) -> Mask {
        let mut mask = Mask::none(self.len());
        for trace in self.traces.clone() {
            if holds(trace) {
                self.trace_rows(trace).for_each(|row| mask.set(row));
            }
        }
        mask
    }
}

pub(super) fn once<T>(
    cell: &OnceCell<T>,
    make: impl FnOnce() -> Result<T, Damaged>,
) -> Result<&T, Damaged> {
    if cell.get().is_none() {
        // Empty as it was just found.
        let _ = cell.set(make()?);
    }
    cell.get().ok_or_else(|| Damaged { block: String::new(), reason: "not read".to_owned() })
}
