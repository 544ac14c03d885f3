//! Editors and converters: their names, parameters and what they do.

mod args;
mod decode;
mod editors;
mod format;
mod hashes;
mod json;
mod keyvalue;
mod lists;
mod missing;
mod replace;
mod text;
mod time;
mod types;
mod urls;

pub(crate) use missing::why_missing;

use crate::error::Fault;
use crate::eval::{Reader, Writer};
use crate::path::Context;
use crate::tree::{Arg, Call};
use crate::value::{Kind, Value};

/// The most values that a converter makes of one text: it may be an item's, and a value takes many
/// times the memory of the letter that it is made of.
const VALUES_MAX: usize = 256 * 1024;

/// What is said about more.
fn too_many_values(call: &Call) -> Fault {
    call.fault(format!("texts of up to {VALUES_MAX} values are taken apart"))
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    /// Any value.
    Any,
    /// A value of one of these kinds. What is known only when it runs is checked then.
    Of(&'static [Kind]),
    /// A path that can be written to.
    Writable,
    /// A path of a map that can be written to.
    WritableMap,
    /// A literal of this kind.
    Literal(Kind),
    /// A literal string that is one of these.
    Choice(&'static [&'static str]),
    /// A literal list of literal strings.
    Texts,
    /// A literal string that is a regular expression.
    Pattern,
    /// A literal string that is a glob.
    Glob,
    /// The name of a converter of one string, or a call of it without arguments.
    Function,
    /// A literal string that is a format of times.
    TimeFormat,
    /// A literal string that names a time zone.
    TimeZone,
    /// A literal list of address ranges.
    Networks,
}

/// A parameter of a function.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) optional: bool,
}

const fn need(name: &'static str, takes: Takes) -> Param {
    Param { name, takes, optional: false }
}

const fn may(name: &'static str, takes: Takes) -> Param {
    Param { name, takes, optional: true }
}

const STRING: Takes = Takes::Of(&[Kind::String]);
const INT: Takes = Takes::Of(&[Kind::Int]);
const BOOL: Takes = Takes::Of(&[Kind::Bool]);
const LIST: Takes = Takes::Of(&[Kind::List]);
const MAP: Takes = Takes::Of(&[Kind::Map]);
const TIME: Takes = Takes::Of(&[Kind::Time]);
const DURATION: Takes = Takes::Of(&[Kind::Duration]);

/// What a converter does.
pub(crate) type Convert = for<'a> fn(&'a Call, &Reader<'a>) -> Result<Value<'a>, Fault>;

/// Checks arguments beyond what each parameter takes: which of them is wrong, and why.
pub(crate) type Check = fn(&[Arg]) -> Result<(), (usize, String)>;

/// A function that has a value and changes nothing.
#[derive(Debug)]
pub(crate) struct Converter {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Param],
    /// What its value is, if not nil.
    pub(crate) returns: Option<Kind>,
    pub(crate) run: Convert,
    pub(crate) check: Check,
    /// The outermost context in which it means something.
    pub(crate) context: Context,
    /// Whether it has the same value for the same arguments, whenever and wherever it runs.
    pub(crate) is_pure: bool,
}

impl Converter {
    const fn new(
        name: &'static str,
        params: &'static [Param],
        returns: Option<Kind>,
        run: Convert,
    ) -> Self {
        let context = Context::Resource;
        Self { name, params, returns, run, check: any, context, is_pure: true }
    }

    const fn impure(self) -> Self {
        Self { is_pure: false, ..self }
    }

    const fn within(self, context: Context) -> Self {
        Self { context, is_pure: false, ..self }
    }

    const fn checked(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// Whether it makes a string of one string, so that editors can be given it.
    pub(crate) fn is_of_one_text(&self) -> bool {
        let [first, rest @ ..] = self.params else { return false };
        let takes = match first.takes {
            Takes::Any => true,
            Takes::Of(kinds) => kinds.contains(&Kind::String),
            _ => false,
        };
        takes && rest.iter().all(|param| param.optional)
    }
}

/// A function that changes the target.
#[derive(Debug)]
pub(crate) struct Editor {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) run: fn(&Call, &mut Writer<'_>) -> Result<(), Fault>,
    pub(crate) check: Check,
}

impl Editor {
    const fn new(
        name: &'static str,
        params: &'static [Param],
        run: fn(&Call, &mut Writer<'_>) -> Result<(), Fault>,
    ) -> Self {
        Self { name, params, run, check: any }
    }

    const fn checked(self, check: Check) -> Self {
        Self { check, ..self }
    }
}

fn any(_: &[Arg]) -> Result<(), (usize, String)> {
    Ok(())
}

/// Every table of converters.
static CONVERTERS: [&[Converter]; 9] = [
    types::TABLE,
    text::TABLE,
    decode::TABLE,
    hashes::TABLE,
    json::TABLE,
    keyvalue::TABLE,
    lists::TABLE,
    time::TABLE,
    urls::TABLE,
];

pub(crate) fn converters() -> impl Iterator<Item = &'static Converter> {
    CONVERTERS.iter().flat_map(|table| table.iter())
}

pub(crate) fn converter(name: &str) -> Option<&'static Converter> {
    converters().find(|converter| converter.name == name)
}

pub(crate) fn editors() -> impl Iterator<Item = &'static Editor> {
    editors::TABLE.iter()
}

pub(crate) fn editor(name: &str) -> Option<&'static Editor> {
    editors().find(|editor| editor.name == name)
}
