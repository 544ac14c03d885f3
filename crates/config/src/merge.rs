//! Several configurations to one: maps go together, everything else is replaced.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Map, Node, Value};

/// The later of two wins. Says so where it wipes what the earlier one has.
pub(crate) fn merge(earlier: Node, later: Node, diagnostics: &mut Diagnostics) -> Node {
    nodes(earlier, later, &mut String::new(), Some(diagnostics))
}

/// The same without a word.
pub(crate) fn merge_quietly(earlier: Node, later: Node) -> Node {
    nodes(earlier, later, &mut String::new(), None)
}

fn nodes(
    earlier: Node,
    later: Node,
    path: &mut String,
    mut diagnostics: Option<&mut Diagnostics>,
) -> Node {
    let is_something = |map: &Arc<Map>| !map.is_empty();
    let (mut entries, added) = match (earlier.value, &later.value) {
        (Value::Map(entries), Value::Map(added)) => (entries, added),
        (Value::Map(map), Value::Null) if is_something(&map) => {
            // An empty file says nothing; an empty section says that there is none.
            if path.is_empty() {
                return Node { value: Value::Map(map), ..earlier };
            }
            if let Some(diagnostics) = diagnostics {
                let warning = format!("{path}: an empty section wipes what an earlier one has");
                let warning = Diagnostic::warning(warning)
                    .at(later.at, "nothing stands here")
                    .at(earlier.at, "this is wiped")
                    .help("leave the key out to keep it, or write `{}`");
                diagnostics.push(warning);
            }
            return later;
        }
        _ => return later,
    };
    let index: HashMap<Arc<str>, usize> =
        entries.iter().enumerate().map(|(at, entry)| (entry.key.text.clone(), at)).collect();
    let map = Arc::make_mut(&mut entries);
    for entry in added.iter() {
        let known = index.get(&entry.key.text).and_then(|at| map.entries.get_mut(*at));
        let Some(known) = known else {
            map.entries.push(entry.clone());
            continue;
        };
        let length = path.len();
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&entry.key.text);
        let null = Node::new(Value::Null, known.node.at);
        let before = std::mem::replace(&mut known.node, null);
        let are_maps = before.as_map().is_some() && entry.node.as_map().is_some();
        known.node = nodes(before, entry.node.clone(), path, diagnostics.as_deref_mut());
        if !are_maps {
            known.key = entry.key.clone();
        }
        path.truncate(length);
    }
    Node { value: Value::Map(entries), ..later }
}
