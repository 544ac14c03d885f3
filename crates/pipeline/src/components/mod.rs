//! The components by their names in a configuration: settings read from YAML under the Collector's
//! keys, and the parts that they become.

mod clients;
mod connectors;
mod exporters;
mod extensions;
mod known;
mod processors;
mod receivers;
mod selection;
mod servers;
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
    extensions::register(registry);
}
