//! What a request asks of a [`store::Store`], from the texts that people and programs write:
//! conditions, durations, times, cursors; and what TraceQL's metrics need beyond what the store
//! counts.
//!
//! Knows nothing of HTTP or of how spans are stored.

mod cursor;
pub mod metrics;
pub mod promql;
mod search;
mod text;
mod values;

pub use cursor::{CursorError, decode_cursor, encode_cursor};
pub use search::{SearchError, SearchTexts, SeriesTexts};
pub use text::{
    TextError, number_length, parse_attribute, parse_duration_nano, parse_time_unix_nano, scaled,
};
pub use values::{duration_text, static_text};
