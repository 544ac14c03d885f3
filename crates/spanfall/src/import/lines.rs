//! JSON files, cut into documents.
//!
//! A document ends where its brackets do, be that on its first line (JSON lines) or later (written
//! for people). What breaks one document must not take others along: a line that starts a document
//! ends a broken one before it, and a string never goes on over a line's end, as JSON forbids.

use std::io::{self, BufRead};

use super::DOCUMENT_BYTES_MAX;

/// A document and where it starts, in lines and columns from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The document, or what stands where one ought to be.
    pub bytes: Vec<u8>,
}

/// Reads documents one by one.
pub struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// How far `line` is used.
    at: usize,
    number: usize,
    bytes_max: usize,
}

/// How far a document is read.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Goes on over `bytes`; the position behind the document if it ends there.
    fn run(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' | b'\n' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(index + 1);
                    }
                }
                _ => {}
            }
        }
        self.in_string = false;
        self.escaped = false;
        None
    }
}

impl<R: BufRead> Lines<R> {
    /// A reader from the start of a file.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), at: 0, number: 0, bytes_max: DOCUMENT_BYTES_MAX }
    }

    /// The line at hand, from 1.
    pub fn line_number(&self) -> usize {
        self.number.max(1)
    }

    /// The next document; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Text>> {
        loop {
            let rest = &self.line[self.at..];
            match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
                Some(blank) => {
                    self.at += blank;
                    break;
                }
                None if self.read_line()? => {}
                None => return Ok(None),
            }
        }
        let column = 1 + String::from_utf8_lossy(&self.line[..self.at]).chars().count();
        let mut text = Text { line: self.number, column, bytes: Vec::new() };
        let mut scan = Scan::default();
        if self.line[self.at] != b'{' {
            // No document; whoever reads it will say so.
            text.bytes.extend_from_slice(self.line[self.at..].trim_ascii_end());
            self.at = self.line.len();
            return Ok(Some(text));
        }
        loop {
            let rest = &self.line[self.at..];
            let end = scan.run(rest);
            text.bytes.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            self.at += end.unwrap_or(rest.len());
            if text.bytes.len() > self.bytes_max {
                return Err(self.too_large());
            }
            if end.is_some() || !self.read_line()? || starts_document(&self.line) {
                return Ok(Some(text));
            }
        }
    }

    /// Reads the next line, its end included; false at the end of the file.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.at = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let length = newline.map_or(buffer.len(), |newline| newline + 1);
            self.line.extend_from_slice(&buffer[..length]);
            self.reader.consume(length);
            if newline.is_some() {
                break;
            }
            if self.line.len() > self.bytes_max {
                return Err(self.too_large());
            }
        }
        if self.line.is_empty() {
            return Ok(false);
        }
        // A byte order mark belongs to no document (RFC 8259 section 8.1).
        if self.number == 0 && self.line.starts_with("\u{feff}".as_bytes()) {
            self.at = "\u{feff}".len();
        }
        self.number += 1;
        Ok(true)
    }

    fn too_large(&self) -> io::Error {
        let most = crate::text::bytes(self.bytes_max as u64);
        io::Error::other(format!("a document is larger than {most}; cut it into smaller ones"))
    }
}

/// True for a line that can only start a document: these names stand nowhere else.
fn starts_document(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"{") else { return false };
    let rest = rest.trim_ascii_start();
    rest.starts_with(b"\"resourceSpans\"") || rest.starts_with(b"\"resource_spans\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(usize, usize, String)> {
        let mut lines = Lines::new(text.as_bytes());
        let next = || lines.next().unwrap();
        std::iter::from_fn(next)
            .map(|text| (text.line, text.column, String::from_utf8(text.bytes).unwrap()))
            .collect()
    }

    #[test]
    fn cuts_documents() {
        for (text, documents) in [
            ("", &[][..]),
            (" \n\r\n", &[]),
            ("{}", &[(1, 1, "{}")]),
            ("{\"a\":[1]}\n\n{}\r\n", &[(1, 1, "{\"a\":[1]}"), (3, 1, "{}")]),
            ("  {\n \"a\": {}\n}\n{\n}", &[(1, 3, "{\n \"a\": {}\n}"), (4, 1, "{\n}")]),
            ("{} {\"é\":1}{}", &[(1, 1, "{}"), (1, 4, "{\"é\":1}"), (1, 11, "{}")]),
            (r#"{"a":"}\"}{\\"}{}"#, &[(1, 1, r#"{"a":"}\"}{\\"}"#), (1, 16, "{}")]),
            ("\u{feff}{}", &[(1, 2, "{}")]),
        ] {
            let expected: Vec<_> = documents
                .iter()
                .map(|(line, column, text)| (*line, *column, (*text).to_owned()))
                .collect();
            assert_eq!(all(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_broken_document_takes_no_other_along() {
        let good = "{\"resourceSpans\":[]}";
        for broken in
            ["garbage", "}", "[1", "{\"resourceSpans\":[{\"res", "{\"resourceSpans\":[{}", "{\"a\\"]
        {
            let found = all(&format!("{good}\n{broken}\n{good}\n{good}"));
            let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.trim_end()).collect();
            assert_eq!(texts, [good, broken, good, good], "{broken:?}");
            assert_eq!(found[1].0, 2);
            assert_eq!(found[3].0, 4);
        }
    }

    #[test]
    fn holds_at_its_edge() {
        for (text, fits) in
            [("{  }", true), ("{\n\n}", true), ("{   }", false), ("{\n\n\n}", false)]
        {
            let mut lines = Lines::new(text.as_bytes());
            lines.bytes_max = 4;
            assert_eq!(lines.next().is_ok(), fits, "{text:?}");
        }
    }
}
