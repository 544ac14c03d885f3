//! The OpenTelemetry Collector's configuration: files become a checked document in which every
//! value knows its place, and errors read as a compiler's.
//!
//! Knows the Collector's model (sections, ids, pipelines, references, merging, expansion) and
//! nothing of what components do: who may be named comes in as a table ([`Known`]), and settings are
//! read by the components' own code through [`Reader`]. Files are foreign: length, depth, aliases
//! and expansion are bounded, and no text makes anything here panic. What environment variables
//! hold is never shown.

mod diagnostic;
mod diff;
mod document;
mod expand;
mod id;
mod known;
mod load;
mod merge;
mod node;
mod print;
mod reader;
mod reference;
mod scalar;
mod secret;
mod source;
mod suggest;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use diff::{Change, Changes, diff};
pub use document::{Component, Document, Pipeline, Reference, Service};
pub use expand::{EXPANDED_BYTES_MAX, REFERENCES_MAX, REWRITES_MAX};
pub use id::{Id, PipelineId, Section, Signal};
pub use known::{Kind, Known, Status};
pub use load::{Request, load};
pub use node::{Entry, Key, Map, Node, Value};
pub use print::{Format, Secrets, print};
pub use reader::{Field, Reader};
pub use secret::{REDACTED, Secret};
pub use source::{Outside, Source, SourceId, Sources, Span, System, TEXT_BYTES_MAX, read_file};
pub use yaml::{DEPTH_MAX, NODES_MAX};
