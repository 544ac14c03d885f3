//! What came over the wire becomes a [`Predicate`], or an error that names the part at fault.

use traceql::{CompareOp, Pattern};

use super::field::{Field, FieldKind};
use super::{
    Constant, DEPTH_MAX, LEVELS, Level, Many, OPERATORS, Operand, PARTS_MAX, PATTERNS_MAX,
    Predicate, Reference,
};
use crate::jaeger::grpc::expression::v1::expression::Term;
use crate::jaeger::grpc::expression::v1::{Call, List, Scalar};
use crate::jaeger::params::duration;
use crate::jaeger::problem::Problem;
use crate::jaeger::time::parse_rfc3339;
use crate::jaeger::v3_search::malformed;

/// The predicate that a call is. `place` is the parameter that has it.
pub(in crate::jaeger) fn check(place: &str, call: &Call) -> Result<Predicate, Problem> {
    count(place, call, &mut Size::default(), 1)?;
    predicate(place, call)
}

/// What of a filter costs.
#[derive(Default)]
struct Size {
    parts: usize,
    patterns: usize,
}

/// Bounds depth and size before anything else looks at the tree.
fn count(place: &str, call: &Call, size: &mut Size, depth: usize) -> Result<(), Problem> {
    if depth > DEPTH_MAX {
        return Err(malformed(place, format!("calls nest more than {DEPTH_MAX} deep")));
    }
    size.patterns += usize::from(call.op == "regex");
    if size.patterns > PATTERNS_MAX {
        return Err(malformed(place, format!("it has more than {PATTERNS_MAX} patterns")));
    }
    for arg in &call.args {
        size.parts += match &arg.term {
            Some(Term::List(list)) => list.values.len().max(1),
            _ => 1,
        };
        if size.parts > PARTS_MAX {
            return Err(malformed(place, format!("it has more than {PARTS_MAX} parts")));
        }
        if let Some(Term::Call(inner)) = &arg.term {
            count(place, inner, size, depth + 1)?;
        }
    }
    Ok(())
}

/// An argument and what to call it.
struct Arg<'a> {
    place: String,
    term: Option<&'a Term>,
}

impl<'a> Arg<'a> {
    fn wrong<T>(&self, problem: impl std::fmt::Display) -> Result<T, Problem> {
        Err(malformed(&self.place, problem))
    }

    fn predicate(&self) -> Result<Predicate, Problem> {
        match self.term {
            Some(Term::Call(call)) => predicate(&format!("{}.call", self.place), call),
            _ => self.wrong("expecting a call"),
        }
    }

    fn reference(&self) -> Result<Reference, Problem> {
        match self.term {
            Some(Term::Attr(attr)) => {
                let level = match attr.level.as_str() {
                    "" => None,
                    name => Some(self.level(name)?),
                };
                if attr.key.is_empty() {
                    return self.wrong("an attribute has a key");
                }
                Ok(Reference::Attribute { level, key: attr.key.clone() })
            }
            Some(Term::Field(field)) => {
                let level = self.level(&field.level)?;
                Field::of(level, &field.name).map(Reference::Field).map_or_else(
                    || {
                        let known = Field::ALL.iter().filter(|field| field.level() == level);
                        let known: Vec<&str> = known.map(|field| field.name()).collect();
                        self.wrong(format!(
                            "{:?} is no field of {}; known are {}",
                            field.name,
                            level.name(),
                            known.join(", ")
                        ))
                    },
                    Ok,
                )
            }
            _ => self.wrong("expecting an attribute or a field"),
        }
    }

    fn level(&self, name: &str) -> Result<Level, Problem> {
        match Level::of(name) {
            Some(level) => Ok(level),
            None => self.wrong(format!("{name:?} is no level; known are {}", LEVELS.join(", "))),
        }
    }

    fn attribute(&self) -> Result<Reference, Problem> {
        match self.reference()? {
            Reference::Field(_) => self.wrong("expecting an attribute"),
            attribute => Ok(attribute),
        }
    }

    fn list(&self) -> Result<&'a List, Problem> {
        match self.term {
            Some(Term::List(list)) if list.values.is_empty() => self.wrong("the list is empty"),
            Some(Term::List(list)) => Ok(list),
            _ => self.wrong("expecting a list"),
        }
    }

    fn scalar(&self) -> Option<&'a Scalar> {
        match self.term {
            Some(Term::Scalar(scalar)) => Some(scalar),
            _ => None,
        }
    }
}

