//! What flows through a pipeline.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
pub use config::Signal;
use model::SpanBatch;

/// An encoded request of OTLP (`ExportTraceServiceRequest` and its sisters), in one or several
/// parts: such requests are added up by writing one behind the other.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// The parts.
    pub parts: Vec<Bytes>,
    /// Spans, data points or log records in them.
    pub items: u64,
}

impl Encoded {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// True when there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts as one.
    pub fn joined(&self) -> Bytes {
        match &self.parts[..] {
            [] => Bytes::new(),
            [only] => only.clone(),
            parts => parts.concat().into(),
        }
    }
}

/// Content of one signal.
#[derive(Debug, Clone)]
pub enum Data {
    /// Spans, in the requests they came in. What several consumers get is shared until one of them
    /// changes it.
    Traces(Vec<Arc<SpanBatch>>),
    /// Data points.
    Metrics(Encoded),
    /// Log records.
    Logs(Encoded),
}

impl Data {
    /// Its signal.
    pub fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Traces,
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
        }
    }

    /// Spans, data points or log records.
    pub fn items(&self) -> u64 {
        match self {
            Self::Traces(batches) => batches.iter().map(|batch| batch.len() as u64).sum(),
            Self::Metrics(encoded) | Self::Logs(encoded) => encoded.items,
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Traces(batches) => {
                batches.iter().map(|batch| batch.bytes().len() + batch.index_bytes()).sum()
            }
            Self::Metrics(encoded) | Self::Logs(encoded) => encoded.len(),
        }
    }

    /// As a request of OTLP. What was not edited is not copied.
    pub fn encoded(&self) -> Encoded {
        match self {
            Self::Traces(batches) => Encoded {
                parts: batches.iter().map(|batch| batch.encoded()).collect(),
                items: self.items(),
            },
            Self::Metrics(encoded) | Self::Logs(encoded) => encoded.clone(),
        }
    }
}

/// Who sent a request, for those parts of a pipeline that look at it. Shared, because most
/// requests of a connection have the same.
#[derive(Debug, Default)]
pub struct Client {
    /// The other end of the connection, if it has an address: sockets in the file system have none.
    pub address: Option<SocketAddr>,
    /// Headers, with lower-case names, when the receiver is set to keep them (`include_metadata`).
    pub metadata: Vec<(String, String)>,
    /// What the authenticator found out, such as `subject`.
    pub auth: Vec<(String, String)>,
}

impl Client {
    /// The values of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.metadata.iter().filter(same).map(|(_, value)| value.as_str())
    }
}

/// Content on its way, and who sent it.
#[derive(Debug, Clone)]
pub struct Request {
    /// What.
    pub data: Data,
    /// From whom.
    pub client: Arc<Client>,
}

impl Request {
    /// Spans of one request, from nobody in particular.
    pub fn traces(batch: SpanBatch) -> Self {
        Self { data: Data::Traces(vec![Arc::new(batch)]), client: Arc::default() }
    }
}
