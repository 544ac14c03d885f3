//! Arguments as functions read them.

use std::borrow::Cow;

use crate::error::Fault;
use crate::eval::{Held, Reader};
use crate::pattern::{Glob, Pattern};
use crate::tree::{Arg, Call, Node, PathNode};
use crate::value::{Map, Value};

static ABSENT: Arg = Arg::Absent;

impl Call {
    pub(crate) fn fault(&self, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { message: message.into(), start: self.start, end: self.end }
    }

    /// An argument by its parameter's place.
    pub(super) fn arg(&self, at: usize) -> &Arg {
        self.args.get(at).unwrap_or(&ABSENT)
    }

    pub(super) fn node(&self, at: usize) -> Option<&Node> {
        match self.arg(at) {
            Arg::Value(node) => Some(node),
            _ => None,
        }
    }

    /// The value, nil for an argument that is not there.
    pub(super) fn value<'a>(&'a self, at: usize, reader: &Reader<'a>) -> Result<Value<'a>, Fault> {
        self.node(at).map_or(Ok(Value::Nil), |node| node.eval(reader))
    }

    /// The value without copying a literal.
    pub(super) fn look<'a>(&'a self, at: usize, reader: &Reader<'a>) -> Result<Held<'a>, Fault> {
        self.node(at).map_or(Ok(Held::Own(Value::Nil)), |node| node.look(reader))
    }

    /// What is wrong with an argument's value.
    pub(super) fn wrong(&self, at: usize, wanted: &str, found: &Value<'_>) -> Fault {
        let message = format!("this has to be {wanted}, and is {}", found.kind().noun());
        match self.node(at) {
            Some(node) => node.fault(message),
            None => self.fault(message),
        }
    }

    pub(super) fn text<'a>(
        &'a self,
        at: usize,
        reader: &Reader<'a>,
    ) -> Result<Cow<'a, str>, Fault> {
        match self.value(at, reader)? {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(at, "a string", &other)),
        }
    }

    pub(super) fn int(&self, at: usize, reader: &Reader<'_>) -> Result<i64, Fault> {
        match self.value(at, reader)? {
            Value::Int(value) => Ok(value),
            other => Err(self.wrong(at, "an integer", &other)),
        }
    }

    /// An integer that counts something.
    pub(super) fn count(&self, at: usize, reader: &Reader<'_>) -> Result<usize, Fault> {
        let value = self.int(at, reader)?;
        usize::try_from(value).map_err(|_| {
            let message = format!("this is not to be negative, and is {value}");
            self.node(at).map_or_else(|| self.fault("negative"), |node| node.fault(message))
        })
    }

    pub(super) fn boolean(&self, at: usize, reader: &Reader<'_>) -> Result<bool, Fault> {
        match self.value(at, reader)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.wrong(at, "a boolean", &other)),
        }
    }

    pub(super) fn time(&self, at: usize, reader: &Reader<'_>) -> Result<i64, Fault> {
        match self.value(at, reader)? {
            Value::Time(nanos) => Ok(nanos),
            other => Err(self.wrong(at, "a time", &other)),
        }
    }

    pub(super) fn duration(&self, at: usize, reader: &Reader<'_>) -> Result<i64, Fault> {
        match self.value(at, reader)? {
            Value::Duration(nanos) => Ok(nanos),
            other => Err(self.wrong(at, "a duration", &other)),
        }
    }

    pub(super) fn list<'a>(
        &'a self,
        at: usize,
        reader: &Reader<'a>,
    ) -> Result<Vec<Value<'a>>, Fault> {
        match self.value(at, reader)? {
            Value::List(list) => Ok(list),
            other => Err(self.wrong(at, "a list", &other)),
        }
    }

    pub(super) fn map<'a>(&'a self, at: usize, reader: &Reader<'a>) -> Result<Map<'a>, Fault> {
        match self.value(at, reader)? {
            Value::Map(map) => Ok(map),
            other => Err(self.wrong(at, "a map", &other)),
        }
    }

    pub(super) fn has(&self, at: usize) -> bool {
        !matches!(self.arg(at), Arg::Absent)
    }

    /// A text, or what stands for it where it is left out.
    pub(super) fn text_or<'a>(
        &'a self,
        at: usize,
        reader: &Reader<'a>,
        default: &'static str,
    ) -> Result<Cow<'a, str>, Fault> {
        if self.has(at) { self.text(at, reader) } else { Ok(Cow::Borrowed(default)) }
    }

    /// The texts of a literal list; none where it is left out.
    pub(super) fn texts(&self, at: usize) -> &[String] {
        match self.arg(at) {
            Arg::Texts(texts) => texts,
            _ => &[],
        }
    }

    /// Which word it is; the first where it is left out.
    pub(super) fn choice(&self, at: usize) -> usize {
        match self.arg(at) {
            Arg::Choice(which) => *which,
            _ => 0,
        }
    }

    pub(super) fn path(&self, at: usize) -> Result<&PathNode, Fault> {
        match self.arg(at) {
            Arg::Path(node) => Ok(node),
            _ => Err(self.fault("there is no path")),
        }
    }

    pub(super) fn pattern(&self, at: usize) -> Result<&Pattern, Fault> {
        match self.arg(at) {
            Arg::Pattern(pattern) => Ok(pattern),
            _ => Err(self.fault("there is no pattern")),
        }
    }

    pub(super) fn glob(&self, at: usize) -> Result<&Glob, Fault> {
        match self.arg(at) {
            Arg::Glob(glob) => Ok(glob),
            _ => Err(self.fault("there is no glob")),
        }
    }
}

/// A literal text among the arguments, to be checked before anything runs.
pub(super) fn literal_text(args: &[Arg], at: usize) -> Option<&str> {
    match args.get(at) {
        Some(Arg::Value(node)) => match node.literal() {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// A literal integer among the arguments.
pub(super) fn literal_int(args: &[Arg], at: usize) -> Option<i64> {
    match args.get(at) {
        Some(Arg::Value(node)) => match node.literal() {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        },
        _ => None,
    }
}