fn predicate(place: &str, call: &Call) -> Result<Predicate, Problem> {
    let places = (0..).map(|at: usize| format!("{place}.args[{at}]"));
    let args: Vec<Arg<'_>> =
        places.zip(&call.args).map(|(place, arg)| Arg { place, term: arg.term.as_ref() }).collect();
    let op = call.op.as_str();
    let wants = match op {
        "and" | "or" if args.len() >= 2 => {
            let all = args.iter().map(Arg::predicate).collect::<Result<Vec<_>, _>>()?;
            return Ok(if op == "and" { Predicate::All(all) } else { Predicate::Any(all) });
        }
        "and" | "or" => "two arguments or more",
        "not" | "exists" => "one argument",
        known if OPERATORS.contains(&known) => "two arguments",
        _ => {
            let known = OPERATORS.join(", ");
            let text = format!("{op:?} is no operator; known are {known}");
            return Err(malformed(&format!("{place}.op"), text));
        }
    };
    match (op, &args[..]) {
        ("not", [inner]) => Ok(Predicate::Not(Box::new(inner.predicate()?))),
        ("exists", [value]) => Ok(Predicate::Exists(value.reference()?)),
        ("some", [of, inner]) => {
            let many = match of.term {
                Some(Term::Nested(nested)) if nested.level == "event" => Many::Events,
                Some(Term::Nested(nested)) if nested.level == "link" => Many::Links,
                _ => return of.wrong("expecting nested event or link"),
            };
            Ok(Predicate::Some(many, Box::new(inner.predicate()?)))
        }
        ("regex", [value, pattern]) => regex(value, pattern),
        ("in" | "not_in", [value, list]) => {
            let (reference, found) = (value.reference()?, list.list()?);
            let constants = found.values.iter().map(|text| {
                let scalar = Scalar { value: text.clone(), r#type: found.r#type.clone() };
                constant(list, &scalar, Some(&reference))
            });
            let constants = constants.collect::<Result<Vec<_>, _>>()?;
            Ok(Predicate::In { value: reference, list: constants, negated: op == "not_in" })
        }
        ("phrase" | "fulltext", [value, list]) => {
            let reference = value.attribute()?;
            let found = list.list()?;
            if !["", "string"].contains(&found.r#type.as_str()) {
                return list.wrong("words are texts");
            }
            let is_word =
                |word: &&String| !word.is_empty() && super::eval::words(word).eq([&***word]);
            if let Some(other) = found.values.iter().find(|word| !is_word(word)) {
                return list.wrong(format!("{other:?} is not one word"));
            }
            let words = found.values.iter().map(|word| word.to_ascii_lowercase()).collect();
            Ok(Predicate::Words { value: reference, words, is_phrase: op == "phrase" })
        }
        (_, [left, right]) => match comparison(op) {
            Some(operator) => compare(operator, left, right),
            None => Err(malformed(place, format!("{op} takes {wants}"))),
        },
        _ => Err(malformed(place, format!("{op} takes {wants}, not {}", args.len()))),
    }
}

fn comparison(op: &str) -> Option<CompareOp> {
    Some(match op {
        "eq" => CompareOp::Equal,
        "ne" => CompareOp::NotEqual,
        "gt" => CompareOp::Greater,
        "lt" => CompareOp::Less,
        "gte" => CompareOp::GreaterOrEqual,
        "lte" => CompareOp::LessOrEqual,
        _ => return None,
    })
}

fn compare(op: CompareOp, left: &Arg<'_>, right: &Arg<'_>) -> Result<Predicate, Problem> {
    let place = left;
    let (left, right) = match (left.scalar(), right.scalar()) {
        (Some(_), Some(_)) => {
            return left.wrong("expecting an attribute or a field on one side");
        }
        (Some(scalar), None) => {
            let reference = right.reference()?;
            let found = constant(left, scalar, Some(&reference))?;
            (Operand::Constant(found), Operand::Reference(reference))
        }
        (None, Some(scalar)) => {
            let reference = left.reference()?;
            let found = constant(right, scalar, Some(&reference))?;
            (Operand::Reference(reference), Operand::Constant(found))
        }
        (None, None) => {
            let (one, other) = (left.reference()?, right.reference()?);
            if let (Reference::Field(one), Reference::Field(other)) = (&one, &other)
                && one.kind().domain() != other.kind().domain()
            {
                let (one, other) = (one.kind().domain(), other.kind().domain());
                return right.wrong(format!("a {other} does not compare with a {one}"));
            }
            (Operand::Reference(one), Operand::Reference(other))
        }
    };
    let has_no_order = |side: &Operand| match side {
        Operand::Reference(Reference::Field(field)) => field.kind().words().is_some(),
        Operand::Constant(constant) => matches!(constant, Constant::Bool(_)),
        Operand::Reference(_) => false,
    };
    let is_ordered = !matches!(op, CompareOp::Equal | CompareOp::NotEqual);
    if is_ordered && (has_no_order(&left) || has_no_order(&right)) {
        return place.wrong("booleans, span kinds and statuses have no order");
    }
    Ok(Predicate::Compare { op, left, right })
}

/// A constant as the reference beside it has it.
fn constant(
    place: &Arg<'_>,
    scalar: &Scalar,
    beside: Option<&Reference>,
) -> Result<Constant, Problem> {
    let (text, kind) = (scalar.value.as_str(), scalar.r#type.as_str());
    if let Some(Reference::Field(field)) = beside {
        return of_field(place, text, kind, *field);
    }
    let read = |constant: Option<Constant>| match constant {
        Some(constant) => Ok(constant),
        None => place.wrong(format!("{text:?} is no {kind}")),
    };
    match kind {
        "" => Ok(Constant::Any(text.to_owned())),
        "string" => Ok(Constant::Text(text.to_owned())),
        "int" => read(text.parse().ok().map(Constant::Int)),
        "double" => read(text.parse().ok().map(Constant::Double)),
        "bool" => read(text.parse().ok().map(Constant::Bool)),
        _ => place.wrong(format!("{kind:?} is no type; known are string, int, double, bool")),
    }
}

fn of_field(place: &Arg<'_>, text: &str, kind: &str, field: Field) -> Result<Constant, Problem> {
    let name = format!("{}.{}", field.level().name(), field.name());
    let domain = field.kind().domain();
    if !["", "string"].contains(&kind) {
        return place.wrong(format!("{name} is a {domain}, not a {kind}"));
    }
    if let Some(words) = field.kind().words() {
        if !words.contains(&text) {
            let known = words.join(", ");
            return place.wrong(format!("{text:?} is no {domain}; known are {known}"));
        }
        return Ok(Constant::Text(text.to_owned()));
    }
    let id = |digits: usize| {
        let bare = text.trim_start_matches('0').to_ascii_lowercase();
        let is_id = bare.len() <= digits && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        Constant::Text(if is_id { format!("{bare:0>digits$}") } else { text.to_owned() })
    };
    match field.kind() {
        FieldKind::TraceId => Ok(id(32)),
        FieldKind::SpanId => Ok(id(16)),
        FieldKind::Duration => {
            let (sign, bare) = text.strip_prefix('-').map_or((1, text), |bare| (-1, bare));
            match duration(bare) {
                Ok(nanos) => Ok(Constant::Duration(sign * i128::from(nanos))),
                Err(error) => place.wrong(error),
            }
        }
        FieldKind::Instant => match parse_rfc3339(text) {
            Ok(nanos) => Ok(Constant::Instant(nanos)),
            Err(error) => place.wrong(error),
        },
        FieldKind::Text | FieldKind::Kind | FieldKind::Status => {
            Ok(Constant::Text(text.to_owned()))
        }
    }
}

fn regex(value: &Arg<'_>, pattern: &Arg<'_>) -> Result<Predicate, Problem> {
    let reference = value.reference()?;
    if let Reference::Field(field) = &reference
        && matches!(field.kind(), FieldKind::Duration | FieldKind::Instant)
    {
        return value.wrong(format!("a pattern matches texts, not a {}", field.kind().domain()));
    }
    let Some(Scalar { value: text, r#type }) = pattern.scalar() else {
        return pattern.wrong("expecting a scalar");
    };
    if !["", "string"].contains(&r#type.as_str()) {
        return pattern.wrong("a pattern is a string");
    }
    if let Some(what) = unshared(text) {
        return pattern.wrong(format!("{what} are not allowed in patterns"));
    }
    // The pattern on its own first: its parentheses must not close ours.
    let compiled = Pattern::new(text).and_then(|_| Pattern::new(&format!(".*(?-s:{text}).*")));
    match compiled {
        Ok(pattern) => Ok(Predicate::Matches(reference, pattern)),
        Err(error) => pattern.wrong(error),
    }
}

/// What of a pattern not all engines share (RFC 0005, operator `regex`).
fn unshared(pattern: &str) -> Option<&'static str> {
    let (mut in_class, mut after_repetition) = (false, false);
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        let repeats = std::mem::take(&mut after_repetition);
        match letter {
            '\\' => match letters.next() {
                Some('b' | 'B') if !in_class => return Some("word boundaries"),
                Some('A' | 'z') if !in_class => return Some("anchors"),
                _ => {}
            },
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            '^' | '$' => return Some("anchors"),
            '?' if repeats => return Some("lazy repetitions"),
            '*' | '+' | '?' | '}' => after_repetition = true,
            '(' if letters.peek() == Some(&'?') => {
                letters.next();
                if !matches!(letters.next(), Some(':' | 'P')) {
                    return Some("flags");
                }
            }
            _ => {}
        }
    }
    None
}
