//! Where a page of results ended, as text for a client to hand back.

use model::TraceId;
use store::Position;

/// The text is no cursor of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor; use next_cursor of the page before, unchanged")]
pub struct CursorError;

/// The text for a position.
pub fn encode_cursor(position: Position) -> String {
    format!("{:x}-{}", position.start_unix_nano, position.trace_id)
}

/// The position of a text.
pub fn decode_cursor(text: &str) -> Result<Position, CursorError> {
    let (start, id) = text.split_once('-').ok_or(CursorError)?;
    if id.len() != 32 || start.starts_with('+') {
        return Err(CursorError);
    }
    let start_unix_nano = u64::from_str_radix(start, 16).map_err(|_| CursorError)?;
    let trace_id: TraceId = id.parse().map_err(|_| CursorError)?;
    Ok(Position { start_unix_nano, trace_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went() {
        for start_unix_nano in [0, 1, u64::MAX] {
            let position = Position { start_unix_nano, trace_id: TraceId([7; 16]) };
            assert_eq!(decode_cursor(&encode_cursor(position)), Ok(position));
        }
        for text in ["", "-", "1", "+1-00000000000000000000000000000001", "x-y", "1-é"] {
            assert_eq!(decode_cursor(text), Err(CursorError), "{text}");
        }
    }
}
