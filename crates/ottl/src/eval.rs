//! Statements and conditions at work.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Deref;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::compare::compare;
use crate::error::{EvalError, Fault};
use crate::math::{calculate, negate};
use crate::path::{Field, Key, Path};
use crate::target::{Nothing, Put, Refusal, Target, edit_texts_in, rename_in};
use crate::tree::{Call, Condition, Expr, Node, PathNode, Statement, Test};
use crate::value::{Map, Value};

/// What converters take from outside: the time for `Now()`, chance for `UUID()`.
pub trait Host: Send + Sync {
    /// Nanoseconds since 1970 UTC.
    fn now_nanos(&self) -> i64;

    /// 128 bits that nobody foresees.
    fn random(&self) -> u128;
}

/// The system's clock and randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemHost;

impl Host for SystemHost {
    fn now_nanos(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    fn random(&self) -> u128 {
        // Its keys are the system's randomness, stepped on at every call.
        let half = || u128::from(RandomState::new().build_hasher().finish());
        half() << 64 | half()
    }
}

/// Runs statements and conditions, and keeps the cache that they share.
///
/// The cache belongs to one item: `clear_cache` goes before the first statement on the next.
pub struct Evaluator {
    host: Box<dyn Host>,
    cache: Value<'static>,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new(SystemHost)
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Evaluator {
    /// With a clock and randomness of the caller's.
    pub fn new(host: impl Host + 'static) -> Self {
        Self { host: Box::new(host), cache: Value::Map(Vec::new()) }
    }

    /// Empties the cache.
    pub fn clear_cache(&mut self) {
        match &mut self.cache {
            Value::Map(entries) => entries.clear(),
            other => *other = Value::Map(Vec::new()),
        }
    }

    /// Runs a statement on a target, unless it has a condition that does not hold. Whether it ran.
    /// After an error the target is unchanged, or changed in part where the editor changes several
    /// values.
    pub fn execute(
        &mut self,
        statement: &Statement,
        target: &mut dyn Target,
    ) -> Result<bool, EvalError> {
        let ran = self.run(statement, target);
        ran.map_err(|fault| EvalError::new(&statement.text, fault))
    }

    fn run(&mut self, statement: &Statement, target: &mut dyn Target) -> Result<bool, Fault> {
        if let Some(test) = &statement.condition
            && !test.holds(&self.reader(target))?
        {
            return Ok(false);
        }
        let mut writer = Writer { target, cache: &mut self.cache, host: &*self.host };
        (statement.editor.run)(&statement.call, &mut writer)?;
        Ok(true)
    }

    /// Whether a condition holds.
    pub fn matches(&self, condition: &Condition, target: &dyn Target) -> Result<bool, EvalError> {
        let held = condition.test.holds(&self.reader(target));
        held.map_err(|fault| EvalError::new(&condition.text, fault))
    }

    fn reader<'a>(&'a self, target: &'a dyn Target) -> Reader<'a> {
        Reader { target, cache: &self.cache, host: &*self.host }
    }
}

/// What expressions read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    target: &'a dyn Target,
    cache: &'a Value<'static>,
    pub(crate) host: &'a dyn Host,
}

/// What editors change.
pub(crate) struct Writer<'a> {
    target: &'a mut dyn Target,
    cache: &'a mut Value<'static>,
    host: &'a dyn Host,
}

/// A value of an expression: literals are not copied to be looked at.
pub(crate) enum Held<'a> {
    Literal(&'a Value<'a>),
    Own(Value<'a>),
}

impl<'a> Deref for Held<'a> {
    type Target = Value<'a>;

    fn deref(&self) -> &Value<'a> {
        match self {
            Self::Literal(value) => value,
            Self::Own(value) => value,
        }
    }
}

impl<'a> Reader<'a> {
    fn get(&self, path: &Path) -> Value<'a> {
        match path.field {
            Field::Cache => self.cache.at(&path.keys).map(Value::view).unwrap_or_default(),
            _ => self.target.get(path),
        }
    }

    /// A field without keys.
    pub(crate) fn field(&self, field: Field) -> Value<'a> {
        self.get(&Path { field, keys: Vec::new() })
    }
}

