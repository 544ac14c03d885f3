//! Tokens to a tree, by precedence climbing. Names, arguments and kinds are checked on the way.

mod call;
mod expression;
mod infer;
mod path;

pub use infer::infer_context;

use crate::error::{Error, ErrorKind};
use crate::functions::{converters, editors, why_missing};
use crate::lexer::{Token, TokenKind, tokens};
use crate::path::Context;
use crate::suggest::did_you_mean;
use crate::tree::{Condition, Statement};

/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// How deep the tree of a text can be. Parsing, running and dropping it recurse so deep.
pub const DEPTH_MAX: usize = 64;

/// Parses and checks a statement: an editor, and perhaps the condition under which it runs. Paths
/// without a prefix are of the context.
pub fn parse_statement(text: &str, context: Context) -> Result<Statement, Error> {
    read(text, context, Parser::statement)
}

/// Parses and checks a condition: any boolean expression. Paths without a prefix are of the
/// context.
pub fn parse_condition(text: &str, context: Context) -> Result<Condition, Error> {
    read(text, context, |parser| {
        let test = parser.test()?;
        Ok(Condition { text: text.to_owned(), context, test })
    })
}

/// Reads the whole of a text.
fn read<'a, T>(
    text: &'a str,
    context: Context,
    read: impl FnOnce(&mut Parser<'a>) -> Parsed<T>,
) -> Result<T, Error> {
    let attempt = || {
        let mut parser = Parser::new(text, context)?;
        let result = read(&mut parser)?;
        parser.finish(result)
    };
    attempt().map_err(|error: Failure| *error)
}

struct Parser<'a> {
    text: &'a str,
    context: Context,
    tokens: Vec<Token>,
    at: usize,
    /// Why the tokens end before the text does.
    broken: Option<Error>,
    recursion: usize,
    patterns: usize,
}

/// In a box, so that results are small: they are in every frame of the recursion.
type Failure = Box<Error>;

type Parsed<T> = Result<T, Failure>;

impl<'a> Parser<'a> {
    fn new(text: &'a str, context: Context) -> Parsed<Self> {
        if text.len() > TEXT_BYTES_MAX {
            let message =
                format!("this text has {} bytes; the longest has {TEXT_BYTES_MAX}", text.len());
            return Err(Error::new(ErrorKind::Parse, text, 0, 0, message).into());
        }
        let (tokens, broken) = tokens(text);
        Ok(Self { text, context, tokens, at: 0, broken, recursion: 0, patterns: 0 })
    }

    fn finish<T>(mut self, result: T) -> Parsed<T> {
        if self.token().kind != TokenKind::End || self.broken.is_some() {
            return Err(self.unexpected(&["the end"]));
        }
        Ok(result)
    }

    fn token(&self) -> &Token {
        // `End` is never passed.
        &self.tokens[self.at]
    }

    fn after(&self) -> Option<&TokenKind> {
        self.tokens.get(self.at + 1).map(|token| &token.kind)
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
            Token { kind: TokenKind::Word, start, end } => {
                self.text.get(*start..*end).unwrap_or_default()
            }
            _ => "",
        }
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

    fn fail<T>(
        &self,
        kind: ErrorKind,
        start: usize,
        end: usize,
        message: impl Into<String>,
    ) -> Parsed<T> {
        Err(Error::new(kind, self.text, start, end, message).into())
    }

    fn invalid<T>(&self, start: usize, end: usize, message: impl Into<String>) -> Parsed<T> {
        self.fail(ErrorKind::Validation, start, end, message)
    }

    /// The next token should not be there.
    fn unexpected(&mut self, expected: &[&str]) -> Failure {
        if self.token().kind == TokenKind::End
            && let Some(broken) = self.broken.take()
        {
            return broken.into();
        }
        const QUOTED_CHARACTERS_MAX: usize = 32;
        let Token { start, end, .. } = *self.token();
        let found = self.text.get(start..end).unwrap_or_default();
        let message = match found {
            "" => "unexpected end".to_owned(),
            "=" => "unexpected =; equality is written ==".to_owned(),
            "&&" => "unexpected &&; it is written and".to_owned(),
            "||" => "unexpected ||; it is written or".to_owned(),
            "=>" => "unexpected =>; functions of functions are not here".to_owned(),
            long if long.chars().count() > QUOTED_CHARACTERS_MAX => {
                let shown: String = long.chars().take(QUOTED_CHARACTERS_MAX).collect();
                format!("unexpected {shown}…")
            }
            found => format!("unexpected {found}"),
        };
        let mut error = Error::new(ErrorKind::Parse, self.text, start, end, message);
        error.expected = expected.iter().map(|what| (*what).to_owned()).collect();
        error.into()
    }

    /// One level deeper, until `leave`. After an error nobody leaves, for nothing more is read.
    fn enter(&mut self) -> Parsed<()> {
        self.recursion += 1;
        if self.recursion > DEPTH_MAX { self.too_deep(self.start()) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.recursion -= 1;
    }

    /// The depth of a tree above subtrees, from their greatest depth.
    fn above(&self, depth: usize, start: usize) -> Parsed<usize> {
        if depth >= DEPTH_MAX { self.too_deep(start) } else { Ok(depth + 1) }
    }

    fn too_deep<T>(&self, start: usize) -> Parsed<T> {
        let message = format!("this is nested too deeply; {DEPTH_MAX} levels are the most");
        self.fail(ErrorKind::Parse, start, self.end().max(start), message)
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let name = self.word();
        if name.is_empty() {
            return Err(self.unexpected(&["an editor such as set"]));
        }
        let Some(editor) = editors().find(|editor| editor.name == name) else {
            return Err(self.no_editor(name));
        };
        let start = self.start();
        self.advance();
        let (call, _) = self.arguments(name, editor.params, editor.check, start)?;
        if self.sign() == "[" {
            let (start, end) = (self.start(), self.token().end);
            return self.fail(ErrorKind::Parse, start, end, "an editor has no value to index");
        }
        let condition = match self.word() {
            "where" => {
                self.advance();
                Some(self.test()?)
            }
            _ if self.token().kind != TokenKind::End => {
                return Err(self.unexpected(&["where", "the end"]));
            }
            _ => None,
        };
        let (text, context) = (self.text.to_owned(), self.context);
        Ok(Statement { text, context, editor, call, condition })
    }

    fn no_editor(&mut self, name: &str) -> Failure {
        if self.after() != Some(&TokenKind::Sign("(")) {
            return self.unexpected(&["an editor such as set"]);
        }
        let Token { start, end, .. } = *self.token();
        let (kind, message) = if let Some(why) = why_missing(name) {
            (ErrorKind::Unsupported, format!("{name} of the Collector is not here: {why}"))
        } else if converters().any(|converter| converter.name == name) {
            let advice = "a statement begins with an editor such as set";
            (ErrorKind::Validation, format!("{name} is a converter and changes nothing; {advice}"))
        } else {
            let near = did_you_mean(name, editors().map(|editor| editor.name));
            let advice = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            (ErrorKind::Validation, format!("there is no editor {name}{advice}"))
        };
        Error::new(kind, self.text, start, end, message).into()
    }
}

const VALUE: &str = "a value such as attributes[\"key\"], \"text\" or 1";
