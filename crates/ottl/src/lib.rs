//! OTTL, the OpenTelemetry Transformation Language, for traces: the text of a statement or
//! condition becomes a checked tree, or an error that says where and why; the tree runs on
//! anything that is a [`Target`].
//!
//! Knows nothing of how spans are kept, of storage, HTTP or configuration. Texts are hostile: their
//! length, the depth of their trees and the size of their patterns are bounded, and neither a text
//! nor an item makes anything here panic. What is wrong whatever the item says (a name, a number of
//! arguments, a pattern, an expression of constants that fails) is found when a text is parsed; the
//! rest is an [`EvalError`] with its place in the text. Whether such errors are ignored is the
//! caller's matter.
//!
//! The language is that of the Collector's `pkg/ottl`; `functions/missing.rs` names what is left
//! out of it.
//!
//! ```
//! use ottl::{Context, ErrorKind, parse_statement};
//!
//! let text = "set(span.attributes[\"slow\"], true) where span.end_time - span.start_time > Duration(\"1s\")";
//! let statement = parse_statement(text, Context::Span).unwrap();
//! assert_eq!(statement.editor(), "set");
//!
//! let text = "delete_keys(span.attributes, \"a\")";
//! let error = parse_statement(text, Context::Span).unwrap_err();
//! assert_eq!((error.kind, error.line, error.column), (ErrorKind::Validation, 1, 1));
//! assert_eq!(error.message, "there is no editor delete_keys; did you mean delete_key?");
//! ```

mod compare;
mod error;
mod eval;
mod functions;
mod lexer;
mod math;
mod networks;
mod parser;
mod path;
mod pattern;
mod suggest;
mod target;
mod timeformat;
mod times;
mod tree;
mod value;

pub use error::{Error, ErrorKind, EvalError};
pub use eval::{Evaluator, Host, SystemHost};
pub use parser::{DEPTH_MAX, TEXT_BYTES_MAX, infer_context, parse_condition, parse_statement};
pub use path::{
    ClientField, Context, EventField, Field, Key, Path, ResourceField, ScopeField, SpanField,
};
pub use pattern::from_re2;
pub use target::{Put, Refusal, Target};
pub use tree::{Condition, Statement};
pub use value::{Kind, Map, Value};
