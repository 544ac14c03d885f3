//! JSON text (RFC 8259), pulled front to back without building a tree.

use std::borrow::Cow;

use super::number::number_length;

/// What is wrong, and at which byte.
pub(super) struct Problem {
    pub(super) at: usize,
    pub(super) what: String,
}

/// A position in a JSON text. Every reading method skips white space first.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// The most characters of a document that an error quotes.
const QUOTED_CHARACTERS_MAX: usize = 32;

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space; `None` at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes the next byte if it is this one.
    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Where the next token starts.
    pub(super) fn position(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// "expected `what`, found …" at the next token.
    #[cold]
    pub(super) fn expected(&mut self, what: &str) -> Problem {
        let at = self.position();
        self.expected_at(at, what)
    }

    /// "expected `what`, found …" at a token that may be behind.
    #[cold]
    pub(super) fn expected_at(&self, at: usize, what: &str) -> Problem {
        let rest = &self.text[at..];
        let found = match rest.bytes().next() {
            None => "the end of the document".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(b'"') => {
                let inner = &rest[1..];
                excerpt(inner, inner.find('"').unwrap_or(inner.len()), "\"")
            }
            Some(b',' | b':' | b']' | b'}') => rest[..1].to_owned(),
            _ => {
                let ends = |c: char| c.is_whitespace() || ",:]}".contains(c);
                excerpt(rest, rest.find(ends).unwrap_or(rest.len()), "")
            }
        };
        Problem { at, what: format!("expected {what}, found {found}") }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("nothing after the document's object")),
        }
    }

    /// Takes `null` if it is next.
    #[inline]
    pub(super) fn null(&mut self) -> Result<bool, Problem> {
        match self.peek() {
            Some(b'n') => self.word("null").map(|()| true),
            _ => Ok(false),
        }
    }

    /// Takes `true` or `false`.
    pub(super) fn boolean(&mut self) -> Result<bool, Problem> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => Err(self.expected("true or false")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Problem> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a number, as it is spelled.
    pub(super) fn number(&mut self) -> Result<&'a str, Problem> {
        let rest = &self.text[self.position()..];
        match number_length(rest.as_bytes(), false) {
            Some(length) => {
                self.at += length;
                Ok(&rest[..length])
            }
            None => Err(self.expected("a number")),
        }
    }

    /// Takes the brace or bracket that opens an object or array.
    #[inline]
    pub(super) fn open(&mut self, bracket: u8, what: &str) -> Result<(), Problem> {
        if self.take(bracket) { Ok(()) } else { Err(self.expected(what)) }
    }

    /// Inside an object: takes the next key and its colon; `None` at the end, which it takes.
    /// `first` is true until a key was taken.
    #[inline]
    pub(super) fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, Problem> {
        if !self.more(first, b'}', "a comma or the end of the object")? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(self.expected("a field's name in quotes"));
        }
        let key = self.string()?;
        self.open(b':', "a colon after a field's name")?;
        Ok(Some(key))
    }

    /// Inside an array: true when an element follows; takes the end otherwise. `first` as above.
    #[inline]
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool, Problem> {
        self.more(first, b']', "a comma or the end of the array")
    }

    #[inline]
    fn more(&mut self, first: &mut bool, closer: u8, what: &str) -> Result<bool, Problem> {
        if self.take(closer) {
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.open(b',', what)?;
            // What follows a comma is no end.
            if self.peek() == Some(closer) {
                return Err(self.expected("something after the comma"));
            }
        }
        Ok(true)
    }

    /// Takes a string; borrows it when nothing is escaped.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Problem> {
        self.open(b'"', "a string")?;
        let start = self.at;
        let end = plain_end(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        let mut text = String::new();
        let mut done = start;
        loop {
            let at = plain_end(self.text.as_bytes(), done);
            text.push_str(&self.text[done..at]);
            match self.text.as_bytes().get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    let (character, length) = self.escape(at)?;
                    text.push(character);
                    done = at + length;
                }
                Some(_) => {
                    let what = "a control character in a string has to be escaped".to_owned();
                    return Err(Problem { at, what });
                }
                None => {
                    let what = "this string has no end".to_owned();
                    return Err(Problem { at: start - 1, what });
                }
            }
        }
    }

    /// The character that the escape at a backslash stands for, and the escape's length.
    fn escape(&self, at: usize) -> Result<(char, usize), Problem> {
        let character = match self.text.as_bytes().get(at + 1) {
            Some(&plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                return self.unicode_escape(at).ok_or_else(|| Problem {
                    at,
                    what: "\\u has to be followed by four hexadecimal digits".to_owned(),
                });
            }
            _ => {
                let what = "no character is escaped like this in JSON".to_owned();
                return Err(Problem { at, what });
            }
        };
        Ok((character, 2))
    }

    /// Half a surrogate pair is U+FFFD: the span is worth more than the character.
    fn unicode_escape(&self, at: usize) -> Option<(char, usize)> {
        let unit = self.hexadecimal(at + 2)?;
        if (0xd800..0xdc00).contains(&unit)
            && self.text.as_bytes()[at + 6..].starts_with(b"\\u")
            && let Some(low @ 0xdc00..0xe000) = self.hexadecimal(at + 8)
        {
            let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return char::from_u32(code).map(|character| (character, 12));
        }
        Some((char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6))
    }

    fn hexadecimal(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        // from_str_radix would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(digits, 16).ok()
    }

    /// Takes a value of any kind. Not recursive, so that no depth overflows the stack.
    pub(super) fn skip(&mut self) -> Result<(), Problem> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            let mut first = false;
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    open.push(b'}');
                    first = true;
                }
                Some(b'[') => {
                    self.at += 1;
                    open.push(b']');
                    first = true;
                }
                Some(b'"') => drop(self.string()?),
                Some(b't' | b'f') => drop(self.boolean()?),
                Some(b'n') => drop(self.null()?),
                Some(b'-' | b'0'..=b'9') => drop(self.number()?),
                _ => return Err(self.expected("a value")),
            }
            // Up to where the next value starts.
            loop {
                let more = match open.last() {
                    None => return Ok(()),
                    Some(b'}') => self.key(&mut first)?.is_some(),
                    Some(_) => self.element(&mut first)?,
                };
                if more {
                    break;
                }
                open.pop();
                first = false;
            }
        }
    }
}

/// The first byte at or after `at` that does not stand for itself in a string: a quote, a
/// backslash or a control character; the text's end if there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // Eight bytes at once. A borrow only disturbs bytes above a hit, so the lowest one is exact.
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if hits & HIGH != 0 {
            return at + ((hits & HIGH).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    bytes[at..].iter().position(special).map_or(bytes.len(), |found| at + found)
}

/// The start of `text[..end]` in quotes, fit to be printed on one line.
fn excerpt(text: &str, end: usize, quote: &str) -> String {
    let mut out = quote.to_owned();
    for (index, character) in text[..end].chars().enumerate() {
        if index == QUOTED_CHARACTERS_MAX {
            out.push('…');
            break;
        }
        out.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
    }
    out.push_str(quote);
    out
}
