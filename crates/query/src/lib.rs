//! What a request asks of a [`store::Store`], from the texts that people and programs write:
//! conditions, durations, times, cursors.
//!
//! Knows nothing of HTTP or of how spans are stored. TraceQL will live beside the plain search of
//! this version.

mod cursor;
mod search;
mod text;

pub use cursor::{CursorError, decode_cursor, encode_cursor};
pub use search::{SearchError, SearchTexts, SeriesTexts};
pub use text::{
    TextError, number_length, parse_attribute, parse_duration_nano, parse_time_unix_nano, scaled,
};
