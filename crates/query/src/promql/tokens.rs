//! A text cut into tokens, just well enough to bound what the parser is given and to find places.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    Text,
    Sign,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Its bytes in the text.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    /// What stands there.
    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// The tokens of a text, without comments.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let run = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
        let (kind, length) = match first {
            '#' => (None, rest.find(['\n', '\r']).unwrap_or(rest.len())),
            _ if first.is_whitespace() => (None, run(char::is_whitespace)),
            '"' | '\'' | '`' => (Some(Kind::Text), quoted(rest, first)),
            '0'..='9' | '.' => (Some(Kind::Number), number(rest)),
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
                (Some(Kind::Word), word)
            }
            '=' | '!' | '<' | '>' if matches!(rest.as_bytes().get(1), Some(b'=' | b'~')) => {
                (Some(Kind::Sign), 2)
            }
            _ => (Some(Kind::Sign), first.len_utf8()),
        };
        let end = start + length.max(first.len_utf8());
        found.extend(kind.map(|kind| Token { kind, start, end }));
        start = end;
    }
    found
}

/// The length of a text in quotes, to its end or that of all.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == quote {
            return at + 1;
        } else {
            escaped = c == '\\' && quote != '`';
        }
    }
    rest.len()
}

/// The length of a number or a duration.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let is_exponent = |at: usize| {
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        !hex && matches!(bytes[at - 1], b'e' | b'E') && bytes[at - 2].is_ascii_digit()
    };
    let mut at = 1;
    while at < bytes.len() {
        let goes_on = match bytes[at] {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' => true,
            b'+' | b'-' => at >= 2 && is_exponent(at),
            _ => false,
        };
        if !goes_on {
            break;
        }
        at += 1;
    }
    at
}
