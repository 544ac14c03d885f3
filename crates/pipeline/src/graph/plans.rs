//! From a document to plans: every component's settings read, and everything wrong reported.

use std::collections::HashMap;
use std::sync::Arc;

use config::{Diagnostics, Document, Id, Known, Reader, Section};

use crate::component::{ConnectorPlan, ExporterPlan, ExtensionPlan, ProcessorPlan, ReceiverPlan};

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
        Self {
            receivers: read(document, Section::Receivers, &registry.receivers, diagnostics),
            processors: read(document, Section::Processors, &registry.processors, diagnostics),
            exporters: read(document, Section::Exporters, &registry.exporters, diagnostics),
            connectors: read(document, Section::Connectors, &registry.connectors, diagnostics),
            extensions: read(document, Section::Extensions, &registry.extensions, diagnostics),
        }
    }

    plan!(receiver, receivers, dyn ReceiverPlan);
    plan!(processor, processors, dyn ProcessorPlan);
    plan!(exporter, exporters, dyn ExporterPlan);
    plan!(connector, connectors, dyn ConnectorPlan);
    plan!(extension, extensions, dyn ExtensionPlan);
}

fn read<P: ?Sized>(
    document: &Document,
    section: Section,
    types: &HashMap<&'static str, ReadBox<P>>,
    diagnostics: &mut Diagnostics,
) -> HashMap<Id, Arc<P>> {
    let mut plans = HashMap::new();
    for component in document.section(section) {
        // A type that nobody knows was reported when the document was read.
        let Some(read) = component.kind.and_then(|kind| types.get(kind)) else { continue };
        let mut reader = Reader::of(component, diagnostics);
        plans.insert(component.id.clone(), read(&mut reader));
        reader.finish();
    }
    plans
}
