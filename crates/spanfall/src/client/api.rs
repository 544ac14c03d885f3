//! The query API v1 (`crates/api/openapi.json`).

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use model::{SpanBatch, TraceId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

use super::http::{agent, describe, is_nobody};
use super::query::FilterArgs;
use crate::failure::Hinted;
use crate::text::clean;
use crate::values::parse_url;

/// The largest answer that is read. A trace of a million spans is about half of it.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Whole traces can be large and servers busy.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Which server to ask.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// The server's URL
    #[arg(
        long,
        value_name = "URL",
        env = "SPANFALL_SERVER",
        default_value = "http://127.0.0.1:16686",
        value_parser = parse_url
    )]
    pub server: String,
    /// The token that the server asks for
    #[arg(long, value_name = "TOKEN", env = "SPANFALL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// One page of a search.
#[derive(Debug, Deserialize)]
pub struct SearchPage {
    /// Newest first.
    pub traces: Vec<TraceSummary>,
    /// `None` on the last page.
    pub next_cursor: Option<String>,
    /// A damaged block was left out.
    pub partial: bool,
}

/// A trace in a search's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceSummary {
    /// The trace.
    pub trace_id: String,
    /// Of the root, or of the earliest span.
    pub root_service: Option<String>,
    /// As above.
    pub root_name: Option<String>,
    /// Decimal.
    pub start_unix_nano: String,
    /// Decimal; from the earliest start to the latest end.
    pub duration_nano: String,
    /// How many spans.
    pub span_count: u64,
    /// How many of them say error.
    pub error_count: u64,
    /// The services.
    pub services: Vec<ServiceCount>,
    /// No stored span is a root.
    pub missing_root: bool,
    /// Spans whose parent is not stored.
    pub orphan_count: u64,
}

/// A service's part of a trace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceCount {
    /// The service.
    pub name: String,
    /// How many spans.
    pub span_count: u64,
    /// How many of them say error.
    pub error_count: u64,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    parameter: Option<String>,
}

/// A client of one server's query API.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    server: String,
    authorization: Option<String>,
}

impl Client {
    /// A client; connects when first used.
    pub fn new(args: &ServerArgs) -> Self {
        Self {
            agent: agent(&args.server, TIMEOUT),
            server: args.server.clone(),
            authorization: args.token.as_ref().map(|token| format!("Bearer {}", token.trim())),
        }
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// One page of a search.
    pub fn search(
        &self,
        filter: &FilterArgs,
        limit: usize,
        cursor: Option<&str>,
    ) -> anyhow::Result<SearchPage> {
        let mut query = filter.query();
        query.push(("limit", limit.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        let (status, body) = self.get("/traces", &query, "application/json")?;
        match status {
            200 => self.json(&body),
            _ => Err(self.failure(status, &body)),
        }
    }

    /// All stored spans of a trace, as `TracesData`; `None` when there are none.
    pub fn trace(&self, id: TraceId) -> anyhow::Result<Option<SpanBatch>> {
        let path = format!("/traces/{id}");
        let (status, body) = self.get(&path, &[], "application/x-protobuf")?;
        match status {
            200 => SpanBatch::decode(Bytes::from(body))
                .map(Some)
                .with_context(|| format!("reading trace {id} from {}", self.server)),
            404 => Ok(None),
            _ => Err(self.failure(status, &body)),
        }
    }

    pub(super) fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
        accept: &str,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let request = self.request(path, query, accept);
        let mut answer = request.call().map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok((status, body.map_err(|error| self.unreachable(&error))?))
    }

    /// An answer that may come line by line, however long that takes: all lines but the last are
    /// given to `progress`, if they can be. A server that knows no lines answers with one.
    pub(super) fn get_lines(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut progress: impl FnMut(&[u8]),
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let request = self.request(path, query, "application/x-ndjson, application/json;q=0.5");
        let request = request.config().timeout_global(None).build();
        let answer = request.call().map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(u64::MAX).reader();
        let mut reader = BufReader::new(body);
        let mut last = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line);
            let read = read.and_then(|bytes| match bytes as u64 >= ANSWER_BYTES_MAX {
                true => Err(io::Error::other("it is longer than 1 GiB")),
                false => Ok(bytes),
            });
            match read {
                Ok(0) => return Ok((status, last)),
                Ok(_) => {}
                Err(error) => return Err(self.unreachable(&ureq::Error::Io(error))),
            }
            if !last.is_empty() {
                progress(&last);
            }
            last = line;
        }
    }

    fn request(
        &self,
        path: &str,
        query: &[(&str, String)],
        accept: &str,
    ) -> RequestBuilder<WithoutBody> {
        let url = format!("{}/api/v1{path}", self.server);
        let mut request = self.agent.get(&url).header("accept", accept);
        for (name, value) in query {
            request = request.query(name, value);
        }
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&self, body: &[u8]) -> anyhow::Result<T> {
        serde_json::from_slice(body).map_err(|error| {
            Hinted::new(
                format!("what answers at {} is not the Spanfall API: {error}", self.server),
                "name the URL of the UI and API with --server; the OTLP ports answer other things",
            )
            .into()
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        if is_nobody(error) {
            return Hinted::new(
                format!("no Spanfall answers at {} ({})", self.server, describe(error)),
                "start one with `spanfall serve` or name it with --server",
            )
            .into();
        }
        Hinted::plain(format!("asking {} failed: {}", self.server, describe(error))).into()
    }

    pub(super) fn failure(&self, status: u16, body: &[u8]) -> anyhow::Error {
        let said = match serde_json::from_slice::<ErrorBody>(body) {
            // Options are named as parameters are: what is wrong with one was said here.
            Ok(ErrorBody { error, parameter: Some(name) }) => {
                let said = match name.as_str() {
                    "q" => format!("the argument TRACEQL: {error}"),
                    name => format!("--{}: {error}", name.replace('_', "-")),
                };
                return Hinted::plain(clean(&said).into_owned()).into();
            }
            Ok(ErrorBody { error, parameter: None }) => clean(&error).into_owned(),
            Err(_) => format!("HTTP status {status}"),
        };
        let failure = Hinted::plain(format!("{} answered: {said}", self.server));
        match status {
            401 | 403 => failure.hint("give the server's token with --token or SPANFALL_TOKEN"),
            404 => failure.hint(
                "name the URL of the UI and API with --server; the OTLP ports answer other things",
            ),
            503 => failure.hint("the server is busy or stopping; try again"),
            _ => failure,
        }
        .into()
    }
}
