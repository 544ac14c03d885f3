//! What changed between two configurations, so that a reload can leave the rest alone.

use std::collections::HashMap;
use std::hash::Hash;

use crate::document::{Component, Document, Pipeline, Reference};
use crate::id::{Id, PipelineId, Section};
use crate::node::Node;

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Came,
    /// It is there no longer.
    Went,
    /// It is there still, and says something else.
    Changed,
}

/// What changed. What is not named is the same as before, wherever it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Components, by section; those that went last.
    pub components: Vec<(Section, Id, Change)>,
    /// Pipelines: a change of a list or of its order. A change of a component that a pipeline
    /// names is not one of the pipeline.
    pub pipelines: Vec<(PipelineId, Change)>,
    /// Whether other extensions are started, or in another order.
    pub extensions: bool,
    /// Whether the settings of own logs and metrics changed.
    pub telemetry: bool,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What has to be done to come from one configuration to another.
pub fn diff(old: &Document, new: &Document) -> Changes {
    let mut changes = Changes::default();
    for section in Section::ALL {
        let same = |left: &Component, right: &Component| {
            left.kind == right.kind && left.node.is_same(&right.node)
        };
        let id = |component: &Component| component.id.clone();
        let found = compare(old.section(section), new.section(section), id, same);
        changes.components.extend(found.into_iter().map(|(id, change)| (section, id, change)));
    }
    let same = |left: &Pipeline, right: &Pipeline| {
        same_ids(&left.receivers, &right.receivers)
            && same_ids(&left.processors, &right.processors)
            && same_ids(&left.exporters, &right.exporters)
    };
    let (old, new) = (&old.service, &new.service);
    changes.pipelines = compare(&old.pipelines, &new.pipelines, |one| one.id.clone(), same);
    changes.extensions = !same_ids(&old.extensions, &new.extensions);
    changes.telemetry = match (set(&old.telemetry), set(&new.telemetry)) {
        (None, None) => false,
        (Some(old), Some(new)) => !old.is_same(new),
        _ => true,
    };
    changes
}

fn set(node: &Option<Node>) -> Option<&Node> {
    node.as_ref().filter(|node| !node.is_null())
}

fn same_ids(left: &[Reference], right: &[Reference]) -> bool {
    left.iter().map(|one| &one.id).eq(right.iter().map(|one| &one.id))
}

/// What came and changed in the new order, then what went in the old one.
fn compare<T, K: Eq + Hash + Clone>(
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> K,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<(K, Change)> {
    let mut left: HashMap<K, &T> = old.iter().map(|one| (key(one), one)).collect();
    let mut changes = Vec::new();
    for one in new {
        match left.remove(&key(one)) {
            None => changes.push((key(one), Change::Came)),
            Some(before) if !same(before, one) => changes.push((key(one), Change::Changed)),
            Some(_) => {}
        }
    }
    let went = old.iter().map(key).filter(|key| left.contains_key(key));
    changes.extend(went.map(|key| (key, Change::Went)));
    changes
}
