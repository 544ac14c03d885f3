//! Documents of any format, decoded one by one.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use model::SpanBatch;

use super::formats::{Format, HEAD_BYTES, detect};
use super::frames::{Frames, is_json};
use super::lines::Lines;
use super::report::{Place, Position};
use super::source::Source;
use crate::text::io_error;

/// A document, or why it is none.
#[derive(Debug)]
pub struct Document {
    /// Where it starts, or where it is wrong.
    pub place: Place,
    /// Its spans.
    pub content: Result<SpanBatch, Fault>,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What; the same for all documents with the same fault.
    pub reason: String,
    /// The field at fault, or nothing.
    pub field: String,
}

/// Reads the documents of a file.
pub struct Documents {
    file: Rc<str>,
    content: Content,
}

enum Content {
    Text(Lines<Source>),
    Frames(Frames<Source>),
    /// What is left after a fault that nothing can be read behind.
    Nothing,
    Refused(String),
}

impl Documents {
    /// The documents of a file that is called `file` where it has to be named.
    pub fn new(file: &str, mut source: Source) -> Self {
        let format = source.head(HEAD_BYTES).map(detect);
        let content = match format {
            Ok(Ok(Format::Json)) => Content::Text(Lines::new(source)),
            Ok(Ok(format)) => Content::Frames(Frames::new(source, format)),
            Ok(Err(reason)) => Content::Refused(reason.to_owned()),
            Err(error) => Content::Refused(unreadable(&error)),
        };
        Self { file: file.into(), content }
    }

    fn place(&self, position: Position) -> Place {
        Place { file: self.file.to_string(), position }
    }

    /// Nothing behind a fault of this kind can be read.
    fn last(&mut self, position: Position, reason: String) -> Document {
        self.content = Content::Nothing;
        let content = Err(Fault { reason, field: String::new() });
        Document { place: self.place(position), content }
    }
}

impl Iterator for Documents {
    type Item = Document;

    fn next(&mut self) -> Option<Document> {
        match &mut self.content {
            Content::Nothing => None,
            Content::Refused(reason) => {
                let reason = std::mem::take(reason);
                Some(self.last(Position::File, reason))
            }
            Content::Text(lines) => match lines.next() {
                Ok(None) => None,
                Ok(Some(text)) => {
                    let (position, content) = decode_json(&text.bytes, (text.line, text.column));
                    Some(Document { place: self.place(position), content })
                }
                Err(error) => {
                    let position = Position::Text { line: lines.line_number(), column: 1 };
                    Some(self.last(position, unreadable(&error)))
                }
            },
            Content::Frames(frames) => match frames.next() {
                Ok(None) => None,
                Ok(Some(frame)) => {
                    let content = if is_json(&frame.bytes) && !frame.bytes.is_empty() {
                        decode_json(&frame.bytes, (1, 1)).1
                    } else {
                        decode(frame.bytes)
                    };
                    Some(Document { place: self.place(Position::Byte(frame.at)), content })
                }
                Err(broken) => Some(self.last(Position::Byte(broken.at), broken.reason)),
            },
        }
    }
}

/// The spans, and where the document starts or is wrong.
fn decode_json(
    bytes: &[u8],
    (line, column): (usize, usize),
) -> (Position, Result<SpanBatch, Fault>) {
    match model::json::decode(bytes) {
        Ok(request) => (Position::Text { line, column }, decode(request)),
        Err(error) => {
            let before = if error.line == 1 { column - 1 } else { 0 };
            let position =
                Position::Text { line: line + error.line - 1, column: before + error.column };
            (position, Err(Fault { reason: error.problem, field: error.path }))
        }
    }
}

fn decode(request: Vec<u8>) -> Result<SpanBatch, Fault> {
    SpanBatch::decode(Bytes::from(request))
        .map_err(|error| Fault { reason: error.to_string(), field: String::new() })
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the compressed file ends too early".to_owned(),
        _ => io_error(error),
    }
}
