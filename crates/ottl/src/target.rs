//! What a statement reads and changes, as the evaluator sees it.

use std::borrow::Cow;
use std::fmt;

use crate::path::Path;
use crate::value::{Map, Value, keep_last};

/// Why a target did not take a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Cow<'static, str>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for Refusal {
    fn from(message: &'static str) -> Self {
        Self(Cow::Borrowed(message))
    }
}

/// Which keys `Target::put` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Those that are not there.
    Insert,
    /// Those that are there.
    Update,
    /// All.
    Upsert,
}

/// A span, event, scope or resource with everything around it.
///
/// Paths are never of the cache. Those of `set` and of the methods that take a `map` can be
/// written to, and belong to the statement's context or one outside of it.
///
/// `get` and `set` are enough. The methods with a body change one entry of a map after the other;
/// what they do by way of a whole map, a target with a flat list of attributes can do in place,
/// without allocating when nothing changes.
pub trait Target {
    /// What is there. Nil for what is not: a missing key, a key into what has none, an index
    /// beyond the end, an attribute without a value.
    fn get(&self, path: &Path) -> Value<'_>;

    /// Puts a value there. Nil takes an attribute away and makes any other field empty or zero.
    /// Maps on the way to the last key are made. A value of a kind that the field cannot hold is
    /// refused.
    fn set(&mut self, path: &Path, value: Value<'_>) -> Result<(), Refusal>;

    /// Calls with every key of a map in order. Refuses what is no map.
    fn for_each_key(&self, map: &Path, visit: &mut dyn FnMut(&str)) -> Result<(), Refusal> {
        read_map(self.get(map))?.iter().for_each(|(key, _)| visit(key));
        Ok(())
    }

    /// Keeps the entries of a map whose keys are to be kept. Refuses what is no map.
    fn retain_keys(
        &mut self,
        map: &Path,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), Refusal> {
        let mut entries = read_map(self.get(map))?;
        let before = entries.len();
        entries.retain(|(key, _)| keep(key));
        if entries.len() == before {
            return Ok(());
        }
        let entries = Value::Map(entries).into_owned();
        self.set(map, entries)
    }

    /// Gives the entries of a map for which there is one another key; the last of those with one
    /// key stays. Refuses what is no map.
    fn rename_keys(
        &mut self,
        map: &Path,
        rename: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<(), Refusal> {
        let mut entries = read_map(self.get(map))?;
        if !rename_in(&mut entries, rename) {
            return Ok(());
        }
        let entries = Value::Map(entries).into_owned();
        self.set(map, entries)
    }

    /// Gives the values of a map that are texts, and for which there is one, another text. Other
    /// values and those of nested maps stay. Refuses what is no map.
    fn edit_texts(
        &mut self,
        map: &Path,
        edit: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<(), Refusal> {
        let mut entries = read_map(self.get(map))?;
        if !edit_texts_in(&mut entries, edit) {
            return Ok(());
        }
        let entries = Value::Map(entries).into_owned();
        self.set(map, entries)
    }

    /// Writes one entry of a map. Refuses what is neither a map nor nil.
    fn put(&mut self, map: &Path, key: &str, value: Value<'_>, when: Put) -> Result<(), Refusal> {
        let mut entries = match self.get(map) {
            Value::Nil => Vec::new(),
            value => read_map(value)?,
        };
        match (entries.iter().position(|(other, _)| other == key), when) {
            (None, Put::Update) | (Some(_), Put::Insert) => return Ok(()),
            (None, _) => entries.push((Cow::Borrowed(key), value)),
            (Some(at), _) => {
                if let Some((_, slot)) = entries.get_mut(at) {
                    *slot = value;
                }
            }
        }
        let entries = Value::Map(entries).into_owned();
        self.set(map, entries)
    }
}

/// Gives entries other keys, so that no two have the same. Whether anything changed.
pub(crate) fn rename_in(
    entries: &mut Map<'_>,
    rename: &mut dyn FnMut(&str) -> Option<String>,
) -> bool {
    let names: Vec<Option<String>> = entries.iter().map(|(key, _)| rename(key)).collect();
    if names.iter().all(Option::is_none) {
        return false;
    }
    for ((key, _), name) in entries.iter_mut().zip(names) {
        if let Some(name) = name {
            *key = Cow::Owned(name);
        }
    }
    keep_last(entries);
    true
}

/// Gives values that are texts other texts. Whether anything changed.
pub(crate) fn edit_texts_in(
    entries: &mut Map<'_>,
    edit: &mut dyn FnMut(&str) -> Option<String>,
) -> bool {
    let mut changed = false;
    for (_, value) in entries {
        if let Value::String(text) = value
            && let Some(edited) = edit(text)
        {
            *text = Cow::Owned(edited);
            changed = true;
        }
    }
    changed
}

fn read_map(value: Value<'_>) -> Result<Map<'_>, Refusal> {
    match value {
        Value::Map(map) => Ok(map),
        other => Err(Refusal(format!("this is {}, not a map", other.kind().noun()).into())),
    }
}

/// A target with nothing in it, for what needs none.
pub(crate) struct Nothing;

impl Target for Nothing {
    fn get(&self, _: &Path) -> Value<'_> {
        Value::Nil
    }

    fn set(&mut self, _: &Path, _: Value<'_>) -> Result<(), Refusal> {
        Err("nothing can be set here".into())
    }
}