/// The host of what does not depend on it.
struct NoHost;

impl Host for NoHost {
    fn now_nanos(&self) -> i64 {
        0
    }

    fn random(&self) -> u128 {
        0
    }
}

static NIL: Value<'static> = Value::Nil;

/// For expressions that read nothing.
pub(crate) fn constants() -> Reader<'static> {
    Reader { target: &Nothing, cache: &NIL, host: &NoHost }
}

impl Test {
    pub(crate) fn holds(&self, reader: &Reader<'_>) -> Result<bool, Fault> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Value(node) => match node.eval(reader)? {
                Value::Bool(value) => Ok(value),
                other => {
                    let message =
                        format!("a condition is true or false, not {}", other.kind().noun());
                    Err(node.fault(message))
                }
            },
            // What most conditions are.
            Self::Compare {
                op,
                left: Node { expr: Expr::Path(PathNode { path, computed, .. }), .. },
                right: Node { expr: Expr::Literal(right), .. },
            } if computed.is_empty() => Ok(compare(*op, &reader.get(path), right)),
            Self::Compare { op, left, right } => {
                Ok(compare(*op, &*left.look(reader)?, &*right.look(reader)?))
            }
            Self::Not(test) => Ok(!test.holds(reader)?),
            Self::And(tests) => {
                for test in tests {
                    if !test.holds(reader)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(tests) => {
                for test in tests {
                    if test.holds(reader)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl Node {
    pub(crate) fn fault(&self, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { message: message.into(), start: self.start, end: self.end }
    }

    /// The value, a literal by reference.
    pub(crate) fn look<'a>(&'a self, reader: &Reader<'a>) -> Result<Held<'a>, Fault> {
        match &self.expr {
            Expr::Literal(value) => Ok(Held::Literal(value)),
            _ => self.eval(reader).map(Held::Own),
        }
    }

    pub(crate) fn eval<'a>(&'a self, reader: &Reader<'a>) -> Result<Value<'a>, Fault> {
        match &self.expr {
            Expr::Literal(value) => Ok(value.view()),
            Expr::Path(node) => Ok(reader.get(&*node.resolve(reader)?)),
            Expr::Call(converter, call) => {
                let value = (converter.run)(call, reader)?;
                if call.keys.is_empty() { Ok(value) } else { call.pick(value, reader) }
            }
            Expr::List(nodes) => {
                let values = nodes.iter().map(|node| node.eval(reader));
                values.collect::<Result<_, _>>().map(Value::List)
            }
            Expr::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, node)| Ok((Cow::Borrowed(key.as_str()), node.eval(reader)?)));
                entries.collect::<Result<_, _>>().map(Value::Map)
            }
            Expr::Math { op, left, right } => {
                let (left, right) = (left.look(reader)?, right.look(reader)?);
                calculate(*op, &left, &right).map_err(|message| self.fault(message))
            }
            Expr::Negate(node) => {
                negate(&*node.look(reader)?).map_err(|message| self.fault(message))
            }
        }
    }

    /// A key for a map or list.
    fn key(&self, reader: &Reader<'_>) -> Result<Key, Fault> {
        match self.eval(reader)? {
            Value::String(name) => Ok(Key::Name(name.into_owned())),
            Value::Int(index) => match usize::try_from(index) {
                Ok(index) => Ok(Key::Index(index)),
                Err(_) => Err(self.fault("an index is not negative")),
            },
            other => {
                let noun = other.kind().noun();
                Err(self.fault(format!("a key is a string or an integer, not {noun}")))
            }
        }
    }
}

impl PathNode {
    /// The path with all of its keys.
    pub(crate) fn resolve(&self, reader: &Reader<'_>) -> Result<Cow<'_, Path>, Fault> {
        if self.computed.is_empty() {
            return Ok(Cow::Borrowed(&self.path));
        }
        let mut path = self.path.clone();
        for (at, node) in &self.computed {
            let key = node.key(reader)?;
            if let Some(slot) = path.keys.get_mut(*at) {
                *slot = key;
            }
        }
        Ok(Cow::Owned(path))
    }
}

impl Call {
    /// What the keys take out of a converter's result.
    fn pick<'a>(&self, value: Value<'a>, reader: &Reader<'_>) -> Result<Value<'a>, Fault> {
        self.keys.iter().try_fold(value, |value, node| match (value, node.key(reader)?) {
            (Value::Map(map), Key::Name(name)) => {
                let found = map.into_iter().find(|(key, _)| *key == name);
                let found = found.map(|(_, value)| value);
                found.ok_or_else(|| node.fault(format!("the map has no key {name:?}")))
            }
            (Value::List(list), Key::Index(index)) => {
                let count = list.len();
                let found = list.into_iter().nth(index);
                found.ok_or_else(|| node.fault(format!("the list has {count} values")))
            }
            (other, Key::Name(_)) => {
                Err(node.fault(format!("only a map has names in it, not {}", other.kind().noun())))
            }
            (other, Key::Index(_)) => {
                Err(node.fault(format!("only a list has indexes, not {}", other.kind().noun())))
            }
        })
    }
}

impl Writer<'_> {
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { target: &*self.target, cache: self.cache, host: self.host }
    }

    pub(crate) fn get(&self, path: &Path) -> Value<'_> {
        self.reader().get(path)
    }

