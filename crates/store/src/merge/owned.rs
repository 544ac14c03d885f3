//! Rows of events, links and rest tables, taken in the order of their owners.

use crate::columns::name;
use crate::piece::{Damaged, TableBatch, TableStream};

/// The rows of a table that belong to owners, front to back.
pub(super) struct Owned {
    stream: Box<dyn TableStream>,
    held: Option<TableBatch>,
    /// Rows given so far.
    given: usize,
}

impl Owned {
    pub(super) fn new(stream: Box<dyn TableStream>) -> Self {
        Self { stream, held: None, given: 0 }
    }

    /// All rows whose owner is before `owner_end` and that were not given yet, and the number of
    /// the first of them.
    pub(super) fn take(&mut self, owner_end: usize) -> Result<(usize, Vec<TableBatch>), Damaged> {
        let first = self.given;
        let mut taken = Vec::new();
        loop {
            let batch = match self.held.take() {
                Some(batch) => batch,
                None => match self.stream.next()? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            let Some(rows) = batch.column(name::ROW).cloned() else { continue };
            let owners = rows.int32s();
            let count = owners.partition_point(|&owner| (owner as usize) < owner_end);
            if count > 0 {
                taken.push(batch.slice(0..count));
                self.given += count;
            }
            if count < batch.rows {
                self.held = Some(batch.slice(count..batch.rows));
                break;
            }
        }
        Ok((first, taken))
    }
}
