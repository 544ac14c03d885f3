//! Structured filters of api_v3 (Jaeger's RFC 0005): a tree of operators over a span's attributes
//! and fields.
//!
//! [`check`] makes a [`Predicate`] of what came over the wire, or says which part of it is wrong.
//! [`eval`] decides it for a span; [`columns`] says in TraceQL what all spans that meet it meet, so
//! that the store finds the traces worth a look.

mod check;
mod columns;
mod eval;
mod field;
mod json;

use traceql::{CompareOp, Pattern};

pub(super) use check::check;
pub(super) use columns::{Bounds, anywhere, attribute, compare, equal_text};
pub(super) use json::call_of;

use field::Field;

/// How deep calls nest at the most, the outermost counted.
const DEPTH_MAX: usize = 20;

/// Expressions and elements of lists of one filter.
const PARTS_MAX: usize = 2_000;

/// Regular expressions of one filter, as of a query in TraceQL: each may take half a megabyte.
const PATTERNS_MAX: usize = 100;

/// The operators, as a server tells which it knows.
pub(super) const OPERATORS: [&str; 16] = [
    "and", "or", "not", "eq", "ne", "gt", "lt", "gte", "lte", "regex", "exists", "in", "not_in",
    "some", "phrase", "fulltext",
];

/// The levels, likewise.
pub(super) const LEVELS: [&str; 5] = ["span", "resource", "scope", "event", "link"];

/// What a span meets or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    /// An event, or a link, for which it holds.
    Some(Many, Box<Predicate>),
    /// `!=` holds when there are values on both sides and none are equal, all else when any two do.
    Compare {
        op: CompareOp,
        left: Operand,
        right: Operand,
    },
    /// Matches anywhere in the text.
    Matches(Reference, Pattern),
    Exists(Reference),
    In {
        value: Reference,
        list: Vec<Constant>,
        negated: bool,
    },
    /// Words in a text, whatever the case: next to one another if it is a phrase.
    Words {
        value: Reference,
        words: Vec<String>,
        is_phrase: bool,
    },
}

/// What a span has several of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    Events,
    Links,
}

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Reference(Reference),
    Constant(Constant),
}

/// A value that a span has or may have.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reference {
    Attribute {
        /// Of the span or its resource when `None`.
        level: Option<Level>,
        key: String,
    },
    Field(Field),
}

/// Where attributes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Span,
    Resource,
    Scope,
    Event,
    Link,
}

impl Level {
    const ALL: [Self; 5] = [Self::Span, Self::Resource, Self::Scope, Self::Event, Self::Link];

    fn name(self) -> &'static str {
        LEVELS[self as usize]
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// A constant, read as what it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    /// Of no declared type: read as whatever value it meets.
    Any(String),
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Nanoseconds.
    Duration(i128),
    /// Nanoseconds since the epoch.
    Instant(u64),
}