    pub(crate) fn set(&mut self, path: &Path, value: Value<'_>) -> Result<(), Refusal> {
        match path.field {
            Field::Cache if path.keys.is_empty() => match value.into_owned() {
                Value::Nil => {
                    *self.cache = Value::Map(Vec::new());
                    Ok(())
                }
                map @ Value::Map(_) => {
                    *self.cache = map;
                    Ok(())
                }
                _ => Err("the cache is a map".into()),
            },
            Field::Cache => Ok(self.cache.put(&path.keys, value.into_owned())?),
            _ => self.target.set(path, value),
        }
    }

    pub(crate) fn for_each_key(
        &self,
        map: &Path,
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), Refusal> {
        if map.field != Field::Cache {
            return self.target.for_each_key(map, visit);
        }
        match self.cache.at(&map.keys) {
            Some(Value::Map(entries)) => entries.iter().for_each(|(key, _)| visit(key)),
            _ => return Err(NO_MAP.into()),
        }
        Ok(())
    }

    pub(crate) fn retain_keys(
        &mut self,
        map: &Path,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), Refusal> {
        if map.field != Field::Cache {
            return self.target.retain_keys(map, keep);
        }
        self.cached(map)?.retain(|(key, _)| keep(key));
        Ok(())
    }

    pub(crate) fn rename_keys(
        &mut self,
        map: &Path,
        rename: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<(), Refusal> {
        if map.field != Field::Cache {
            return self.target.rename_keys(map, rename);
        }
        rename_in(self.cached(map)?, rename);
        Ok(())
    }

    pub(crate) fn edit_texts(
        &mut self,
        map: &Path,
        edit: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<(), Refusal> {
        if map.field != Field::Cache {
            return self.target.edit_texts(map, edit);
        }
        edit_texts_in(self.cached(map)?, edit);
        Ok(())
    }

    pub(crate) fn put(
        &mut self,
        map: &Path,
        key: &str,
        value: Value<'_>,
        when: Put,
    ) -> Result<(), Refusal> {
        if map.field != Field::Cache {
            return self.target.put(map, key, value, when);
        }
        if self.cache.at(&map.keys).is_none() {
            self.cache.put(&map.keys, Value::Map(Vec::new()))?;
        }
        let entries = self.cached(map)?;
        match (entries.iter_mut().find(|(other, _)| other == key), when) {
            (None, Put::Update) | (Some(_), Put::Insert) => {}
            (Some((_, slot)), _) => *slot = value.into_owned(),
            (None, _) => entries.push((Cow::Owned(key.to_owned()), value.into_owned())),
        }
        Ok(())
    }

    fn cached(&mut self, map: &Path) -> Result<&mut Map<'static>, Refusal> {
        match self.cache.at_mut(&map.keys) {
            Some(Value::Map(entries)) => Ok(entries),
            _ => Err(NO_MAP.into()),
        }
    }
}

const NO_MAP: &str = "there is no map in the cache at this place";
