//! Expressions over one span: what stands in `{ … }`, `by(…)` and `avg(…)`.

use super::value::{ArithmeticOp, Static};
use crate::Pattern;

/// An expression over one span. Constant parts are folded.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldExpr {
    /// A constant.
    Static(Static),
    /// A value of the span.
    Field(Field),
    /// `a && b && …`, at least two.
    All(Vec<FieldExpr>),
    /// `a || b || …`, at least two.
    Any(Vec<FieldExpr>),
    /// `left op right`; false where a side has no value or the types differ.
    Compare {
        /// The operator.
        op: CompareOp,
        /// Left of the operator.
        left: Box<FieldExpr>,
        /// Right of the operator.
        right: Box<FieldExpr>,
    },
    /// `value =~ "…"`, or `!~` if negated; false where there is no value or no text.
    Matches {
        /// What is matched.
        value: Box<FieldExpr>,
        /// The pattern.
        pattern: Pattern,
        /// `!~`.
        negated: bool,
    },
    /// `value != nil`, or `= nil` if negated.
    Exists {
        /// What has to be there.
        value: Box<FieldExpr>,
        /// `= nil`.
        negated: bool,
    },
    /// `left op right`.
    Arithmetic {
        /// The operator.
        op: ArithmeticOp,
        /// Left of the operator.
        left: Box<FieldExpr>,
        /// Right of the operator.
        right: Box<FieldExpr>,
    },
    /// `-inner`.
    Negate(Box<FieldExpr>),
    /// `!inner`.
    Not(Box<FieldExpr>),
}

/// `= != < <= > >=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

impl CompareOp {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether values that compare like this satisfy the operator.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// The operator with its sides exchanged: `a < b` is `b > a`.
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }
}

/// A value that a span has or may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// An attribute that the instrumentation set.
    Attribute(Attribute),
    /// What every span of the data model has.
    Intrinsic(Intrinsic),
}

/// A named attribute and where to look for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// Where it is.
    pub scope: Scope,
    /// Of the span's parent instead of the span.
    pub parent: bool,
    /// Its key; not empty.
    pub name: String,
}

/// Where an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `.x`: the first of span, resource, event, link and instrumentation that has it.
    Any,
    /// `span.x`.
    Span,
    /// `resource.x`.
    Resource,
    /// `event.x`: any event of the span.
    Event,
    /// `link.x`: any link of the span.
    Link,
    /// `instrumentation.x`: the instrumentation scope.
    Instrumentation,
}

impl Scope {
    /// All that have a name.
    pub const NAMED: [Self; 5] =
        [Self::Span, Self::Resource, Self::Event, Self::Link, Self::Instrumentation];

    /// As it is written, without the dot; empty for [`Scope::Any`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Span => "span",
            Self::Resource => "resource",
            Self::Event => "event",
            Self::Link => "link",
            Self::Instrumentation => "instrumentation",
        }
    }
}

macro_rules! intrinsics {
    ($($variant:ident $name:literal $(| $other:literal)?: $note:literal,)*) => {
        /// What a span, its trace, its events, links and scope have in the data model.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Intrinsic {
            $(#[doc = concat!("`", $name, "`: ", $note)] $variant,)*
        }

        impl Intrinsic {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that it prints as and that series are labelled with.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// A second spelling, if it has one.
            pub fn alias(self) -> Option<&'static str> {
                match self {
                    $($(Self::$variant => Some($other),)?)*
                    _ => None,
                }
            }
        }
    };
}

intrinsics! {
    TraceId "trace:id": "the trace's id in hexadecimal digits; a text.",
    TraceDuration "traceDuration" | "trace:duration": "from the trace's first start to its last end.",
    RootName "rootName" | "trace:rootName": "name of the trace's root span.",
    RootServiceName "rootServiceName" | "trace:rootService": "service of the trace's root span.",
    SpanId "span:id": "the span's id in hexadecimal digits; a text.",
    ParentId "span:parentID": "the parent's id in hexadecimal digits; a text.",
    Duration "duration" | "span:duration": "the span's end minus its start.",
    Name "name" | "span:name": "the span's name.",
    Kind "kind" | "span:kind": "the span's kind.",
    Status "status" | "span:status": "the span's status code.",
    StatusMessage "statusMessage" | "span:statusMessage": "the text beside the status code.",
    ChildCount "span:childCount": "the number of direct children.",
    EventName "event:name": "the name of an event of the span.",
    EventTimeSinceStart "event:timeSinceStart": "time of an event minus the span's start.",
    LinkTraceId "link:traceID": "the trace that a link of the span points to.",
    LinkSpanId "link:spanID": "the span that a link of the span points to.",
    InstrumentationName "instrumentation:name": "name of the instrumentation scope.",
    InstrumentationVersion "instrumentation:version": "version of the instrumentation scope.",
    NestedSetLeft "nestedSetLeft": "the span's left bound in the nested set of its trace.",
    NestedSetRight "nestedSetRight": "the span's right bound in that nested set.",
    NestedSetParent "nestedSetParent": "the parent's left bound; -1 for a root.",
    Parent "parent": "the parent span; only compared to nil.",
}

impl Intrinsic {
    /// The intrinsic of this spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |of: &&Self| of.name() == name || of.alias() == Some(name);
        Self::ALL.iter().find(named).copied()
    }
}
