//! TraceQL: the text of a query becomes a checked tree, or an error that says where and why.
//!
//! Knows nothing of storage, HTTP or how a query runs; `docs/traceql.md` describes the language.
//! Texts are hostile: their length, the depth of their trees and the size of their patterns are
//! bounded, and no text makes anything here panic.
//!
//! ```
//! let query = traceql::parse("{ .http.route = \"/cart\" && duration > 1s } | count() > 2").unwrap();
//! assert_eq!(query.to_string(), "{ (.http.route = `/cart`) && (duration > 1s) } | count() > 2");
//!
//! let error = traceql::parse("{ durations > 1s }").unwrap_err();
//! assert_eq!((error.line, error.column), (1, 3));
//! ```

mod ast;
mod check;
mod error;
mod fold;
mod lenient;
mod lexer;
mod parser;
mod pattern;
mod print;
mod suggest;

pub use ast::*;
pub use error::{Error, ErrorKind};
pub use lenient::lenient;
pub use parser::{DEPTH_MAX, QUERY_BYTES_MAX, attribute, parse};
pub use pattern::Pattern;
