//! Names: keywords, enumerations, and calls of functions with their arguments.

use jiff::tz::TimeZone;

use super::{Parsed, Parser, VALUE};
use crate::error::{Error, ErrorKind};
use crate::functions::{
    Check, Converter, Param, Takes, converter, converters, editor, why_missing,
};
use crate::lexer::{Token, TokenKind};
use crate::networks::Network;
use crate::pattern::{Glob, PATTERNS_MAX, Pattern};
use crate::suggest::did_you_mean;
use crate::timeformat::TimeFormat;
use crate::tree::{Arg, Call, Expr, Node, offset};
use crate::value::{Kind, Value};

/// The numbers of OTLP that have names.
static ENUMS: [(&str, i64); 9] = [
    ("STATUS_CODE_UNSET", 0),
    ("STATUS_CODE_OK", 1),
    ("STATUS_CODE_ERROR", 2),
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];

impl Parser<'_> {
    /// What begins with a word, and its depth.
    pub(super) fn named(&mut self) -> Parsed<(Expr, usize)> {
        let word = self.word();
        let value = match word {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "nil" => Some(Value::Nil),
            "and" | "or" | "where" | "not" => return Err(self.unexpected(&[VALUE])),
            _ => {
                ENUMS.iter().find(|(name, _)| *name == word).map(|(_, number)| Value::Int(*number))
            }
        };
        if let Some(value) = value {
            self.advance();
            return Ok((Expr::Literal(value), 1));
        }
        let is_call = self.after() == Some(&TokenKind::Sign("("));
        match (word.starts_with(|c: char| c.is_ascii_uppercase()), is_call) {
            (_, true) => self.call(),
            (false, false) => self.path(),
            (true, false) => {
                let Token { start, end, .. } = *self.token();
                let names = ENUMS.iter().map(|(name, _)| *name);
                let message = match (converter(word), did_you_mean(word, names)) {
                    (Some(_), _) => format!("{word} is a converter; write {word}(…)"),
                    (None, Some(name)) => format!("there is no {word}; did you mean {name}?"),
                    (None, None) => format!("there is no {word}"),
                };
                self.invalid(start, end, message)
            }
        }
    }

    fn call(&mut self) -> Parsed<(Expr, usize)> {
        let Token { start, end, .. } = *self.token();
        let name = self.word();
        let converter = self.converter(name, start, end)?;
        self.advance();
        let (mut call, depth) = self.arguments(name, converter.params, converter.check, start)?;
        let (keys, below) = self.keys()?;
        call.keys = keys;
        let depth = self.above(depth.max(below), start)?;
        Ok((Expr::Call(converter, call), depth))
    }

    /// A converter by its name.
    fn converter(&self, name: &str, start: usize, end: usize) -> Parsed<&'static Converter> {
        if let Some(converter) = converter(name) {
            if converter.context > self.context {
                let (context, own) = (converter.context.name(), self.context.name());
                let message = format!("{name} is about a {context}, and this is for a {own}");
                return self.invalid(start, end, message);
            }
            return Ok(converter);
        }
        if let Some(why) = why_missing(name) {
            let message = format!("{name} of the Collector is not here: {why}");
            return self.fail(ErrorKind::Unsupported, start, end, message);
        }
        if editor(name).is_some() {
            let message = format!("{name} is an editor; it only stands at the start");
            return self.invalid(start, end, message);
        }
        let near = did_you_mean(name, converters().map(|converter| converter.name));
        let advice = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        self.invalid(start, end, format!("there is no converter {name}{advice}"))
    }

    /// `(…)` after a function's name, and how deep it is.
    pub(super) fn arguments(
        &mut self,
        function: &str,
        params: &'static [Param],
        check: Check,
        start: usize,
    ) -> Parsed<(Call, usize)> {
        self.expect("(")?;
        let mut args: Vec<Arg> = params.iter().map(|_| Arg::Absent).collect();
        let mut places = vec![(start, start); params.len()];
        let (mut next, mut named, mut depth) = (0usize, false, 0usize);
        if !self.take(")") {
            loop {
                let place = match self.argument_name() {
                    Some(name) => {
                        named = true;
                        self.place_of(function, params, name)?
                    }
                    None if named => {
                        let (start, end) = (self.start(), self.token().end);
                        let message = "after an argument with a name all have names";
                        return self.fail(ErrorKind::Parse, start, end, message);
                    }
                    None => {
                        next += 1;
                        next - 1
                    }
                };
                let at = self.start();
                if self.sign() == ")" {
                    return Err(self.unexpected(&[VALUE]));
                }
                let Some(param) = params.get(place) else {
                    let message = format!("{function} takes {}", count_of(params));
                    return self.invalid(at, self.token().end, message);
                };
                let (arg, below) = self.argument(function, param)?;
                depth = depth.max(below);
                if let (Some(slot), Some(found)) = (args.get_mut(place), places.get_mut(place)) {
                    if !matches!(slot, Arg::Absent) {
                        let message = format!("{} is given twice", param.name);
                        return self.invalid(at, self.end(), message);
                    }
                    (*slot, *found) = (arg, (at, self.end()));
                }
                if self.take(")") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.unexpected(&[",", ")"]));
                }
            }
        }
        let end = self.end();
        let missing = params.iter().zip(&args);
        let missing = missing.filter(|(param, arg)| !param.optional && matches!(arg, Arg::Absent));
        let missing: Vec<&str> = missing.map(|(param, _)| param.name).collect();
        if !missing.is_empty() {
            let message = format!(
                "{function} takes {}; {} is missing",
                count_of(params),
                missing.join(" and ")
            );
            return self.invalid(start, end, message);
        }
        if let Err((at, message)) = check(&args) {
            let (start, end) = places.get(at).copied().unwrap_or((start, end));
            return self.invalid(start, end, message);
        }
        let call = Call { args, keys: Vec::new(), start: offset(start), end: offset(end) };
        Ok((call, depth))
    }

    /// The name in front of an argument, if there is one.
    fn argument_name(&mut self) -> Option<Token> {
        let named =
            self.token().kind == TokenKind::Word && self.after() == Some(&TokenKind::Sign("="));
        named.then(|| {
            let name = self.token().clone();
            self.advance();
            self.advance();
            name
        })
    }

    /// Which parameter a name is of. Names are the same in the manners of `a_b` and `aB`.
    fn place_of(&self, function: &str, params: &[Param], name: Token) -> Parsed<usize> {
        let word = self.text.get(name.start..name.end).unwrap_or_default();
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        if let Some(at) = params.iter().position(|param| plain(param.name) == plain(word)) {
            return Ok(at);
        }
        let names: Vec<&str> = params.iter().map(|param| param.name).collect();
        let advice = match did_you_mean(word, names.iter().copied()) {
            Some(near) => format!("; did you mean {near}?"),
            None if names.is_empty() => String::new(),
            None => format!("; there are {}", names.join(", ")),
        };
        let message = format!("{function} has no parameter {word}{advice}");
        self.invalid(name.start, name.end, message)
    }

    /// One argument as its parameter takes it, and its depth.
    fn argument(&mut self, function: &str, param: &'static Param) -> Parsed<(Arg, usize)> {
        if matches!(param.takes, Takes::Function) {
            return Ok((Arg::Function(self.function_name()?), 1));
        }
        let (node, depth) = self.value()?;
        let what = format!("{} of {function}", param.name);
        Ok((self.checked(node, param.takes, &what)?, depth))
    }

    /// The name of a converter that is given to an editor.
    fn function_name(&mut self) -> Parsed<&'static Converter> {
        let Token { start, end, .. } = *self.token();
        let name = self.word();
        if name.is_empty() {
            return Err(self.unexpected(&["the name of a converter such as SHA256"]));
        }
        let converter = self.converter(name, start, end)?;
        self.advance();
        if self.take("(") {
            self.expect(")")?;
        }
        if !converter.is_of_one_text() {
            let message = format!("{name} makes no string of one string, as is needed here");
            return self.invalid(start, end, message);
        }
        Ok(converter)
    }

    /// A node as what a parameter takes.
    fn checked(&mut self, node: Node, takes: Takes, what: &str) -> Parsed<Arg> {
        let (start, end) = (node.start as usize, node.end as usize);
        let wrong = |parser: &Self, wanted: &str| {
            let found = node.kind().map_or("something to be computed", Kind::noun);
            let found = if matches!(node.expr, Expr::Path(_)) { "a path" } else { found };
            parser.invalid(start, end, format!("{what} has to be {wanted}, and is {found}"))
        };
        match takes {
            Takes::Any => Ok(Arg::Value(node)),
            Takes::Of(kinds) => match node.kind() {
                Some(kind) if !kinds.contains(&kind) => {
                    let nouns: Vec<&str> = kinds.iter().map(|kind| kind.noun()).collect();
                    let message =
                        format!("{what} has to be {}, and is {}", nouns.join(" or "), kind.noun());
                    self.invalid(start, end, message)
                }
                _ => Ok(Arg::Value(node)),
            },
            Takes::Writable | Takes::WritableMap => {
                let is_map = matches!(takes, Takes::WritableMap);
                let wanted = if is_map { "a map, such as attributes" } else { PATH };
                let Expr::Path(path) = node.expr else { return wrong(self, wanted) };
                if !path.path.is_writable() {
                    let message = format!("{} can only be read", path.path);
                    return self.invalid(start, end, message);
                }
                match path.path.kind().filter(|kind| is_map && *kind != Kind::Map) {
                    Some(kind) => {
                        let message = format!("{what} has to be {wanted}, and is {}", kind.noun());
                        self.invalid(start, end, message)
                    }
                    None => Ok(Arg::Path(path)),
                }
            }
            Takes::Literal(kind) => match node.literal() {
                Some(value) if value.kind() == kind => Ok(Arg::Value(node)),
                _ => wrong(self, &format!("{} written as it is", kind.noun())),
            },
            Takes::Texts => match node.literal() {
                Some(Value::List(list)) => {
                    let text = |value: &Value<'_>| match value {
                        Value::String(text) => Some(text.clone().into_owned()),
                        _ => None,
                    };
                    let texts: Option<Vec<String>> = list.iter().map(text).collect();
                    match texts {
                        Some(texts) => Ok(Arg::Texts(texts)),
                        None => self.invalid(start, end, format!("{what} has only strings in it")),
                    }
                }
                _ => wrong(self, "a list of strings written as they are"),
            },
            Takes::Networks => match node.literal() {
                Some(Value::List(list)) => {
                    let network = |value: &Value<'_>| match value {
                        Value::String(text) => Network::parse(text),
                        _ => None,
                    };
                    let networks: Option<Vec<Network>> = list.iter().map(network).collect();
                    match networks {
                        Some(networks) => Ok(Arg::Networks(networks)),
                        None => {
                            let message = "a range of addresses is written such as 10.0.0.0/8";
                            self.invalid(start, end, message)
                        }
                    }
                }
                _ => wrong(self, "a list of address ranges written as they are"),
            },
            Takes::Choice(_)
            | Takes::Pattern
            | Takes::Glob
            | Takes::TimeFormat
            | Takes::TimeZone => match node.literal() {
                Some(Value::String(text)) => self.literal(text, takes, what, start, end),
                _ => wrong(self, "a string written as it is"),
            },
            // Read before it could be a value.
            Takes::Function => wrong(self, "the name of a converter"),
        }
    }

    /// A literal text that means something else to its parameter.
    fn literal(
        &mut self,
        text: &str,
        takes: Takes,
        what: &str,
        start: usize,
        end: usize,
    ) -> Parsed<Arg> {
        if matches!(takes, Takes::Pattern | Takes::Glob) {
            self.patterns += 1;
            if self.patterns > PATTERNS_MAX {
                let message = format!("there are at most {PATTERNS_MAX} patterns");
                return self.invalid(start, end, message);
            }
        }
        let read = match takes {
            Takes::Choice(words) => match words.iter().position(|word| *word == text) {
                Some(at) => Ok(Arg::Choice(at)),
                None => {
                    let near = did_you_mean(text, words.iter().copied());
                    let advice =
                        near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                    let message = format!("{what} is not one of its words{advice}");
                    let mut error =
                        Error::new(ErrorKind::Validation, self.text, start, end, message);
                    let words = words.iter().filter(|word| !word.is_empty());
                    error.expected = words.map(|word| format!("{word:?}")).collect();
                    return Err(error.into());
                }
            },
            Takes::Pattern => Pattern::new(text)
                .map(Arg::Pattern)
                .map_err(|why| format!("this regular expression is invalid: {why}")),
            Takes::Glob => {
                Glob::new(text).map(Arg::Glob).map_err(|why| format!("this glob is invalid: {why}"))
            }
            Takes::TimeFormat => TimeFormat::new(text).map(Arg::TimeFormat),
            _ if text.is_empty() => Ok(Arg::Absent),
            _ => TimeZone::get(text)
                .map(Arg::TimeZone)
                .map_err(|_| "there is no such time zone on this machine".to_owned()),
        };
        read.or_else(|message| self.invalid(start, end, message))
    }
}

impl Call {
    /// Whether its value is known before it runs.
    pub(super) fn is_constant(&self) -> bool {
        let constant = |arg: &Arg| match arg {
            Arg::Value(node) => node.literal().is_some(),
            Arg::Path(_) => false,
            _ => true,
        };
        self.args.iter().all(constant) && self.keys.iter().all(|key| key.literal().is_some())
    }
}

const PATH: &str = "a path that can be written to, such as attributes[\"key\"]";

/// `2 arguments`, `2 or 3 arguments`.
fn count_of(params: &[Param]) -> String {
    let most = params.len();
    let least = params.iter().filter(|param| !param.optional).count();
    match (least, most) {
        (_, 0) => "no arguments".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (least, most) if least == most => format!("{most} arguments"),
        (least, most) if least + 1 == most => format!("{least} or {most} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    }
}
