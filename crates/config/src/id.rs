//! Names of components, pipelines and sections.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// The most characters of a component's type.
const KIND_CHARACTERS_MAX: usize = 63;
/// The most characters of a component's name.
const NAME_CHARACTERS_MAX: usize = 1024;

/// `type` or `type/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The component's type as it was written.
    pub kind: String,
    /// What tells it from others of its type; may be empty.
    pub name: String,
}

impl Id {
    /// Reads `type` or `type/name`. Blanks around the slash do not count.
    ///
    /// # Errors
    /// The Collector's words for what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = split(text)?;
        if !is_kind(kind) {
            return Err(format!(
                "in {text:?} id: invalid character(s) in type {kind:?}: it has to be a letter and \
                 then at most 62 letters, digits and underscores"
            ));
        }
        Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(f, &self.kind, &self.name)
    }
}

fn display(f: &mut fmt::Formatter<'_>, kind: &str, name: &str) -> fmt::Result {
    match name {
        "" => f.write_str(kind),
        name => write!(f, "{kind}/{name}"),
    }
}

/// The two parts around a slash; the second may be missing.
fn split(text: &str) -> Result<(&str, &str), String> {
    let (kind, name) = match text.split_once('/') {
        None => (text.trim(), None),
        Some((kind, name)) => (kind.trim(), Some(name.trim())),
    };
    match (kind, name) {
        ("", None) => Err("id must not be empty".to_owned()),
        ("", Some(_)) => Err(format!("in {text:?} id: the part before / should not be empty")),
        (_, Some("")) => Err(format!("in {text:?} id: the part after / should not be empty")),
        (_, Some(name)) if !is_name(name) => Err(format!(
            "in {text:?} id: invalid character(s) in name: it may have 1 to {NAME_CHARACTERS_MAX} \
             characters, and none of them a blank, a control character or a symbol"
        )),
        (kind, name) => Ok((kind, name.unwrap_or_default())),
    }
}

/// `^[a-zA-Z][0-9a-zA-Z_]{0,62}$`
fn is_kind(kind: &str) -> bool {
    kind.len() <= KIND_CHARACTERS_MAX
        && kind.starts_with(|first: char| first.is_ascii_alphabetic())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `^[^\pZ\pC\pS]+$`
fn is_name(name: &str) -> bool {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[^\pZ\pC\pS]+$").ok());
    name.chars().count() <= NAME_CHARACTERS_MAX
        && NAME.as_ref().is_some_and(|pattern| pattern.is_match(name))
}

/// What a pipeline carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Measurements.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// As it is written in a pipeline's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What is counted of it, in the names of metrics: `spans`, `metric_points`, `log_records`.
    pub fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "metric_points",
            Self::Logs => "log_records",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `signal` or `signal/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId {
    /// What it carries.
    pub signal: Signal,
    /// What tells it from others of its signal; may be empty.
    pub name: String,
}

impl PipelineId {
    /// Reads `signal` or `signal/name`.
    ///
    /// # Errors
    /// The Collector's words for what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (signal, name) = split(text)?;
        match Signal::ALL.into_iter().find(|known| known.name() == signal) {
            Some(signal) => Ok(Self { signal, name: name.to_owned() }),
            None => Err(format!("in {text:?} id: unknown pipeline signal: {signal:?}")),
        }
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(f, self.signal.name(), &self.name)
    }
}

/// A part of the configuration that lists components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// What data comes in by.
    Receivers,
    /// What changes it.
    Processors,
    /// What it goes out by.
    Exporters,
    /// What joins pipelines.
    Connectors,
    /// What carries no data.
    Extensions,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Receivers, Self::Processors, Self::Exporters, Self::Connectors, Self::Extensions];

    /// The key at the top of the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receivers => "receivers",
            Self::Processors => "processors",
            Self::Exporters => "exporters",
            Self::Connectors => "connectors",
            Self::Extensions => "extensions",
        }
    }

    /// One of them.
    pub fn one(self) -> &'static str {
        self.name().trim_end_matches('s')
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
