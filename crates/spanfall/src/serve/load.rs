//! From the command line to a document and its plans, or to everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use config::{Diagnostic, Diagnostics, Document, Outside, Section, System};
use parking_lot::Mutex;
use pipeline::graph::{Plans, Registry};
use pipeline::telemetry::{self, TelemetryPlan};

use super::watch::Stamp;
use super::{Host, exporter, query};

/// Where the configuration is.
#[derive(Debug, Clone, Default)]
pub struct Where {
    /// The values of `--config`.
    pub configs: Vec<String>,
    /// The values of `--set`.
    pub sets: Vec<String>,
    /// Whether it is not a person's, so that it will be the same when it is read again.
    pub is_built_in: bool,
}

/// A configuration that was read.
pub struct Loaded {
    /// What it says.
    pub document: Document,
    /// What is wrong with it; nothing more than warnings, or it may not be run.
    pub diagnostics: Diagnostics,
    pub(super) plans: Plans,
    pub(super) telemetry: TelemetryPlan,
    /// The files that it was read from, as they were.
    pub(super) files: BTreeMap<PathBuf, Stamp>,
}

impl Loaded {
    /// How the process is to log.
    pub fn log_settings(&self) -> &telemetry::LogSettings {
        &self.telemetry.logs
    }
}

/// The process's variables and files, with a memory of which files were read.
#[derive(Default)]
struct Remembering {
    files: Mutex<BTreeMap<PathBuf, Stamp>>,
    variables: Mutex<BTreeSet<String>>,
}

impl Outside for Remembering {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.lock().insert(name.to_owned());
        System.variable(name)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        // Before the content: a change in between is found by the next look.
        let stamp = Stamp::of(path.as_ref());
        self.files.lock().insert(path.into(), stamp);
        System.read(path)
    }
}

/// Reads a configuration and every component's settings.
pub fn load(place: &Where, host: &Arc<Host>) -> Loaded {
    let outside = Remembering::default();
    let request = config::Request { configs: &place.configs, sets: &place.sets };
    let known = pipeline::components::known();
    let (document, mut diagnostics) = config::load(request, &outside, &known);
    let plans = Plans::read(&document, &registry(host), &mut diagnostics);
    let telemetry = telemetry::read(&document, &mut diagnostics);
    check_queries(&document, &mut diagnostics);
    exporter::check_places(&document, &mut diagnostics);
    if !place.is_built_in {
        check_environment(&document, &outside.variables.into_inner(), &mut diagnostics);
    }
    Loaded { document, diagnostics, plans, telemetry, files: outside.files.into_inner() }
}

/// All components that there are.
fn registry(host: &Arc<Host>) -> Registry {
    let mut registry = Registry::default();
    pipeline::components::register(&mut registry);
    let own = host.clone();
    registry.add_exporter("spanfall", move |reader| Arc::new(exporter::read(reader, own.clone())));
    let own = host.clone();
    registry
        .add_extension("spanfall_query", move |reader| Arc::new(query::read(reader, own.clone())));
    registry
}

/// What `spanfall_query` reads has to be stored by a pipeline.
fn check_queries(document: &Document, diagnostics: &mut Diagnostics) {
    let used: Vec<&config::Id> = document
        .service
        .pipelines
        .iter()
        .flat_map(|pipeline| pipeline.exporters.iter().map(|one| &one.id))
        .filter(|id| {
            let exporter = document.component(Section::Exporters, id);
            exporter.is_some_and(|exporter| exporter.kind == Some("spanfall"))
        })
        .collect();
    for reference in &document.service.extensions {
        let extension = document.component(Section::Extensions, &reference.id);
        let Some(extension) = extension.filter(|own| own.kind == Some("spanfall_query")) else {
            continue;
        };
        let written = extension.node.as_map().and_then(|map| map.get("store"));
        let written = written.filter(|node| !node.is_null());
        let store = written.and_then(config::Node::as_text).unwrap_or("spanfall");
        if used.iter().any(|id| id.to_string() == store) {
            continue;
        }
        let owner = &extension.id;
        let error = format!(
            "extensions::{owner}: 'store' names the exporter {store:?}, and no pipeline has it"
        );
        let error = Diagnostic::error(error);
        let error = match written {
            Some(node) => error.at_node(node, "this is not stored anywhere"),
            None => error.at(extension.at, "`store` is not set here, which means `spanfall`"),
        };
        diagnostics.push(error.help(match used.first() {
            Some(id) => format!("write `store: {id}`"),
            None => format!("add {store:?} to exporters and to the exporters of a pipeline"),
        }));
    }
}

/// What plain `serve` takes from the environment has to be named by a configuration: else a server
/// that a token guarded would be open, and an empty store would take the place of a full one.
fn check_environment(document: &Document, asked: &BTreeSet<String>, diagnostics: &mut Diagnostics) {
    let is_used = |kind: &str| {
        let service = &document.service;
        let extensions = service.extensions.iter().map(|own| (Section::Extensions, &own.id));
        let exporters = service.pipelines.iter().flat_map(|own| &own.exporters);
        let mut all = extensions.chain(exporters.map(|own| (Section::Exporters, &own.id)));
        all.any(|(section, id)| {
            document.component(section, id).is_some_and(|own| own.kind == Some(kind))
        })
    };
    for (name, component, key) in [
        ("SPANFALL_TOKEN", "spanfall_query", "token"),
        ("SPANFALL_DATA_DIR", "spanfall", "data_dir"),
    ] {
        let is_set = std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if is_set && is_used(component) && !asked.contains(name) {
            let error = format!("{name} is set, and the configuration does not use it");
            let help = format!("write `{key}: ${{env:{name}}}` below {component}, or unset it");
            diagnostics.push(Diagnostic::error(error).help(help));
        }
    }
}
