//! Operations and the templates of their spans.

use model::wire::{put_bytes_field, put_fixed64_field, put_message, put_varint_field};
use model::{kind, status_code};

use crate::latency::Spread;
use crate::piece::{Draft, PieceId, Pieces};

/// W3C "sampled" and OTLP's "has is-remote" bit (`trace.proto`, `SpanFlags`).
const FLAGS_LOCAL_PARENT: u32 = 0x101;
/// And "is remote".
const FLAGS_REMOTE_PARENT: u32 = 0x301;
/// Tag of two bytes and a fixed32.
pub(crate) const FLAGS_LENGTH: usize = 6;

/// A span, encoded but for ids, times and the holes of its attributes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    /// Ids, name, kind, times and attributes.
    pub(crate) main: PieceId,
    /// The status; empty unless an error.
    pub(crate) status: PieceId,
    /// The exception that an error may start with.
    pub(crate) exception: PieceId,
    /// W3C flags; 0 to leave them out.
    pub(crate) flags: u32,
    /// Where in the piece the start time is.
    pub(crate) start_at: u16,
    /// Length of all that every span of the template has.
    pub(crate) length: u16,
    pub(crate) is_root: bool,
}

/// A place in [`Operations::list`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OperationId(u16);

/// What a service does under one name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// The first of the templates for success; those for failure follow these.
    pub(crate) first_template: u16,
    pub(crate) ok_count: u8,
    pub(crate) scope: u8,
    pub(crate) spread: Spread,
    /// Of the time that is the operation's own.
    pub(crate) median_nano: u32,
}

/// How a span of an operation begins.
pub(crate) struct Head<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: i32,
    pub(crate) is_root: bool,
    pub(crate) sends_flags: bool,
    pub(crate) scope: u8,
    pub(crate) spread: Spread,
    pub(crate) median_nano: u32,
}

/// How a span of an operation fails.
pub(crate) struct Failure<'a> {
    pub(crate) message: &'a str,
    pub(crate) exception: PieceId,
}

/// Whose templates and pieces all operations share.
#[derive(Debug, Clone)]
pub(crate) struct Operations {
    pub(crate) pieces: Pieces,
    pub(crate) templates: Vec<Template>,
    pub(crate) list: Vec<Operation>,
}

impl Operations {
    pub(crate) fn new() -> Self {
        Self { pieces: Pieces::new(), templates: Vec::new(), list: Vec::new() }
    }

    /// Adds an operation. `attributes` writes those of a success by its variant, from 0 to
    /// `ok_count`, and those of a failure when the variant is `None`.
    pub(crate) fn add(
        &mut self,
        head: &Head<'_>,
        ok_count: u8,
        failure: &Failure<'_>,
        attributes: impl Fn(&mut Draft, Option<u8>),
    ) -> OperationId {
        let first_template = self.templates.len() as u16;
        for variant in (0..ok_count).map(Some).chain([None]) {
            let mut draft = Draft::of_span();
            let start_at = put_head(&mut draft.bytes, head);
            attributes(&mut draft, variant);
            let main = self.pieces.add(&draft);
            let failed = variant.is_none();
            let status = if failed { self.status(failure.message) } else { PieceId::default() };
            let flags = match head.kind {
                _ if !head.sends_flags => 0,
                kind::SERVER | kind::CONSUMER if !head.is_root => FLAGS_REMOTE_PARENT,
                _ => FLAGS_LOCAL_PARENT,
            };
            let length = self.pieces.length(main)
                + self.pieces.length(status)
                + if flags == 0 { 0 } else { FLAGS_LENGTH };
            self.templates.push(Template {
                main,
                status,
                exception: if failed { failure.exception } else { PieceId::default() },
                flags,
                start_at,
                length: length as u16,
                is_root: head.is_root,
            });
        }
        self.list.push(Operation {
            first_template,
            ok_count,
            scope: head.scope,
            spread: head.spread,
            median_nano: head.median_nano,
        });
        OperationId((self.list.len() - 1) as u16)
    }

    #[inline]
    pub(crate) fn get(&self, id: OperationId) -> &Operation {
        &self.list[usize::from(id.0)]
    }

    fn status(&mut self, message: &str) -> PieceId {
        let mut draft = Draft::of_span();
        put_message(&mut draft.bytes, 15, |out| {
            put_bytes_field(out, 2, message.as_bytes());
            put_varint_field(out, 3, status_code::ERROR as u64);
        });
        self.pieces.add(&draft)
    }
}

/// Where the ids are in every main piece.
pub(crate) const TRACE_ID_AT: usize = 2;
pub(crate) const SPAN_ID_AT: usize = 20;
pub(crate) const PARENT_ID_AT: usize = 30;
/// From the start time to the end time.
pub(crate) const END_AFTER_START: usize = 9;

/// Appends all fields before the attributes; gives where the start time is.
fn put_head(out: &mut Vec<u8>, head: &Head<'_>) -> u16 {
    put_bytes_field(out, 1, &[0; 16]);
    put_bytes_field(out, 2, &[0; 8]);
    if !head.is_root {
        put_bytes_field(out, 4, &[0; 8]);
    }
    put_bytes_field(out, 5, head.name.as_bytes());
    put_varint_field(out, 6, head.kind as u64);
    put_fixed64_field(out, 7, 0);
    let start_at = out.len() - 8;
    put_fixed64_field(out, 8, 0);
    start_at as u16
}
