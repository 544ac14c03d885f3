//! What the processor says of its work, in attributes of what it worked on.

use model::{Owner, SpanBatch, Value};

use crate::consumer::Refusal;

/// How much it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Summary {
    /// Nothing.
    #[default]
    Silent,
    /// How many keys.
    Info,
    /// Which keys, as well.
    Debug,
}

const REDACTED: [&str; 2] = ["redaction.redacted.keys", "redaction.redacted.count"];
const MASKED: [&str; 2] = ["redaction.masked.keys", "redaction.masked.count"];
const ALLOWED: [&str; 2] = ["redaction.allowed.keys", "redaction.allowed.count"];
const IGNORED_COUNT: &str = "redaction.ignored.count";

/// Whether a key is one of the summary's own, which an earlier processor may have written.
pub(super) fn is_own_key(key: &str) -> bool {
    key.starts_with("redaction.")
        && (key == IGNORED_COUNT
            || [REDACTED, MASKED, ALLOWED].iter().any(|names| names.contains(&key)))
}

/// Keys to which something was done, of one owner. Those of other texts than attributes are named
/// as OTTL names them.
#[derive(Default)]
pub(super) struct Notes {
    of: Summary,
    redacted: Vec<String>,
    masked: Vec<String>,
    allowed: Vec<String>,
    ignored: i64,
}

impl Notes {
    /// Nothing was done yet.
    pub fn new(of: Summary) -> Self {
        Self { of, ..Self::default() }
    }

    /// The attribute was removed.
    pub fn redacted(&mut self, key: &str) {
        self.add(key, |own| &mut own.redacted);
    }

    /// The value was masked, or a part of it.
    pub fn masked(&mut self, key: &str) {
        self.add(key, |own| &mut own.masked);
    }

    /// The value is one that stays.
    pub fn allowed(&mut self, key: &str) {
        self.add(key, |own| &mut own.allowed);
    }

    /// The key is one that nothing is done to.
    pub fn ignored(&mut self) {
        self.ignored += 1;
    }

    fn add(&mut self, key: &str, list: impl FnOnce(&mut Self) -> &mut Vec<String>) {
        if self.of != Summary::Silent {
            list(self).push(key.to_owned());
        }
    }

    /// Adds them to the owner's attributes, and to what an earlier processor wrote there.
    pub fn write(self, batch: &mut SpanBatch, owner: Owner) -> Result<(), Refusal> {
        if self.of == Summary::Silent {
            return Ok(());
        }
        let lists = [(REDACTED, self.redacted), (MASKED, self.masked), (ALLOWED, self.allowed)];
        for ([names, count], mut keys) in lists {
            let number = keys.len() as i64;
            if self.of == Summary::Debug && number > 0 {
                let before = match value(batch, owner, names) {
                    Some(Value::String(before)) => batch.text(before),
                    _ => "",
                };
                keys.extend(before.split(',').filter(|key| !key.is_empty()).map(str::to_owned));
                keys.sort();
                let text = batch.add_text(keys.join(",").as_bytes())?;
                let key = batch.add_text(names.as_bytes())?;
                batch.set_attribute(owner, key, Value::String(text))?;
            }
            add_count(batch, owner, count, number)?;
        }
        add_count(batch, owner, IGNORED_COUNT, self.ignored)
    }
}

fn value(batch: &SpanBatch, owner: Owner, key: &str) -> Option<Value> {
    let place = batch.find_attribute(owner, key.as_bytes())?;
    Some(batch.attributes(owner)[place].value)
}

fn add_count(batch: &mut SpanBatch, owner: Owner, key: &str, count: i64) -> Result<(), Refusal> {
    if count == 0 {
        return Ok(());
    }
    let before = match value(batch, owner, key) {
        Some(Value::Int(before)) => before,
        _ => 0,
    };
    let key = batch.add_text(key.as_bytes())?;
    batch.set_attribute(owner, key, Value::Int(before.saturating_add(count)))?;
    Ok(())
}
