//! Lines of a file from a place on, a part at a time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::receivers::budget::{Reservation, Spent};

/// What is read at once, unless a single line is longer.
const PART_BYTES: usize = 1 << 20;

/// What is passed over at once of a line that is too long.
const SKIP_BYTES: u64 = 16 << 20;

/// What there is at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Whole lines, one behind the other.
    Lines(Vec<Line>),
    /// A line that is too long, up to a place; whether it ends there.
    TooLong { to: u64, ended: bool },
    /// The end of the file, and before it a line that is not ended.
    End { rest: Option<Line> },
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it is in the file, its end included.
    pub(super) at: Range<u64>,
    pub(super) bytes: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("too many bytes of requests are in flight")]
    Busy,
}

impl From<Spent> for ReadError {
    fn from(_: Spent) -> Self {
        Self::Busy
    }
}

/// Reads on from a place. Holds one part, or one line of `line_max` bytes at most, which the
/// reservation covers.
pub(super) fn read(
    file: &File,
    offset: u64,
    skipping: bool,
    line_max: usize,
    reservation: &mut Reservation,
) -> Result<Part, ReadError> {
    if skipping {
        return skip(file, offset);
    }
    let mut buffer = Vec::new();
    let mut capacity = PART_BYTES.min(line_max.saturating_add(1));
    loop {
        reservation.resize(capacity)?;
        let searched = buffer.len();
        let is_end = fill(file, offset + searched as u64, &mut buffer, capacity)?;
        if buffer[searched..].contains(&b'\n') {
            return Ok(Part::Lines(lines(offset, buffer.into())));
        }
        if buffer.len() > line_max {
            return Ok(Part::TooLong { to: offset + buffer.len() as u64, ended: false });
        }
        if is_end {
            let at = offset..offset + buffer.len() as u64;
            let rest = (!buffer.is_empty()).then(|| Line { at, bytes: buffer.into() });
            return Ok(Part::End { rest });
        }
        capacity = capacity.saturating_mul(2).min(line_max.saturating_add(1));
    }
}

/// Reads until there are so many bytes; true at the end of the file.
fn fill(file: &File, mut at: u64, buffer: &mut Vec<u8>, capacity: usize) -> io::Result<bool> {
    let mut filled = buffer.len();
    buffer.reserve_exact(capacity - filled);
    buffer.resize(capacity, 0);
    let result = loop {
        if filled == capacity {
            break Ok(false);
        }
        match file.read_at(&mut buffer[filled..], at) {
            Ok(0) => break Ok(true),
            Ok(read) => {
                filled += read;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    buffer.truncate(filled);
    result
}

fn lines(offset: u64, buffer: Bytes) -> Vec<Line> {
    let ends = buffer.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let mut start = 0;
    ends.map(|end| {
        let line = Line {
            at: offset + start as u64..offset + end as u64 + 1,
            bytes: buffer.slice(start..end),
        };
        start = end + 1;
        line
    })
    .collect()
}

fn skip(file: &File, offset: u64) -> Result<Part, ReadError> {
    let mut buffer = Vec::new();
    let mut to = offset;
    while to < offset + SKIP_BYTES {
        buffer.clear();
        let is_end = fill(file, to, &mut buffer, PART_BYTES / 16)?;
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            return Ok(Part::TooLong { to: to + end as u64 + 1, ended: true });
        }
        to += buffer.len() as u64;
        if is_end {
            break;
        }
    }
    Ok(match to == offset {
        true => Part::End { rest: None },
        false => Part::TooLong { to, ended: false },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receivers::ByteBudget;

    fn at(content: &[u8], offset: u64, skipping: bool, line_max: usize) -> Part {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        let budget = ByteBudget::default();
        read(&file, offset, skipping, line_max, &mut budget.reservation()).unwrap()
    }

    fn line(at: Range<u64>, text: &'static str) -> Line {
        Line { at, bytes: Bytes::from_static(text.as_bytes()) }
    }

    #[test]
    fn lines_and_their_places() {
        let lines = |lines| Part::Lines(lines);
        let long = |to, ended| Part::TooLong { to, ended };
        for (content, offset, skipping, line_max, expected) in [
            (&b"ab\ncd\n"[..], 0, false, 9, lines(vec![line(0..3, "ab"), line(3..6, "cd")])),
            (b"ab\n\ncd", 0, false, 9, lines(vec![line(0..3, "ab"), line(3..4, "")])),
            (b"ab\ncd", 3, false, 9, Part::End { rest: Some(line(3..5, "cd")) }),
            (b"ab\n", 3, false, 9, Part::End { rest: None }),
            (b"", 0, false, 9, Part::End { rest: None }),
            (b"abcd", 0, false, 4, Part::End { rest: Some(line(0..4, "abcd")) }),
            (b"abcd\n", 0, false, 4, lines(vec![line(0..5, "abcd")])),
            (b"abcde\n", 0, false, 4, long(5, false)),
            (b"abcde\nf\n", 3, true, 4, long(6, true)),
            (b"abcde", 3, true, 4, long(5, false)),
            (b"abcde", 5, true, 4, Part::End { rest: None }),
        ] {
            let part = at(content, offset, skipping, line_max);
            assert_eq!(part, expected, "{content:?} at {offset}");
        }
    }

    #[test]
    fn a_line_longer_than_a_part_is_read_whole() {
        let mut content = vec![b'x'; 5 * PART_BYTES / 2];
        content.push(b'\n');
        match at(&content, 0, false, 3 * PART_BYTES) {
            Part::Lines(lines) => assert_eq!(lines[0].bytes.len(), 5 * PART_BYTES / 2),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            at(&content, 0, false, 2 * PART_BYTES),
            Part::TooLong { to: 2 * PART_BYTES as u64 + 1, ended: false }
        );
    }

    #[test]
    fn nothing_is_read_that_there_is_no_room_for() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![b'x'; 3 * PART_BYTES], 0).unwrap();
        let budget = ByteBudget::new(2 * PART_BYTES);
        let mut reservation = budget.reservation();
        let part = read(&file, 0, false, 3 * PART_BYTES, &mut reservation);
        assert!(matches!(part, Err(ReadError::Busy)), "{part:?}");
        assert!(reservation.bytes() <= 2 * PART_BYTES);
    }
}
