//! Paths and keys.

use super::{Parsed, Parser};
use crate::error::ErrorKind;
use crate::lexer::{Token, TokenKind};
use crate::path::{Context, Entry, Key, Owner, Path, find, names};
use crate::suggest::did_you_mean;
use crate::tree::{Expr, Node, PathNode, offset};
use crate::value::Value;

/// Contexts of the Collector's other signals.
const OTHER_SIGNALS: [&str; 5] = ["log", "metric", "datapoint", "profile", "profilesample"];

impl<'a> Parser<'a> {
    /// A path, and its depth.
    pub(super) fn path(&mut self) -> Parsed<(Expr, usize)> {
        let start = self.start();
        let mut segments = vec![self.segment()?];
        while self.take(".") {
            segments.push(self.segment()?);
        }
        let names_end = self.end();
        let entry = self.entry(&segments)?;
        let (nodes, depth) = self.keys()?;
        if self.sign() == "." {
            let (start, end) = (self.start(), self.token().end);
            let message = "after keys there are no fields; a key is written [\"name\"]";
            return self.fail(ErrorKind::Parse, start, end, message);
        }
        if nodes.len() > entry.keys_max {
            let message = match entry.keys_max {
                0 => format!("{} has no keys", entry.name),
                most => format!("{} has at most {most} keys", entry.name),
            };
            return self.invalid(names_end, self.end(), message);
        }
        let (mut keys, mut computed) = (Vec::with_capacity(nodes.len()), Vec::new());
        for (at, node) in nodes.into_iter().enumerate() {
            keys.push(match node.literal() {
                Some(Value::String(name)) => Key::Name(name.clone().into_owned()),
                Some(Value::Int(index)) => {
                    Key::Index(usize::try_from(*index).unwrap_or(usize::MAX))
                }
                _ => {
                    computed.push((at, node));
                    Key::Name(String::new())
                }
            });
        }
        let path = Path { field: entry.field, keys };
        let (start, end) = (offset(start), offset(self.end()));
        let depth = self.above(depth, start as usize)?;
        Ok((Expr::Path(PathNode { path, computed, start, end }), depth))
    }

    /// One name of a path.
    fn segment(&mut self) -> Parsed<(&'a str, usize, usize)> {
        let Token { start, end, .. } = *self.token();
        let word = self.word();
        if word.is_empty() {
            return Err(self.unexpected(&["a field's name"]));
        }
        self.advance();
        Ok((word, start, end))
    }

    /// `[…][…]`, and the depth of the deepest.
    pub(super) fn keys(&mut self) -> Parsed<(Vec<Node>, usize)> {
        let (mut nodes, mut depth) = (Vec::new(), 0);
        while self.take("[") {
            let (node, below) = self.value()?;
            let (start, end) = (node.start as usize, node.end as usize);
            match node.literal() {
                None | Some(Value::String(_)) => {}
                Some(Value::Int(index)) if *index >= 0 => {}
                Some(Value::Int(_)) => return self.invalid(start, end, "an index is not negative"),
                Some(other) => {
                    let noun = other.kind().noun();
                    let message = format!("a key is a string or an integer, not {noun}");
                    return self.invalid(start, end, message);
                }
            }
            self.expect("]")?;
            nodes.push(node);
            depth = depth.max(below);
        }
        Ok((nodes, depth))
    }

    /// The field that a path's names are.
    fn entry(&self, segments: &[(&str, usize, usize)]) -> Parsed<&'static Entry> {
        let Some((&(first, start, first_end), rest)) = segments.split_first() else {
            return self.fail(ErrorKind::Parse, 0, 0, "a path has a name");
        };
        let end = segments.last().map_or(first_end, |(_, _, end)| *end);
        let joined = |parts: &[(&str, usize, usize)]| {
            parts.iter().map(|(word, ..)| *word).collect::<Vec<_>>().join(".")
        };
        let owner = match Context::from_name(first) {
            Some(context) => Some(Owner::Of(context)),
            None => (first == "otelcol").then_some(Owner::Client),
        };
        let (owner, name, name_start) = match (owner, rest) {
            (Some(owner), [(_, start, _), ..]) => (owner, joined(rest), *start),
            (Some(owner), []) => {
                let message = format!("{first} alone is nothing to read; name one of its fields");
                let advice = names(owner).next().unwrap_or_default();
                let message = format!("{message}, such as {first}.{advice}");
                return self.invalid(start, end, message);
            }
            (None, _) => (Owner::Of(self.context), joined(segments), start),
        };
        if let Owner::Of(context) = owner
            && context > self.context
        {
            let own = self.context.name();
            let message =
                format!("a statement for a {own} sees no {}: there may be many", context.name());
            return self.invalid(start, end, message);
        }
        if let Some(entry) = find(owner, &name, self.context) {
            return Ok(entry);
        }
        if OTHER_SIGNALS.contains(&first) && !rest.is_empty() {
            let message = format!("{first} is of another signal; Spanfall has traces");
            return self.fail(ErrorKind::Unsupported, start, end, message);
        }
        let own = self.context.name();
        if name == "cache" {
            let message = format!("a statement for a {own} has its own cache only: {own}.cache");
            return self.invalid(start, end, message);
        }
        let outer = Context::ALL.into_iter().filter(|context| *context < self.context).rev();
        let elsewhere = outer
            .filter(|context| find(Owner::Of(*context), &name, self.context).is_some())
            .map(|context| format!("{}.{name}", context.name()))
            .next();
        let prefix = match owner {
            Owner::Of(context) => context.name(),
            Owner::Client => "otelcol",
        };
        let advice = match (elsewhere, did_you_mean(&name, names(owner))) {
            (Some(path), _) if name_start == start => format!("; did you mean {path}?"),
            (_, Some(near)) => format!("; did you mean {prefix}.{near}?"),
            _ => {
                let all: Vec<&str> = names(owner).collect();
                format!("; there are {}", all.join(", "))
            }
        };
        self.invalid(name_start, end, format!("{prefix} has no field {name}{advice}"))
    }
}

/// Whether a token is the name of a field in front of which there is no context.
pub(super) fn starts_path(before: Option<&TokenKind>, after: Option<&TokenKind>) -> bool {
    !matches!(before, Some(TokenKind::Sign(".")))
        && !matches!(after, Some(TokenKind::Sign("(" | "=")))
}
