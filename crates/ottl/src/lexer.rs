//! Text to tokens. A token that is none ends the list, and its error is kept: whoever reads that
//! far finds out.

use crate::error::{Error, ErrorKind};
use crate::value::from_hex;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    String(String),
    /// Without its sign, so that the least integer can be written.
    Int(u64),
    Float(f64),
    Bytes(Vec<u8>),
    /// A name or keyword.
    Word,
    Sign(&'static str),
    End,
}

/// A token and where it is, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Longest first, so that the first that fits is the right one.
const SIGNS: [&str; 22] = [
    "==", "!=", "<=", ">=", "=>", "&&", "||", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=",
    "<", ">", "+", "-", "*",
];

/// The tokens of a text, the last of which is `End`, and what ended them early.
pub(crate) fn tokens(text: &str) -> (Vec<Token>, Option<Error>) {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    let broken = loop {
        let rest = lexer.rest();
        lexer.at += rest.len() - rest.trim_start().len();
        let start = lexer.at;
        match lexer.token() {
            Ok(TokenKind::End) => break None,
            Ok(kind) => tokens.push(Token { kind, start, end: lexer.at }),
            Err(error) => break Some(error),
        }
    };
    let end = broken.as_ref().map_or(text.len(), |error| error.start);
    tokens.push(Token { kind: TokenKind::End, start: end, end });
    (tokens, broken)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, start: usize, end: usize, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Parse, self.text, start, end, message)
    }

    fn token(&mut self) -> Result<TokenKind, Error> {
        let rest = self.rest();
        let mut characters = rest.chars();
        let Some(first) = characters.next() else {
            return Ok(TokenKind::End);
        };
        let digit_next = characters.next().is_some_and(|c| c.is_ascii_digit());
        match first {
            '"' => self.string(),
            '0'..='9' => self.number(),
            '.' if digit_next => self.number(),
            'a'..='z' | 'A'..='Z' => {
                self.at += rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                Ok(TokenKind::Word)
            }
            '/' => {
                self.at += 1;
                Ok(TokenKind::Sign("/"))
            }
            '\'' | '`' => {
                let message = "strings are written in double quotes";
                Err(self.error(self.at, self.at + 1, message))
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => {
                    self.at += sign.len();
                    Ok(TokenKind::Sign(sign))
                }
                None => {
                    let advice = if first == '!' { "; negation is written not" } else { "" };
                    let end = self.at + first.len_utf8();
                    Err(self.error(self.at, end, format!("unexpected character {first:?}{advice}")))
                }
            },
        }
    }

    fn number(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let long = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if let Some(hex) = rest.get(..long).and_then(|word| word.strip_prefix("0x")) {
            self.at += long;
            return match from_hex(hex).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => Ok(TokenKind::Bytes(bytes)),
                None => {
                    let message = "bytes are written with two hexadecimal digits each";
                    Err(self.error(start, self.at, message))
                }
            };
        }
        let mut end = digits(0);
        let whole = bytes.get(end) != Some(&b'.') || digits(end + 1) == end + 1;
        if !whole {
            end = digits(end + 1);
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                let exponent = digits(end + 1 + sign);
                end = if exponent > end + 1 + sign { exponent } else { end };
            }
        }
        let tail = rest.get(end..).unwrap_or_default();
        let length = end + tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        self.at += length;
        if length > end {
            let message = format!(
                "{:?} is no number; a duration is written Duration(\"10s\")",
                rest.get(..length).unwrap_or_default()
            );
            return Err(self.error(start, self.at, message));
        }
        let text = rest.get(..end).unwrap_or_default();
        if !whole {
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            return value.map(TokenKind::Float).ok_or_else(|| {
                self.error(start, self.at, format!("{text} is beyond the greatest float"))
            });
        }
        // The least integer has one more than the greatest.
        let value = text.parse().ok().filter(|value| *value <= i64::MAX.unsigned_abs() + 1);
        value.map(TokenKind::Int).ok_or_else(|| {
            self.error(start, self.at, format!("{text} is beyond the greatest integer"))
        })
    }

    /// `"…"` with the escapes of Go.
    fn string(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        self.at += 1;
        // Escapes give bytes, not characters.
        let mut text = Vec::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(['"', '\\']).unwrap_or(rest.len());
            text.extend_from_slice(rest.get(..plain).unwrap_or_default().as_bytes());
            self.at += plain;
            match rest.as_bytes().get(plain) {
                Some(b'"') => break,
                Some(_) => self.escape(&mut text)?,
                None => return Err(self.error(start, self.at, "this string has no end")),
            }
        }
        self.at += 1;
        String::from_utf8(text).map(TokenKind::String).map_err(|_| {
            self.error(start, self.at, "the escapes of this string give no UTF-8 text")
        })
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Error> {
        let rest = self.rest().get(1..).unwrap_or_default();
        let simple = |byte: u8| Some((vec![byte], 1));
        let read = match rest.bytes().next() {
            Some(b'a') => simple(7),
            Some(b'b') => simple(8),
            Some(b'f') => simple(12),
            Some(b'n') => simple(b'\n'),
            Some(b'r') => simple(b'\r'),
            Some(b't') => simple(b'\t'),
            Some(b'v') => simple(11),
            Some(byte @ (b'\\' | b'"')) => simple(byte),
            Some(b'0'..=b'7') => code(rest, 0, 3, 8).and_then(single),
            Some(b'x') => code(rest, 1, 2, 16).and_then(single),
            Some(b'u') => code(rest, 1, 4, 16).and_then(character),
            Some(b'U') => code(rest, 1, 8, 16).and_then(character),
            _ => None,
        };
        let Some((bytes, length)) = read else {
            let end = self.at + 1 + rest.chars().next().map_or(0, char::len_utf8);
            let message = "there is no such escape; in a string a backslash is written \\\\";
            return Err(self.error(self.at, end, message));
        };
        text.extend_from_slice(&bytes);
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

fn single((code, length): (u32, usize)) -> Option<(Vec<u8>, usize)> {
    Some((vec![u8::try_from(code).ok()?], length))
}

fn character((code, length): (u32, usize)) -> Option<(Vec<u8>, usize)> {
    Some((char::from_u32(code)?.to_string().into_bytes(), length))
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}
