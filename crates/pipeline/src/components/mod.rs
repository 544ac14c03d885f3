//! The components by their names in a configuration: settings read from YAML under the Collector's
//! keys, and the parts that they become.

pub(crate) mod clients;
mod connectors;
#[cfg(test)]
mod docs_test;
mod exporters;
mod exporters_jaeger_zipkin;
mod extensions;
mod extensions_pages;
mod kafka;
mod known;
mod ports;
mod processor_counts;
mod processors;
mod processors_detection;
mod receivers;
mod receivers_file;
mod receivers_jaeger;
mod receivers_zipkin;
mod selection;
pub mod servers;
mod statements;
#[cfg(test)]
mod tests;

pub use known::known;

use crate::graph::Registry;

/// Registers all components that this crate has.
pub fn register(registry: &mut Registry) {
    receivers::register(registry);
    processors::register(registry);
    connectors::register(registry);
    exporters::register(registry);
    kafka::register(registry);
    exporters_jaeger_zipkin::register(registry);
    extensions::register(registry);
    extensions_pages::register(registry);
}
