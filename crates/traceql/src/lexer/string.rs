//! Strings: `"…"` with the escapes of Go, and `` `…` `` as it stands.

use super::{Lexer, TokenKind};
use crate::error::Error;

impl Lexer<'_> {
    pub(super) fn string(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        if self.take("`") {
            let Some(length) = self.rest().find('`') else {
                return Err(self.error(start, self.text.len(), "this string has no end"));
            };
            let text = self.rest()[..length].replace('\r', "");
            self.at += length + 1;
            return Ok(TokenKind::String(text));
        }
        self.at += 1;
        // Escapes give bytes, not characters.
        let mut text = Vec::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(['"', '\\', '\n']).unwrap_or(rest.len());
            text.extend_from_slice(&rest.as_bytes()[..plain]);
            self.at += plain;
            match self.peek() {
                Some('"') => break,
                Some('\\') => self.escape(&mut text)?,
                _ => return Err(self.error(start, self.at, "this string has no end")),
            }
        }
        self.at += 1;
        String::from_utf8(text).map(TokenKind::String).map_err(|_| {
            self.error(start, self.at, "the escapes of this string give no UTF-8 text")
        })
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Error> {
        let start = self.at;
        let rest = &self.rest()[1..];
        let mut character = [0; 4];
        let (bytes, length): (&[u8], usize) = match rest.bytes().next() {
            Some(b'a') => (b"\x07", 1),
            Some(b'b') => (b"\x08", 1),
            Some(b'f') => (b"\x0c", 1),
            Some(b'n') => (b"\n", 1),
            Some(b'r') => (b"\r", 1),
            Some(b't') => (b"\t", 1),
            Some(b'v') => (b"\x0b", 1),
            Some(b'\\') => (b"\\", 1),
            Some(b'"') => (b"\"", 1),
            other => {
                let code = match other {
                    Some(b'0'..=b'7') => code(rest, 0, 3, 8),
                    Some(b'x') => code(rest, 1, 2, 16),
                    Some(b'u') => code(rest, 1, 4, 16),
                    Some(b'U') => code(rest, 1, 8, 16),
                    _ => None,
                };
                let byte = !matches!(other, Some(b'u' | b'U'));
                let bytes = code.and_then(|(code, length)| match byte {
                    true => {
                        character[0] = u8::try_from(code).ok()?;
                        Some((&character[..1], length))
                    }
                    false => {
                        let bytes = char::from_u32(code)?.encode_utf8(&mut character).as_bytes();
                        Some((bytes, length))
                    }
                });
                let Some(bytes) = bytes else {
                    let end = start + 1 + rest.chars().next().map_or(0, char::len_utf8);
                    let message = "there is no such escape; in a string a backslash is written \\\\, or the string goes between backticks";
                    return Err(self.error(start, end, message));
                };
                bytes
            }
        };
        text.extend_from_slice(bytes);
        self.at += 1 + length;
        Ok(())
    }
}

/// The number of `count` digits after `skip` bytes, and the length of both.
fn code(rest: &str, skip: usize, count: usize, radix: u32) -> Option<(u32, usize)> {
    let digits = rest.get(skip..skip + count)?;
    let all = digits.chars().all(|c| c.is_digit(radix));
    Some((u32::from_str_radix(digits, radix).ok().filter(|_| all)?, skip + count))
}

/// A string as the language writes it: in backticks where they can hold it.
pub(crate) fn quoted(text: &str) -> String {
    if !text.contains(|c: char| c == '`' || (c.is_control() && c != '\n' && c != '\t')) {
        return format!("`{text}`");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
