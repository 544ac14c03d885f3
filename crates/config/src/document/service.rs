//! The section `service`.

use std::collections::HashMap;

use super::{Pipeline, Reference, Service, unknown_keys, wrong_type};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::id::{Id, PipelineId, Signal};
use crate::node::{Entry, Key, Node, Value};
use crate::suggest;

const KEYS: [&str; 3] = ["extensions", "pipelines", "telemetry"];
const PIPELINE_KEYS: [&str; 3] = ["receivers", "processors", "exporters"];

/// Reads what runs.
pub(super) fn read(
    entry: Option<&Entry>,
    is_whole: bool,
    diagnostics: &mut Diagnostics,
) -> Service {
    let mut service = Service::default();
    let no_pipelines = || {
        Diagnostic::error("service must have at least one pipeline").help(
            "for example service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}",
        )
    };
    let Some(entry) = entry else {
        if is_whole {
            diagnostics.push(no_pipelines());
        }
        return service;
    };
    let map = match &entry.node.value {
        Value::Map(map) => map,
        Value::Null => {
            if is_whole && !entry.node.broken {
                diagnostics.push(no_pipelines().at(entry.key.at, "nothing stands here"));
            }
            return service;
        }
        _ => {
            diagnostics.push(wrong_type("service", &entry.node, "a map", &KEYS.join(", ")));
            return service;
        }
    };
    unknown_keys("service", map, &KEYS, diagnostics);
    service.telemetry = map.get("telemetry").cloned();
    if let Some(node) = map.get("extensions") {
        service.extensions = references("service::extensions", node, diagnostics);
    }
    match map.entry("pipelines") {
        Some(entry) => match &entry.node.value {
            Value::Map(pipelines) if !pipelines.is_empty() => {
                let mut first = HashMap::new();
                for entry in pipelines.iter() {
                    let pipeline = pipeline(entry, &mut first, is_whole, diagnostics);
                    service.pipelines.extend(pipeline);
                }
            }
            Value::Map(_) | Value::Null => {
                if is_whole && !entry.node.broken {
                    diagnostics.push(no_pipelines().at(entry.key.at, "nothing stands here"));
                }
            }
            _ => diagnostics.push(wrong_type(
                "service::pipelines",
                &entry.node,
                "a map",
                "pipelines by their signals",
            )),
        },
        None if is_whole => {
            diagnostics.push(no_pipelines().at(entry.key.at, "there are no pipelines in this"));
        }
        None => {}
    }
    service
}

/// `first` has the key of each pipeline so far.
fn pipeline<'a>(
    entry: &'a Entry,
    first: &mut HashMap<PipelineId, &'a Key>,
    is_whole: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Pipeline> {
    let (text, at) = (&*entry.key.text, entry.key.at);
    let id = match PipelineId::parse(text) {
        Ok(id) => id,
        Err(error) => {
            diagnostics.push(unknown_signal(text, entry, &error));
            return None;
        }
    };
    if let Some(first) = first.get(&id) {
        // The same key twice is reported by who read the YAML.
        if first.text != entry.key.text {
            let error = format!("service::pipelines: duplicate name \"{id}\"");
            let error = Diagnostic::error(error).at(at, "the same id again");
            diagnostics.push(error.at(first.at, "first here"));
        }
        return None;
    }
    first.insert(id.clone(), &entry.key);
    let path = format!("service::pipelines::{id}");
    let mut pipeline =
        Pipeline { id, at, receivers: Vec::new(), processors: Vec::new(), exporters: Vec::new() };
    let map = match &entry.node.value {
        Value::Map(map) => Some(map),
        Value::Null => None,
        _ => {
            let keys = PIPELINE_KEYS.join(", ");
            diagnostics.push(wrong_type(&path, &entry.node, "a map", &keys));
            return Some(pipeline);
        }
    };
    if let Some(map) = map {
        unknown_keys(&path, map, &PIPELINE_KEYS, diagnostics);
    }
    for key in PIPELINE_KEYS {
        let found = map.and_then(|map| map.entry(key));
        let list = found
            .map(|entry| references(&format!("{path}::{key}"), &entry.node, diagnostics))
            .unwrap_or_default();
        // What is there and wrong is reported already.
        let is_empty = found.is_none_or(|entry| match &entry.node.value {
            Value::Null => !entry.node.broken,
            Value::List(list) => list.is_empty(),
            _ => false,
        });
        if is_empty && key != "processors" && is_whole && !entry.node.broken {
            let one = key.trim_end_matches('s');
            let place = found.map_or(at, |entry| entry.key.at);
            let label = match found {
                Some(_) => "nothing stands here".to_owned(),
                None => format!("this has no {key}"),
            };
            let error = Diagnostic::error(format!("{path}: must have at least one {one}"));
            diagnostics.push(error.at(place, label).via(&entry.node));
        }
        match key {
            "receivers" => pipeline.receivers = list,
            "processors" => pipeline.processors = list,
            _ => pipeline.exporters = list,
        }
    }
    Some(pipeline)
}

fn unknown_signal(text: &str, entry: &Entry, error: &str) -> Diagnostic {
    let signal = text.split('/').next().unwrap_or_default().trim();
    let near = suggest::nearest(signal, Signal::ALL.map(Signal::name));
    let label = match (signal, near) {
        ("spans", _) => "did you mean `traces`?".to_owned(),
        (_, Some(near)) if near != signal => format!("did you mean `{near}`?"),
        _ => "expected `signal` or `signal/name`".to_owned(),
    };
    let error = Diagnostic::error(format!("'service.pipelines' {error}"));
    let error = error.at(entry.key.at, label).via(&entry.node);
    match signal {
        "profiles" => error.help("pipelines carry traces, metrics and logs; profiles not yet"),
        _ => error.help("pipelines carry traces, metrics and logs"),
    }
}

/// A list of ids.
fn references(path: &str, node: &Node, diagnostics: &mut Diagnostics) -> Vec<Reference> {
    let list = match &node.value {
        Value::List(list) => list,
        Value::Null => return Vec::new(),
        _ => {
            let error = wrong_type(path, node, "a list", "ids");
            let error = match &node.value {
                Value::String(_) => error.help(format!("write `[{}]`", node.shown())),
                _ => error,
            };
            diagnostics.push(error);
            return Vec::new();
        }
    };
    let mut references: Vec<Reference> = Vec::new();
    for node in list.iter() {
        let Some(text) = node.as_text() else {
            if !node.broken {
                diagnostics.push(wrong_type(path, node, "a string", "an id"));
            }
            continue;
        };
        match Id::parse(text) {
            Ok(id) => references.push(Reference { id, at: node.at, node: node.clone() }),
            // The message quotes the text, which may be a variable's value.
            Err(_) if node.shown() != text => {
                let error = format!("'{path}' {:?} did not expand to an id", node.shown());
                let error = Diagnostic::error(error);
                diagnostics.push(error.at_node(node, "expected `type` or `type/name`"));
            }
            Err(error) => {
                let error = Diagnostic::error(format!("'{path}' {error}"));
                diagnostics.push(error.at_node(node, "expected `type` or `type/name`"));
            }
        }
    }
    references
}
