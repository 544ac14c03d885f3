//! Editors.

use std::borrow::Cow;
use std::collections::HashMap;

use super::args::literal_int;
use super::replace::{Replacement, check_format};
use super::{BOOL, Editor, INT, LIST, MAP, Param, STRING, Takes, may, need};
use crate::error::Fault;
use crate::eval::Writer;
use crate::path::Path;
use crate::target::{Put, Refusal};
use crate::tree::{Arg, Call};
use crate::value::{Kind, Map, Value};

const TARGET: Param = need("target", Takes::Writable);
const TARGET_MAP: Param = need("target", Takes::WritableMap);
const FUNCTION: Param = may("function", Takes::Function);
const FORMAT: Param = may("replacement_format", STRING);
const MODES: &[&str] = &["key", "value"];
const STRATEGIES: &[&str] = &["insert", "update", "upsert"];

/// The longest map that is merged into another. Each entry is looked for among all of the target,
/// and the map may be what an item's text says.
const MERGED_MAX: usize = 4_096;

pub(super) static TABLE: &[Editor] = &[
    Editor::new("set", &[TARGET, need("value", Takes::Any)], |call, writer| {
        let path = call.target(writer)?;
        let value = call.own_value(1, writer)?;
        call.done(writer.set(&path, value))
    })
    .checked(|args| {
        let [Arg::Path(target), Arg::Value(value)] = args else { return Ok(()) };
        match (target.path.kind(), value.kind()) {
            (_, None | Some(Kind::Nil)) | (None, _) => Ok(()),
            (Some(wanted), Some(found)) if wanted == found => Ok(()),
            (Some(wanted), Some(found)) => {
                let (path, wanted, found) = (&target.path, wanted.noun(), found.noun());
                Err((1, format!("{path} is {wanted}, and this is {found}")))
            }
        }
    }),
    Editor::new("append", &[TARGET, may("value", Takes::Any), may("values", LIST)], append)
        .checked(|args| match args {
            [_, Arg::Absent, Arg::Absent] => {
                Err((0, "append takes a value or a list of values".to_owned()))
            }
            _ => Ok(()),
        }),
    Editor::new("delete_key", &[TARGET_MAP, need("key", STRING)], |call, writer| {
        let path = call.target(writer)?;
        let key = call.own_text(1, writer)?;
        call.done(writer.retain_keys(&path, &mut |other| *other != *key))
    }),
    Editor::new(
        "delete_index",
        &[TARGET, need("start_index", INT), may("end_index", INT)],
        delete_index,
    ),
    Editor::new(
        "delete_matching_keys",
        &[TARGET_MAP, need("pattern", Takes::Pattern)],
        |call, writer| {
            let (path, pattern) = (call.target(writer)?, call.pattern(1)?);
            call.done(writer.retain_keys(&path, &mut |key| !pattern.is_match(key)))
        },
    ),
    Editor::new("keep_keys", &[TARGET_MAP, need("keys", Takes::Texts)], |call, writer| {
        let (path, keys) = (call.target(writer)?, call.texts(1));
        call.done(writer.retain_keys(&path, &mut |key| keys.iter().any(|kept| kept == key)))
    }),
    Editor::new(
        "keep_matching_keys",
        &[TARGET_MAP, need("pattern", Takes::Pattern)],
        |call, writer| {
            let (path, pattern) = (call.target(writer)?, call.pattern(1)?);
            call.done(writer.retain_keys(&path, &mut |key| pattern.is_match(key)))
        },
    ),
    Editor::new(
        "replace_match",
        &[TARGET, need("pattern", Takes::Glob), need("replacement", STRING), FUNCTION, FORMAT],
        |call, writer| {
            let path = call.target(writer)?;
            let glob = call.glob(1)?;
            let matches = match writer.get(&path) {
                Value::String(text) => glob.is_match(&text),
                _ => false,
            };
            if !matches {
                return Ok(());
            }
            let text = Replacement::new(call, 2, writer)?.whole()?;
            call.done(writer.set(&path, Value::from(text)))
        },
    )
    .checked(|args| check_format(args, 4)),
    Editor::new(
        "replace_pattern",
        &[TARGET, need("regex", Takes::Pattern), need("replacement", STRING), FUNCTION, FORMAT],
        |call, writer| {
            let path = call.target(writer)?;
            let pattern = call.pattern(1)?;
            let replacement = Replacement::new(call, 2, writer)?;
            let replaced = match writer.get(&path) {
                Value::String(text) => replacement.matches(pattern, &text)?,
                _ => None,
            };
            match replaced {
                Some(text) => call.done(writer.set(&path, Value::from(text))),
                None => Ok(()),
            }
        },
    )
    .checked(|args| check_format(args, 4)),
    Editor::new(
        "replace_all_matches",
        &[TARGET_MAP, need("pattern", Takes::Glob), need("replacement", STRING), FUNCTION, FORMAT],
        |call, writer| {
            let path = call.target(writer)?;
            let glob = call.glob(1)?;
            let replacement = Replacement::new(call, 2, writer)?;
            let mut fault = None;
            let edited = writer.edit_texts(&path, &mut |text| {
                let matches = fault.is_none() && glob.is_match(text);
                matches.then(|| keep_fault(replacement.whole(), &mut fault)).flatten()
            });
            fault.map_or_else(|| call.done(edited), Err)
        },
    )
    .checked(|args| check_format(args, 4)),
    Editor::new(
        "replace_all_patterns",
        &[
            TARGET_MAP,
            need("mode", Takes::Choice(MODES)),
            need("regex", Takes::Pattern),
            need("replacement", STRING),
            FUNCTION,
            FORMAT,
        ],
        |call, writer| {
            let path = call.target(writer)?;
            let pattern = call.pattern(2)?;
            let replacement = Replacement::new(call, 3, writer)?;
            let mut fault = None;
            let mut replace = |text: &str| {
                let replaced = replacement.matches(pattern, text);
                if fault.is_some() { None } else { keep_fault(replaced, &mut fault).flatten() }
            };
            let edited = match call.choice(1) {
                0 => writer.rename_keys(&path, &mut replace),
                _ => writer.edit_texts(&path, &mut replace),
            };
            fault.map_or_else(|| call.done(edited), Err)
        },
    )
    .checked(|args| check_format(args, 5)),
    Editor::new(
        "truncate_all",
        &[
            TARGET_MAP,
            need("limit", Takes::Literal(Kind::Int)),
            may("utf8_safe", Takes::Literal(Kind::Bool)),
            may("truncation_marker", Takes::Literal(Kind::String)),
        ],
        truncate_all,
    )
    .checked(|args| {
        let marker = super::args::literal_text(args, 3).map_or(0, str::len);
        match literal_int(args, 1).map(usize::try_from) {
            Some(Ok(limit)) if marker <= limit => Ok(()),
            Some(Ok(_)) => Err((3, "the marker is longer than the limit".to_owned())),
            _ => Err((1, "a limit is not negative".to_owned())),
        }
    }),
    Editor::new(
        "limit",
        &[
            TARGET_MAP,
            need("limit", Takes::Literal(Kind::Int)),
            need("priority_keys", Takes::Texts),
        ],
        limit,
    )
    .checked(|args| {
        let kept = match args.get(2) {
            Some(Arg::Texts(texts)) => texts.len(),
            _ => 0,
        };
        match literal_int(args, 1).map(usize::try_from) {
            Some(Ok(limit)) if kept <= limit => Ok(()),
            Some(Ok(_)) => Err((2, "there are more priority keys than the limit".to_owned())),
            _ => Err((1, "a limit is not negative".to_owned())),
        }
    }),
    Editor::new(
        "merge_maps",
        &[TARGET_MAP, need("source", MAP), need("strategy", Takes::Choice(STRATEGIES))],
        |call, writer| {
            let path = call.target(writer)?;
            let source = call.map(1, &writer.reader())?;
            let when = match call.choice(2) {
                0 => Put::Insert,
                1 => Put::Update,
                _ => Put::Upsert,
            };
            if source.len() > MERGED_MAX {
                return Err(call.fault(format!("maps of up to {MERGED_MAX} entries are merged")));
            }
            let Value::Map(source) = Value::Map(source).into_owned() else { return Ok(()) };
            for (key, value) in source {
                call.done(writer.put(&path, &key, value, when))?;
            }
            Ok(())
        },
    ),
    Editor::new(
        "flatten",
        &[TARGET_MAP, may("prefix", STRING), may("depth", INT), may("resolve_conflicts", BOOL)],
        flatten,
    )
    .checked(|args| match literal_int(args, 2) {
        Some(depth) if depth < 0 => Err((2, "a depth is not negative".to_owned())),
        _ => Ok(()),
    }),
];

