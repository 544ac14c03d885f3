//! What the editors that replace text have in common.

use std::borrow::Cow;

use super::Converter;
use super::args::literal_text;
use crate::error::Fault;
use crate::eval::{Writer, constants};
use crate::pattern::Pattern;
use crate::tree::{Arg, Call, Expr, Node};
use crate::value::Value;

/// What comes in the place of a match.
pub(super) struct Replacement<'c> {
    call: &'c Call,
    text: Cow<'c, str>,
    function: Option<&'static Converter>,
    format: Option<Cow<'c, str>>,
}

impl<'c> Replacement<'c> {
    /// Of the arguments at `at` and the two places after it: text, function and format.
    pub(super) fn new(call: &'c Call, at: usize, writer: &Writer<'_>) -> Result<Self, Fault> {
        let function = match call.arg(at + 1) {
            Arg::Function(function) => Some(*function),
            _ => None,
        };
        let format = call.has(at + 2).then(|| call.own_text(at + 2, writer)).transpose()?;
        if let Some(format) = &format
            && !is_format(format)
        {
            return Err(call.fault(NO_FORMAT));
        }
        Ok(Self { call, text: call.own_text(at, writer)?, function, format })
    }

    /// The replacement where there are no groups to put into it.
    pub(super) fn whole(&self) -> Result<String, Fault> {
        match self.function {
            Some(function) => self.convert(function, self.text.clone().into_owned()),
            None => Ok(self.text.clone().into_owned()),
        }
    }

    /// A text with every match of a pattern replaced; nothing if none matches.
    pub(super) fn matches(&self, pattern: &Pattern, text: &str) -> Result<Option<String>, Fault> {
        let Some(function) = self.function else {
            return Ok(pattern.replace_all(text, &self.text));
        };
        if !pattern.is_match(text) {
            return Ok(None);
        }
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for captures in pattern.captures_iter(text) {
            let Some(found) = captures.get(0) else { continue };
            let mut expanded = String::new();
            captures.expand(&self.text, &mut expanded);
            out.push_str(text.get(done..found.start()).unwrap_or_default());
            out.push_str(&self.convert(function, expanded)?);
            done = found.end();
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Ok(Some(out))
    }

    fn convert(&self, function: &'static Converter, text: String) -> Result<String, Fault> {
        let (start, end) = (self.call.start, self.call.end);
        let expr = Expr::Literal(Value::from(text));
        let call = Call {
            args: vec![Arg::Value(Node { expr, start, end })],
            keys: Vec::new(),
            start,
            end,
        };
        let text = match (function.run)(&call, &constants())? {
            Value::String(text) => text.into_owned(),
            other => {
                let noun = other.kind().noun();
                return Err(self
                    .call
                    .fault(format!("{} gave {noun}, not a string", function.name)));
            }
        };
        Ok(match &self.format {
            Some(format) => format.replacen("%s", &text, 1),
            None => text,
        })
    }
}

const NO_FORMAT: &str = "the format has %s once and no other %";

fn is_format(text: &str) -> bool {
    text.matches("%s").count() == 1 && text.matches('%').count() == 1
}

/// Checks the format, which is the argument at `at`, if it is a literal.
pub(super) fn check_format(args: &[Arg], at: usize) -> Result<(), (usize, String)> {
    match literal_text(args, at) {
        Some(format) if !is_format(format) => Err((at, NO_FORMAT.to_owned())),
        _ => Ok(()),
    }
}
