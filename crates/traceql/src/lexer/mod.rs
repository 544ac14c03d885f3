//! Text to tokens. A token that is none ends the list, and its error is kept: whoever reads that
//! far finds out, and the lenient parser makes do with what came before.

mod number;
mod string;

pub(crate) use number::duration_text;
pub(crate) use string::quoted;

use crate::ast::{Attribute, Field, Intrinsic, Scope};
use crate::error::{Error, ErrorKind};
use crate::suggest::did_you_mean;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    String(String),
    /// Without its sign, so that the least integer can be written.
    Int(u64),
    Float(f64),
    /// Nanoseconds, without the sign.
    Duration(u64),
    /// A bare word: function, intrinsic or named constant.
    Word,
    /// A scoped attribute or intrinsic.
    Field(Field),
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

/// Why the tokens end before the text does.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: Error,
    /// Whether no token begins with this character, so that the error says nothing of what could
    /// stand there: the parser knows.
    pub(crate) is_strange: bool,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self { error, is_strange: false }
    }
}

/// Longest first, so that the first that fits is the right one.
const SIGNS: [&str; 38] = [
    "&>>", "&<<", "!>>", "!<<", "&&", "||", ">>", "<<", ">=", "<=", "!=", "=~", "!~", "&>", "&<",
    "&~", "!>", "!<", "{", "}", "(", ")", ",", "|", "=", "<", ">", "~", "!", "+", "-", "*", "/",
    "%",
    "^", // Never part of a query, but better refused by the parser, which knows the place:
    "&", ".", ":",
];

/// The tokens of a text, the last of which is `End`, and what ended them early.
pub(crate) fn tokens(text: &str) -> (Vec<Token>, Option<Broken>) {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    let broken = loop {
        let start = match lexer.skip_blank() {
            Ok(()) => lexer.at,
            Err(error) => break Some(error.into()),
        };
        match lexer.token() {
            Ok(TokenKind::End) => break None,
            Ok(kind) => tokens.push(Token { kind, start, end: lexer.at }),
            Err(broken) => break Some(broken),
        }
    };
    let end = broken.as_ref().map_or(text.len(), |broken| broken.error.start);
    tokens.push(Token { kind: TokenKind::End, start: end, end });
    (tokens, broken)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, prefix: &str) -> bool {
        let there = self.rest().starts_with(prefix);
        self.at += if there { prefix.len() } else { 0 };
        there
    }

    fn error(&self, start: usize, end: usize, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Parse, self.text, start, end, message)
    }

    /// White space and comments.
    fn skip_blank(&mut self) -> Result<(), Error> {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let start = self.at;
            if self.take("//") {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if self.take("/*") {
                let Some(length) = self.rest().find("*/") else {
                    return Err(self.error(start, self.text.len(), "this comment has no end"));
                };
                self.at += length + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<TokenKind, Broken> {
        let Some(first) = self.peek() else {
            return Ok(TokenKind::End);
        };
        let digit_at = |at: usize| self.rest().as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        match first {
            '"' | '`' => Ok(self.string()?),
            '0'..='9' => Ok(self.number()?),
            '.' if digit_at(1) => Ok(self.number()?),
            '.' => {
                self.at += 1;
                Ok(self.attribute(Scope::Any, false, self.at - 1)?)
            }
            '\'' => {
                let message = "unexpected \"'\"; strings are written in double quotes or backticks";
                Err(self.error(self.at, self.at + 1, message).into())
            }
            _ if is_word_start(first) => Ok(self.word()?),
            _ => match SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
                Some(sign) => {
                    self.at += sign.len();
                    Ok(TokenKind::Sign(sign))
                }
                None => {
                    let end = self.at + first.len_utf8();
                    let error = self.error(self.at, end, format!("unexpected character {first:?}"));
                    Err(Broken { error, is_strange: true })
                }
            },
        }
    }

    fn word(&mut self) -> Result<TokenKind, Error> {
        let start = self.at;
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        self.at += word.len();
        let scope = Scope::NAMED.into_iter().find(|scope| scope.name() == word);
        match self.rest().bytes().next() {
            Some(b'.') => {
                self.at += 1;
                match (word, scope) {
                    ("parent", _) => {
                        let scope = [Scope::Span, Scope::Resource].into_iter().find(|scope| {
                            let rest = self.rest().strip_prefix(scope.name());
                            rest.is_some_and(|rest| rest.starts_with('.'))
                        });
                        self.at += scope.map_or(0, |scope| scope.name().len() + 1);
                        self.attribute(scope.unwrap_or(Scope::Any), true, start)
                    }
                    (_, Some(scope)) => self.attribute(scope, false, start),
                    ("trace", None) => Err(self.error(
                        start,
                        self.at,
                        "a trace has no attributes of its own; its intrinsics are written with a colon, such as trace:duration",
                    )),
                    _ => {
                        let scopes = Scope::NAMED.map(Scope::name).into_iter().chain(["parent"]);
                        let advice = match did_you_mean(word, scopes) {
                            Some(scope) => format!("did you mean {scope}.?"),
                            None => "an attribute of any scope starts with a dot".to_owned(),
                        };
                        Err(self.error(
                            start,
                            self.at,
                            format!("there is no scope {word:?}; {advice}"),
                        ))
                    }
                }
            }
            Some(b':') => {
                self.at += 1;
                let rest = self.rest();
                self.at += rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let name = &self.text[start..self.at];
                match Intrinsic::from_name(name) {
                    Some(intrinsic) => Ok(TokenKind::Field(Field::Intrinsic(intrinsic))),
                    None => {
                        let all = Intrinsic::ALL.iter();
                        let scoped = all.flat_map(|one| [Some(one.name()), one.alias()]);
                        let scoped = scoped.flatten().filter(|name| name.contains(':'));
                        let advice = did_you_mean(name, scoped);
                        let advice =
                            advice.map_or(String::new(), |name| format!("; did you mean {name}?"));
                        let message = format!("there is no intrinsic {name}{advice}");
                        Err(self.error(start, self.at, message))
                    }
                }
            }
            _ => Ok(TokenKind::Word),
        }
    }

    /// What follows the dot: everything to a character that ends names, with parts in quotes.
    fn attribute(&mut self, scope: Scope, parent: bool, start: usize) -> Result<TokenKind, Error> {
        let mut name = String::new();
        while let Some(next) = self.peek().filter(|c| !ends_name(*c)) {
            let part = self.at;
            self.at += next.len_utf8();
            if next != '"' {
                name.push(next);
                continue;
            }
            loop {
                let Some(next) = self.peek() else {
                    return Err(self.error(part, self.at, "this quoted name has no end"));
                };
                self.at += next.len_utf8();
                match next {
                    '"' => break,
                    '\\' => match self.peek() {
                        Some(escaped @ ('"' | '\\')) => {
                            self.at += 1;
                            name.push(escaped);
                        }
                        _ => {
                            let message = "in a quoted name only \\\" and \\\\ are escapes";
                            return Err(self.error(self.at - 1, self.at, message));
                        }
                    },
                    _ => name.push(next),
                }
            }
        }
        if name.is_empty() {
            let mut error = self.error(start, self.at, "this attribute has no name");
            error.expected.push("a name after the dot".to_owned());
            return Err(error);
        }
        Ok(TokenKind::Field(Field::Attribute(Attribute { scope, parent, name })))
    }
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Whether an attribute's name stops here, unless it is in quotes. What reads like an operator but
/// is not in this list, such as `-`, is part of a name.
pub(crate) fn ends_name(c: char) -> bool {
    c.is_whitespace() || "{}()=~!<>&|^,".contains(c)
}
