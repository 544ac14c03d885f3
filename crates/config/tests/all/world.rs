//! A world of files and variables, and a table of components.

use std::collections::BTreeMap;
use std::io;

use config::{Diagnostics, Document, Kind, Known, Outside, Request, Signal, Status};

/// Files and variables that a test made up.
#[derive(Debug, Default, Clone)]
pub struct World {
    pub files: BTreeMap<String, Vec<u8>>,
    pub variables: BTreeMap<String, String>,
    pub configs: Vec<String>,
    pub sets: Vec<String>,
}

impl Outside for World {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        }
    }
}

impl World {
    /// One file `c.yaml`.
    pub fn of(text: impl AsRef<[u8]>) -> Self {
        let mut world = Self::default();
        world.files.insert("c.yaml".to_owned(), text.as_ref().to_vec());
        world.configs.push("c.yaml".to_owned());
        world
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn load(&self) -> (Document, Diagnostics) {
        config::load(Request { configs: &self.configs, sets: &self.sets }, self, &KNOWN)
    }
}

const ALL: &[Signal] = &Signal::ALL;
const TRACES: &[Signal] = &[Signal::Traces];

const fn kind(name: &'static str, status: Status) -> Kind {
    Kind { name, status }
}

/// A few components of every sort.
pub const KNOWN: Known = Known {
    receivers: &[
        kind("otlp", Status::Here(ALL)),
        kind("zipkin", Status::Here(TRACES)),
        kind("tester", Status::Here(ALL)),
        kind("kafka", Status::Elsewhere("put a Collector in front that sends otlp")),
        kind("opencensus", Status::Removed("send otlp instead")),
    ],
    processors: &[
        kind("batch", Status::Here(ALL)),
        kind("memory_limiter", Status::Here(ALL)),
        kind("resource_detection", Status::Here(ALL)),
        kind("resourcedetection", Status::Alias("resource_detection")),
        kind("spanmetrics", Status::Removed("use the connector `span_metrics`")),
    ],
    exporters: &[
        kind("debug", Status::Here(ALL)),
        kind("otlp_grpc", Status::Here(ALL)),
        kind("otlp", Status::Alias("otlp_grpc")),
        kind("jaeger", Status::Removed("use `otlp_grpc` to Jaeger's port 4317")),
        kind(
            "logging",
            Status::Removed(
                "the logging exporter has been deprecated, use the debug exporter instead",
            ),
        ),
    ],
    connectors: &[
        kind(
            "forward",
            Status::Connects(&[
                (Signal::Traces, Signal::Traces),
                (Signal::Metrics, Signal::Metrics),
                (Signal::Logs, Signal::Logs),
            ]),
        ),
        kind("span_metrics", Status::Connects(&[(Signal::Traces, Signal::Metrics)])),
    ],
    extensions: &[
        kind("health_check", Status::Here(&[])),
        kind("memory_ballast", Status::Removed("set GOMEMLIMIT")),
        kind("pprof", Status::Elsewhere("use `perf`")),
    ],
};