impl Call {
    /// What the editor changes, which is its first argument.
    fn target(&self, writer: &Writer<'_>) -> Result<Cow<'_, Path>, Fault> {
        self.path(0)?.resolve(&writer.reader())
    }

    /// A value that borrows nothing of the target.
    fn own_value(&self, at: usize, writer: &Writer<'_>) -> Result<Value<'_>, Fault> {
        match self.node(at).map(|node| (node, node.literal())) {
            Some((_, Some(literal))) => Ok(literal.view()),
            Some((node, None)) => Ok(node.eval(&writer.reader())?.into_owned()),
            None => Ok(Value::Nil),
        }
    }

    /// A text that borrows nothing of the target.
    pub(super) fn own_text(&self, at: usize, writer: &Writer<'_>) -> Result<Cow<'_, str>, Fault> {
        match self.own_value(at, writer)? {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(at, "a string", &other)),
        }
    }

    /// The end of an edit; a refusal is about the target.
    fn done(&self, outcome: Result<(), Refusal>) -> Result<(), Fault> {
        let Err(Refusal(message)) = outcome else { return Ok(()) };
        let (start, end) = match self.arg(0) {
            Arg::Path(node) => (node.start, node.end),
            _ => (self.start, self.end),
        };
        Err(Fault { message, start, end })
    }
}

/// The value, or nothing and its fault kept for later.
fn keep_fault<T>(outcome: Result<T, Fault>, kept: &mut Option<Fault>) -> Option<T> {
    outcome.map_err(|fault| *kept = Some(fault)).ok()
}

fn append(call: &Call, writer: &mut Writer<'_>) -> Result<(), Fault> {
    let path = call.target(writer)?;
    let reader = writer.reader();
    let mut list = match writer.get(&path) {
        Value::Nil => Vec::new(),
        Value::List(list) => list,
        other => vec![other],
    };
    if call.has(1) {
        list.push(call.value(1, &reader)?);
    }
    if call.has(2) {
        list.extend(call.list(2, &reader)?);
    }
    let list = Value::List(list).into_owned();
    call.done(writer.set(&path, list))
}

fn delete_index(call: &Call, writer: &mut Writer<'_>) -> Result<(), Fault> {
    let path = call.target(writer)?;
    let reader = writer.reader();
    let mut list = match writer.get(&path) {
        Value::List(list) => list,
        other => {
            let noun = other.kind().noun();
            return call.done(Err(Refusal(format!("this is {noun}, not a list").into())));
        }
    };
    let start = call.count(1, &reader)?;
    let end = if call.has(2) { call.count(2, &reader)? } else { start.saturating_add(1) };
    if start > end || end > list.len() {
        let count = list.len();
        return Err(call.fault(format!("the list has {count} values, not {start} to {end}")));
    }
    if start == end {
        return Ok(());
    }
    list.drain(start..end);
    let list = Value::List(list).into_owned();
    call.done(writer.set(&path, list))
}

fn truncate_all(call: &Call, writer: &mut Writer<'_>) -> Result<(), Fault> {
    let path = call.target(writer)?;
    let limit = call.count(1, &writer.reader())?;
    let marker = call.own_text(3, writer).unwrap_or_default();
    let room = limit.saturating_sub(marker.len());
    // A text is UTF-8 here, so that characters stay whole whatever `utf8_safe` says.
    let edited = writer.edit_texts(&path, &mut |text| {
        (text.len() > limit).then(|| {
            let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            [text.get(..end).unwrap_or_default(), &marker].concat()
        })
    });
    call.done(edited)
}

fn limit(call: &Call, writer: &mut Writer<'_>) -> Result<(), Fault> {
    let path = call.target(writer)?;
    let limit = call.count(1, &writer.reader())?;
    let priority = call.texts(2);
    let is_first = |key: &str| priority.iter().any(|kept| kept == key);
    let (mut count, mut first) = (0usize, 0usize);
    call.done(writer.for_each_key(&path, &mut |key| {
        count += 1;
        first += usize::from(is_first(key));
    }))?;
    if count <= limit {
        return Ok(());
    }
    let mut others = limit.saturating_sub(first);
    call.done(writer.retain_keys(&path, &mut |key| {
        let kept = is_first(key) || others > 0;
        others -= usize::from(kept && !is_first(key));
        kept
    }))
}

fn flatten(call: &Call, writer: &mut Writer<'_>) -> Result<(), Fault> {
    let path = call.target(writer)?;
    let reader = writer.reader();
    let Value::Map(map) = writer.get(&path) else {
        return call.done(Err("this is not a map".into()));
    };
    let prefix = call.text_or(1, &reader, "")?;
    let depth = if call.has(2) { call.count(2, &reader)? } else { usize::MAX };
    let resolve = call.has(3) && call.boolean(3, &reader)?;
    let nested = |value: &Value<'_>| matches!(value, Value::List(_) | Value::Map(_));
    if depth == 0 || prefix.is_empty() && !map.iter().any(|(_, value)| nested(value)) {
        return Ok(());
    }
    let mut flat = Flat { entries: Vec::new(), places: HashMap::new(), resolve };
    flat.map(map, &prefix, depth);
    let entries = Value::Map(flat.entries).into_owned();
    call.done(writer.set(&path, entries))
}

/// A map that becomes flat.
struct Flat<'a> {
    entries: Map<'a>,
    /// Where each key is, and how often it came.
    places: HashMap<String, (usize, usize)>,
    /// Whether a key that comes again gets a number instead of the place of the first.
    resolve: bool,
}

impl<'a> Flat<'a> {
    fn map(&mut self, map: Map<'a>, prefix: &str, depth: usize) {
        for (key, value) in map {
            let key = match prefix {
                "" => key.into_owned(),
                prefix => format!("{prefix}.{key}"),
            };
            match value {
                Value::Map(map) if depth > 0 => self.map(map, &key, depth - 1),
                Value::List(list) => {
                    for (at, value) in list.into_iter().enumerate() {
                        let key = if self.resolve { key.clone() } else { format!("{key}.{at}") };
                        self.add(key, value);
                    }
                }
                value => self.add(key, value),
            }
        }
    }

    fn add(&mut self, key: String, value: Value<'a>) {
        let known = self.places.get_mut(&key);
        match known {
            Some((_, count)) if self.resolve => {
                let numbered = format!("{key}.{}", *count - 1);
                *count += 1;
                self.add(numbered, value);
            }
            Some((at, _)) => {
                if let Some((_, slot)) = self.entries.get_mut(*at) {
                    *slot = value;
                }
            }
            None => {
                self.places.insert(key.clone(), (self.entries.len(), 1));
                self.entries.push((Cow::Owned(key), value));
            }
        }
    }
}
