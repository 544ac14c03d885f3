//! What a text is after parsing.

use jiff::tz::TimeZone;

use crate::compare::CompareOp;
use crate::functions::{Converter, Editor};
use crate::math::MathOp;
use crate::networks::Network;
use crate::path::{Context, Path};
use crate::pattern::{Glob, Pattern};
use crate::timeformat::TimeFormat;
use crate::value::{Kind, Value};

/// An editor and the condition under which it runs.
#[derive(Debug)]
pub struct Statement {
    pub(crate) text: String,
    pub(crate) context: Context,
    pub(crate) editor: &'static Editor,
    pub(crate) call: Call,
    pub(crate) condition: Option<Test>,
}

/// A boolean expression.
#[derive(Debug)]
pub struct Condition {
    pub(crate) text: String,
    pub(crate) context: Context,
    pub(crate) test: Test,
}

/// Something that is true or false.
#[derive(Debug)]
pub(crate) enum Test {
    Constant(bool),
    /// A converter's call that says which.
    Value(Node),
    Compare {
        op: CompareOp,
        left: Node,
        right: Node,
    },
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Vec<Test>),
}

/// An expression and where it is, in bytes.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) expr: Expr,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Something that has a value.
#[derive(Debug)]
pub(crate) enum Expr {
    Literal(Value<'static>),
    Path(PathNode),
    /// Not all of its parts are literals.
    List(Vec<Node>),
    /// Not all of its parts are literals.
    Map(Vec<(String, Node)>),
    Call(&'static Converter, Call),
    Math {
        op: MathOp,
        left: Box<Node>,
        right: Box<Node>,
    },
    Negate(Box<Node>),
}

/// A path, some of whose keys may have to be computed.
#[derive(Debug)]
pub(crate) struct PathNode {
    pub(crate) path: Path,
    /// Which key, and from what.
    pub(crate) computed: Vec<(usize, Node)>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A function's arguments, as many as it has parameters.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) args: Vec<Arg>,
    /// What is taken out of the result.
    pub(crate) keys: Vec<Node>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// An argument as its parameter takes it.
#[derive(Debug)]
pub(crate) enum Arg {
    /// An optional one that is not there.
    Absent,
    Value(Node),
    /// Of something to be changed.
    Path(PathNode),
    Pattern(Pattern),
    Glob(Glob),
    Texts(Vec<String>),
    /// Which of the words that the parameter takes.
    Choice(usize),
    Function(&'static Converter),
    TimeFormat(TimeFormat),
    TimeZone(TimeZone),
    Networks(Vec<Network>),
}

impl Node {
    pub(crate) fn new(expr: Expr, start: usize, end: usize) -> Self {
        Self { expr, start: offset(start), end: offset(end) }
    }

    /// What it will be, as far as that is known. A path's or converter's may be nil all the same.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match &self.expr {
            Expr::Literal(value) => Some(value.kind()),
            Expr::Path(node) => node.path.kind(),
            Expr::List(_) => Some(Kind::List),
            Expr::Map(_) => Some(Kind::Map),
            Expr::Call(converter, call) if call.keys.is_empty() => converter.returns,
            Expr::Call(..) | Expr::Math { .. } | Expr::Negate(_) => None,
        }
    }

    pub(crate) fn literal(&self) -> Option<&Value<'static>> {
        match &self.expr {
            Expr::Literal(value) => Some(value),
            _ => None,
        }
    }

    fn paths<'t>(&'t self, visit: &mut dyn FnMut(&'t Path)) {
        match &self.expr {
            Expr::Literal(_) => {}
            Expr::Path(node) => node.paths(visit),
            Expr::List(nodes) => nodes.iter().for_each(|node| node.paths(visit)),
            Expr::Map(entries) => entries.iter().for_each(|(_, node)| node.paths(visit)),
            Expr::Call(_, call) => call.paths(visit),
            Expr::Math { left, right, .. } => {
                left.paths(visit);
                right.paths(visit);
            }
            Expr::Negate(node) => node.paths(visit),
        }
    }
}

impl PathNode {
    fn paths<'t>(&'t self, visit: &mut dyn FnMut(&'t Path)) {
        visit(&self.path);
        self.computed.iter().for_each(|(_, node)| node.paths(visit));
    }
}

impl Call {
    fn paths<'t>(&'t self, visit: &mut dyn FnMut(&'t Path)) {
        for arg in &self.args {
            match arg {
                Arg::Value(node) => node.paths(visit),
                Arg::Path(node) => node.paths(visit),
                _ => {}
            }
        }
        self.keys.iter().for_each(|node| node.paths(visit));
    }
}

impl Test {
    fn paths<'t>(&'t self, visit: &mut dyn FnMut(&'t Path)) {
        match self {
            Self::Constant(_) => {}
            Self::Value(node) => node.paths(visit),
            Self::Compare { left, right, .. } => {
                left.paths(visit);
                right.paths(visit);
            }
            Self::Not(test) => test.paths(visit),
            Self::And(tests) | Self::Or(tests) => {
                tests.iter().for_each(|test| test.paths(visit));
            }
        }
    }
}

impl Statement {
    /// The text that it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The context that it was parsed for.
    pub fn context(&self) -> Context {
        self.context
    }

    /// The editor's name.
    pub fn editor(&self) -> &'static str {
        self.editor.name
    }

    /// What the editor changes. Keys that have to be computed are empty names in it.
    pub fn target(&self) -> Option<&Path> {
        self.call.args.iter().find_map(|arg| match arg {
            Arg::Path(node) => Some(&node.path),
            _ => None,
        })
    }

    /// Whether it runs only under a condition.
    pub fn has_condition(&self) -> bool {
        self.condition.is_some()
    }

    /// Calls with every path that is read or written.
    pub fn for_each_path<'t>(&'t self, visit: &mut dyn FnMut(&'t Path)) {
        self.call.paths(visit);
        self.condition.iter().for_each(|test| test.paths(visit));
    }
}

impl Condition {
    /// The text that it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The context that it was parsed for.
    pub fn context(&self) -> Context {
        self.context
    }

    /// Calls with every path that is read.
    pub fn for_each_path<'t>(&'t self, visit: &mut dyn FnMut(&'t Path)) {
        self.test.paths(visit);
    }
}

/// A place in a text, which is shorter than 4 GB.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
