//! From a document to plans: every component's settings read, and everything wrong reported.

use std::collections::HashMap;
use std::sync::Arc;

use config::{
    Component, Diagnostic, Diagnostics, Document, Id, Known, PipelineId, Reader, Section,
};

use crate::component::{
    ConnectorPlan, ExporterPlan, ExtensionPlan, Need, Plan, ProcessorPlan, ReceiverPlan, Role,
};

/// The types of components, by their name of today.
#[derive(Default)]
pub struct Registry {
    receivers: HashMap<&'static str, ReadBox<dyn ReceiverPlan>>,
    processors: HashMap<&'static str, ReadBox<dyn ProcessorPlan>>,
    exporters: HashMap<&'static str, ReadBox<dyn ExporterPlan>>,
    connectors: HashMap<&'static str, ReadBox<dyn ConnectorPlan>>,
    extensions: HashMap<&'static str, ReadBox<dyn ExtensionPlan>>,
}

type ReadBox<P> = Box<dyn Fn(&mut Reader<'_, '_>) -> Arc<P> + Send + Sync>;

macro_rules! section {
    ($add:ident, $field:ident, $plan:ty) => {
        /// Adds a type.
        pub fn $add(
            &mut self,
            name: &'static str,
            read: impl Fn(&mut Reader<'_, '_>) -> Arc<$plan> + Send + Sync + 'static,
        ) {
            self.$field.insert(name, Box::new(read));
        }
    };
}

impl Registry {
    section!(add_receiver, receivers, dyn ReceiverPlan);
    section!(add_processor, processors, dyn ProcessorPlan);
    section!(add_exporter, exporters, dyn ExporterPlan);
    section!(add_connector, connectors, dyn ConnectorPlan);
    section!(add_extension, extensions, dyn ExtensionPlan);

    /// Names in `known` that are here by that table and not in this registry, or the other way
    /// round: a test holds both together.
    pub fn differences(&self, known: &Known) -> Vec<String> {
        let mut differences = Vec::new();
        for section in Section::ALL {
            let own: Vec<&'static str> = match section {
                Section::Receivers => self.receivers.keys().copied().collect(),
                Section::Processors => self.processors.keys().copied().collect(),
                Section::Exporters => self.exporters.keys().copied().collect(),
                Section::Connectors => self.connectors.keys().copied().collect(),
                Section::Extensions => self.extensions.keys().copied().collect(),
            };
            let here = |name: &str| {
                known.find(section, name).is_some_and(|kind| {
                    matches!(kind.status, config::Status::Here(_) | config::Status::Connects(_))
                })
            };
            for name in own.iter().filter(|name| !here(name)) {
                differences.push(format!("{section}: {name} is missing in the table"));
            }
            for kind in known.section(section) {
                if here(kind.name) && !own.contains(&kind.name) {
                    differences.push(format!("{section}: {} is not registered", kind.name));
                }
            }
        }
        differences
    }
}

/// The components of a document, ready to be started.
#[derive(Default, Clone)]
pub struct Plans {
    receivers: HashMap<Id, Arc<dyn ReceiverPlan>>,
    processors: HashMap<Id, Arc<dyn ProcessorPlan>>,
    exporters: HashMap<Id, Arc<dyn ExporterPlan>>,
    connectors: HashMap<Id, Arc<dyn ConnectorPlan>>,
    extensions: HashMap<Id, Arc<dyn ExtensionPlan>>,
}

macro_rules! plan {
    ($get:ident, $field:ident, $plan:ty) => {
        pub(super) fn $get(&self, id: &Id) -> Result<Arc<$plan>, String> {
            let plan = self.$field.get(id).cloned();
            plan.ok_or_else(|| format!("{}::{id} is not configured", stringify!($field)))
        }
    };
}

impl Plans {
    /// Reads every component of a document, used or not.
    pub fn read(document: &Document, registry: &Registry, diagnostics: &mut Diagnostics) -> Self {
        let own = Self {
            receivers: read(document, Section::Receivers, &registry.receivers, diagnostics),
            processors: read(document, Section::Processors, &registry.processors, diagnostics),
            exporters: read(document, Section::Exporters, &registry.exporters, diagnostics),
            connectors: read(document, Section::Connectors, &registry.connectors, diagnostics),
            extensions: read(document, Section::Extensions, &registry.extensions, diagnostics),
        };
        own.check(Section::Receivers, &own.receivers, document, diagnostics);
        own.check(Section::Processors, &own.processors, document, diagnostics);
        own.check(Section::Exporters, &own.exporters, document, diagnostics);
        own.check(Section::Connectors, &own.connectors, document, diagnostics);
        own.check(Section::Extensions, &own.extensions, document, diagnostics);
        own
    }

