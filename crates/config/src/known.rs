//! Which components there are: here, in the Collector alone, or no longer anywhere.

use crate::id::{Section, Signal};

/// The types of components that a configuration may name. The caller has the table; this crate
/// knows none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Receivers.
    pub receivers: &'static [Kind],
    /// Processors.
    pub processors: &'static [Kind],
    /// Exporters.
    pub exporters: &'static [Kind],
    /// Connectors.
    pub connectors: &'static [Kind],
    /// Extensions.
    pub extensions: &'static [Kind],
}

/// A type of component.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// As it is written in a configuration.
    pub name: &'static str,
    /// What there is of it.
    pub status: Status,
}

/// What there is of a type.
#[derive(Debug, Clone, Copy)]
pub enum Status {
    /// It is here, and works in pipelines of these signals. Empty for extensions.
    Here(&'static [Signal]),
    /// It is a connector and is here; from which pipelines to which it can carry.
    Connects(&'static [(Signal, Signal)]),
    /// It is called otherwise today; the name of a type that is here.
    Alias(&'static str),
    /// The Collector has it and Spanfall does not; what to use instead.
    Elsewhere(&'static str),
    /// The Collector had it; what to use instead.
    Removed(&'static str),
}

impl Known {
    /// The types of a section.
    pub fn section(&self, section: Section) -> &'static [Kind] {
        match section {
            Section::Receivers => self.receivers,
            Section::Processors => self.processors,
            Section::Exporters => self.exporters,
            Section::Connectors => self.connectors,
            Section::Extensions => self.extensions,
        }
    }

    /// A type of a section by its name of today or an old one.
    pub fn find(&self, section: Section, name: &str) -> Option<&'static Kind> {
        self.section(section).iter().find(|kind| kind.name == name)
    }

    /// The names of the types that are here, in the order of the alphabet.
    pub(crate) fn names(&self, section: Section) -> Vec<&'static str> {
        let is_here = |kind: &&Kind| matches!(kind.status, Status::Here(_) | Status::Connects(_));
        let mut names: Vec<_> =
            self.section(section).iter().filter(is_here).map(|kind| kind.name).collect();
        names.sort_unstable();
        names
    }
}
