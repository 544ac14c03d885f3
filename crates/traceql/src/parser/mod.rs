//! Tokens to a tree, by precedence climbing.
//!
//! What is not of the language ends the parse at once. What is, but means nothing, is noted where
//! it is found and reported if the rest of the text is of the language: a slip of the pen comes
//! before a wrong type.

mod field;
mod hints;
mod metrics;
mod scalar;
mod sequence;
mod spanset;

use crate::ast::{Field, FieldExpr, Pipeline, Query, QueryKind, SpansetExpr, Stage};
use crate::check::{Part, Problem};
use crate::error::{Error, ErrorKind};
use crate::lexer::{Broken, Token, TokenKind, tokens};
use sequence::Term;

/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 128 * 1024;

/// How deep the tree of a query can be. Parsing, printing and dropping it recurse so deep.
pub const DEPTH_MAX: usize = 100;

/// The recursion of the parser. A tree of the greatest depth is printed with parentheses that cost
/// two levels each.
const RECURSION_MAX: usize = 2 * DEPTH_MAX + 32;

/// Parses and checks a query.
pub fn parse(text: &str) -> Result<Query, Error> {
    read(text, Parser::query)
}

/// Parses the name of one attribute or intrinsic: `resource.service.name`, `.foo`, `name`,
/// `span."x y"`, `event:name`.
pub fn attribute(text: &str) -> Result<Field, Error> {
    read(text, Parser::name)
}

/// Parses what stands between the braces of a filter.
pub(crate) fn filter(text: &str) -> Result<FieldExpr, Error> {
    read(text, |parser| parser.filter_part().map(|part| part.expr))
}

/// Reads the whole of a text.
fn read<'a, T>(text: &'a str, read: impl FnOnce(&mut Parser<'a>) -> Parsed<T>) -> Result<T, Error> {
    let attempt = || {
        let mut parser = Parser::new(text)?;
        let result = read(&mut parser)?;
        parser.finish(result)
    };
    attempt().map_err(|error: Failure| *error)
}

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// Why the tokens end before the text does.
    broken: Option<Broken>,
    /// The first thing that means nothing.
    problem: Option<Problem>,
    recursion: usize,
    patterns: usize,
}

/// In a box, so that results are small: they are in every frame of the recursion.
type Failure = Box<Error>;

type Parsed<T> = Result<T, Failure>;

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parsed<Self> {
        if text.len() > QUERY_BYTES_MAX {
            let message =
                format!("this query has {} bytes; the longest has {QUERY_BYTES_MAX}", text.len());
            return Err(Error::new(ErrorKind::Parse, text, 0, 0, message).into());
        }
        let (tokens, broken) = tokens(text);
        Ok(Self { text, tokens, at: 0, broken, problem: None, recursion: 0, patterns: 0 })
    }

    /// The result, if the whole text was read and means something.
    fn finish<T>(mut self, result: T) -> Parsed<T> {
        if self.token().kind != TokenKind::End || self.broken.is_some() {
            return Err(self.unexpected(&["the end of the query"]));
        }
        match self.problem {
            None => Ok(result),
            Some(Problem { kind, start, end, message }) => {
                Err(Error::new(kind, self.text, start, end, message).into())
            }
        }
    }

    fn token(&self) -> &Token {
        // `End` is never passed.
        &self.tokens[self.at]
    }

    fn next_is_end(&self) -> bool {
        self.token().kind == TokenKind::End
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    /// Where the next token starts.
    fn start(&self) -> usize {
        self.token().start
    }

    /// Where the last token that was taken ends.
    fn end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |at| self.tokens[at].end)
    }

    /// The next token's sign, or nothing.
    fn sign(&self) -> &'static str {
        match self.token().kind {
            TokenKind::Sign(sign) => sign,
            _ => "",
        }
    }

    /// The next token's word, or nothing.
    fn word(&self) -> &'a str {
        match self.token() {
            Token { kind: TokenKind::Word, start, end } => &self.text[*start..*end],
            _ => "",
        }
    }

    /// Whether the next token is a word in front of a parenthesis, and which.
    fn function(&self) -> &'a str {
        let open = self.tokens.get(self.at + 1).map(|token| &token.kind);
        if open == Some(&TokenKind::Sign("(")) { self.word() } else { "" }
    }

    fn take(&mut self, sign: &str) -> bool {
        let there = self.sign() == sign;
        if there {
            self.advance();
        }
        there
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected(&[sign])) }
    }

    fn error(&self, start: usize, end: usize, message: impl Into<String>) -> Failure {
        Error::new(ErrorKind::Parse, self.text, start, end, message).into()
    }

    /// The next token should not be there.
    fn unexpected(&mut self, expected: &[&str]) -> Failure {
        if self.next_is_end()
            && let Some(Broken { mut error, is_strange }) = self.broken.take()
        {
            if is_strange {
                error.expected = names(expected);
            }
            return error.into();
        }
        let Token { start, end, .. } = *self.token();
        self.unexpected_at(start, end, expected)
    }

    fn unexpected_at(&self, start: usize, end: usize, expected: &[&str]) -> Failure {
        const QUOTED_CHARACTERS_MAX: usize = 32;
        let found = match &self.text[start..end] {
            "" => "unexpected end of the query".to_owned(),
            long if long.chars().count() > QUOTED_CHARACTERS_MAX => {
                let shown: String = long.chars().take(QUOTED_CHARACTERS_MAX).collect();
                format!("unexpected {shown}…")
            }
            "=" if start > 0 && self.text[..start].ends_with('=') => {
                "unexpected =; equality is written with one =".to_owned()
            }
            found => format!("unexpected {found}"),
        };
        let mut error = self.error(start, end, found);
        error.expected = names(expected);
        error
    }

    /// Remembers what means nothing, unless something was remembered before.
    fn note(&mut self, checked: Result<(), Problem>) {
        if let Err(problem) = checked {
            self.problem.get_or_insert(problem);
        }
    }

    fn note_at(&mut self, start: usize, end: usize, message: impl Into<String>) {
        self.note(Err(Problem::new(start, end, message)));
    }

    /// One level deeper, until `leave`. After an error nobody leaves, for nothing more is read.
    fn enter(&mut self) -> Parsed<()> {
        self.recursion += 1;
        if self.recursion > RECURSION_MAX { Err(self.too_deep(self.start())) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.recursion -= 1;
    }

    /// The depth of a tree above subtrees, from their greatest depth.
    fn above(&self, depth: usize, start: usize) -> Parsed<usize> {
        if depth >= DEPTH_MAX { Err(self.too_deep(start)) } else { Ok(depth + 1) }
    }

    fn too_deep(&self, start: usize) -> Failure {
        let message = format!("this is nested too deeply; {DEPTH_MAX} levels are the most");
        self.error(start, self.end().max(start), message)
    }

    /// What stands between braces.
    fn filter_part(&mut self) -> Parsed<Part> {
        let part = self.field(0)?;
        self.note(part.require_filter());
        Ok(part)
    }

    fn query(&mut self) -> Parsed<Query> {
        let item = self.sequence()?;
        let hints = self.hints()?;
        let kind = match item.term {
            Term::Spansets { expr: SpansetExpr::Pipeline(pipeline), .. }
            | Term::Pipeline(pipeline) => QueryKind::Search(pipeline),
            Term::Spansets { expr, .. } => {
                QueryKind::Search(Pipeline { stages: vec![Stage::Spansets(expr)] })
            }
            Term::Scalar { .. } => return Err(self.lone_scalar()),
            Term::Metrics(metrics) => QueryKind::Metrics(*metrics),
        };
        Ok(Query { kind, hints })
    }
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}