    /// Reports what would keep a section's components from starting, and is not in their settings
    /// alone.
    fn check<P: Plan + ?Sized>(
        &self,
        section: Section,
        plans: &HashMap<Id, Arc<P>>,
        document: &Document,
        diagnostics: &mut Diagnostics,
    ) {
        for component in document.section(section).iter().filter(|own| is_used(document, own)) {
            if let Some(plan) = plans.get(&component.id) {
                for need in plan.needs() {
                    check_need(
                        &need,
                        self.extensions.get(&need.id),
                        document,
                        component,
                        diagnostics,
                    );
                }
                check_pipelines(plan.leads_to(), document, component, diagnostics);
            }
        }
    }

    plan!(receiver, receivers, dyn ReceiverPlan);
    plan!(processor, processors, dyn ProcessorPlan);
    plan!(exporter, exporters, dyn ExporterPlan);
    plan!(connector, connectors, dyn ConnectorPlan);
    plan!(extension, extensions, dyn ExtensionPlan);
}

fn read<P: Plan + ?Sized>(
    document: &Document,
    section: Section,
    types: &HashMap<&'static str, ReadBox<P>>,
    diagnostics: &mut Diagnostics,
) -> HashMap<Id, Arc<P>> {
    let mut plans = HashMap::new();
    for component in document.section(section) {
        // A type that nobody knows was reported when the document was read.
        let Some(read) = component.kind.and_then(|kind| types.get(kind)) else { continue };
        let mut reader = Reader::of(component, diagnostics).used(is_used(document, component));
        let plan = read(&mut reader);
        reader.finish();
        plans.insert(component.id.clone(), plan);
    }
    plans
}

fn is_used(document: &Document, component: &Component) -> bool {
    let service = &document.service;
    let is_it = |one: &config::Reference| one.id == component.id;
    match component.section {
        Section::Extensions => service.extensions.iter().any(is_it),
        Section::Receivers => service.pipelines.iter().any(|own| own.receivers.iter().any(is_it)),
        Section::Processors => service.pipelines.iter().any(|own| own.processors.iter().any(is_it)),
        Section::Exporters | Section::Connectors => {
            service.pipelines.iter().any(|own| own.exporters.iter().any(is_it))
        }
    }
}

fn check_need(
    need: &Need,
    plan: Option<&Arc<dyn ExtensionPlan>>,
    document: &Document,
    component: &Component,
    diagnostics: &mut Diagnostics,
) {
    let (owner, id) = (format!("{}::{}", component.section, component.id), &need.id);
    let is_there = document.service.extensions.iter().any(|one| one.id == *id);
    let (error, help) = match plan {
        // What is wrong with its settings is said elsewhere.
        Some(plan) if is_there => {
            if plan.is_a(need.role) {
                return;
            }
            let (what, help) = match need.role {
                Role::Authenticator => (
                    "does not check who sends",
                    "the extension `bearertokenauth` does, and `basicauth` with `htpasswd`",
                ),
                Role::ClientAuth => (
                    "does not say who sends",
                    "the extension `bearertokenauth` does, and `basicauth` with `client_auth`",
                ),
                Role::Storage => ("keeps nothing on a disk", "the extension `file_storage` does"),
            };
            (format!("{owner}: the extension \"{id}\" {what}"), help.to_owned())
        }
        _ if is_there => return,
        _ => {
            let help = match document.component(Section::Extensions, id) {
                Some(_) => format!("add {id} to service.extensions"),
                None => {
                    format!("configure it below extensions, and add {id} to service.extensions")
                }
            };
            (format!("{owner}: the extension \"{id}\" is not among service::extensions"), help)
        }
    };
    diagnostics.push(Diagnostic::error(error).at(component.at, "this needs it").help(help));
}

fn check_pipelines(
    mut named: Vec<PipelineId>,
    document: &Document,
    component: &Component,
    diagnostics: &mut Diagnostics,
) {
    let owner = format!("{}::{}", component.section, component.id);
    named.sort();
    named.dedup();
    for id in named {
        let pipeline = document.service.pipelines.iter().find(|pipeline| pipeline.id == id);
        let error = match pipeline {
            None => format!("{owner}: the pipeline \"{id}\" is not configured"),
            Some(own) if own.receivers.iter().any(|one| one.id == component.id) => continue,
            Some(_) => format!(
                "{owner}: the pipeline \"{id}\" does not name this connector among its receivers"
            ),
        };
        let error = Diagnostic::error(error).at(component.at, "this leads there");
        diagnostics.push(match pipeline {
            Some(pipeline) => error.at(pipeline.at, "the pipeline"),
            None => error,
        });
    }
}
