//! OTLP over HTTP, as protobuf (OTLP specification, "OTLP/HTTP").

use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use model::wire::{Field, Reader};
use ureq::Agent;
use ureq::http::Response;

use super::http::{agent, describe, is_nobody, port};
use super::retry::{Patience, parse_retry_after};
use crate::failure::Hinted;
use crate::text::{clean, cut};
use crate::values::parse_url;

const ENDPOINT_DEFAULT: &str = "http://127.0.0.1:4318/v1/traces";
const TRACES_PATH: &str = "/v1/traces";
const GRPC_PORT: u16 = 4317;
const TIMEOUT: Duration = Duration::from_secs(60);
/// What is on its way when time is up may take so long yet: a busy server answers within two
/// seconds.
const GRACE: Duration = Duration::from_secs(3);
/// Answers are a few bytes; an error page may be longer and is not needed whole.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const MESSAGE_COLUMNS_MAX: usize = 200;

/// Where spans are sent.
#[derive(Debug, Clone, Args)]
pub struct OtlpArgs {
    /// The OTLP/HTTP endpoint [default: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, then
    /// OTEL_EXPORTER_OTLP_ENDPOINT, then http://127.0.0.1:4318/v1/traces]
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub otlp_endpoint: Option<String>,
}

impl OtlpArgs {
    /// The endpoint that holds.
    pub fn endpoint(&self) -> anyhow::Result<String> {
        self.endpoint_in(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The rules for the variables are the SDKs' (OTLP exporter specification): the one for traces
    /// is taken as it is, the one for all signals gets the path of traces.
    fn endpoint_in(&self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<String> {
        let read = |name: &str| {
            variable(name).map(|value| {
                parse_url(&value).map_err(|error| Hinted::plain(format!("{name}: {error}")))
            })
        };
        if let Some(endpoint) = &self.otlp_endpoint {
            let (_, rest) = endpoint.split_once("://").unwrap_or_default();
            let path = if rest.contains('/') { "" } else { TRACES_PATH };
            return Ok(format!("{endpoint}{path}"));
        }
        if let Some(endpoint) = read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            return Ok(endpoint?);
        }
        if let Some(base) = read("OTEL_EXPORTER_OTLP_ENDPOINT") {
            return Ok(format!("{}{TRACES_PATH}", base?));
        }
        Ok(ENDPOINT_DEFAULT.to_owned())
    }
}

/// What became of an accepted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Spans that the server left out.
    pub rejected: u64,
    /// Why it did.
    pub reason: String,
    /// How long the last attempt took.
    pub took: Duration,
    /// Attempts before it that the server turned away as busy, or that were lost.
    pub retries: u64,
}

/// Why a request was not accepted.
#[derive(Debug)]
pub enum Refusal {
    /// The server says that this request is wrong; others may not be.
    Refused(String),
    /// The server is gone, or was busy until patience ended.
    Gone(anyhow::Error),
}

enum Answer {
    Accepted { rejected: u64, reason: String },
    Busy { retry_after: Option<Duration>, message: String },
    Refused(String),
    Lost(ureq::Error),
}

/// Sends requests to one endpoint over one connection, which it keeps.
#[derive(Debug)]
pub struct Sender {
    agent: Agent,
    endpoint: String,
    /// Whether the server ever answered.
    met: bool,
    /// When to give up on whatever is not answered.
    ends: Option<Instant>,
}

impl Sender {
    /// A sender; connects when first used.
    pub fn new(endpoint: String) -> Self {
        Self { agent: agent(&endpoint, TIMEOUT), endpoint, met: false, ends: None }
    }

    /// The same with an end: no pause goes beyond it, and no attempt for long.
    pub fn ending(self, ends: Option<Instant>) -> Self {
        Self { ends, ..self }
    }

    /// Sends an `ExportTraceServiceRequest`; again, after calling `pause`, while the server is
    /// busy. `pause` gives false to give up.
    pub fn send(
        &mut self,
        request: &[u8],
        mut patience: Patience,
        mut pause: impl FnMut(Duration) -> bool,
    ) -> Result<Outcome, Refusal> {
        let mut retries = 0;
        loop {
            let started = Instant::now();
            let answer = self.attempt(request);
            let took = started.elapsed();
            let (retry_after, error) = match answer {
                Answer::Accepted { rejected, reason } => {
                    return Ok(Outcome { rejected, reason, took, retries });
                }
                Answer::Refused(message) => return Err(Refusal::Refused(message)),
                // Whoever was never there is not about to come back.
                Answer::Lost(error) if !self.met => {
                    return Err(Refusal::Gone(self.unreachable(&error)));
                }
                Answer::Lost(error) => (None, self.unreachable(&error)),
                Answer::Busy { retry_after, message } => {
                    let message = format!("{} stayed busy: {message}", self.endpoint);
                    (retry_after, Hinted::new(message, "try again, or at a lower rate").into())
                }
            };
            retries += 1;
            let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
            let again = patience.pause(retry_after).is_some_and(|wanted| {
                let left = left.unwrap_or(Duration::MAX);
                pause(wanted.min(left)) && wanted < left
            });
            if !again {
                return Err(Refusal::Gone(error));
            }
        }
    }

    fn attempt(&mut self, request: &[u8]) -> Answer {
        let answer = self
            .agent
            .post(&self.endpoint)
            .header("content-type", "application/x-protobuf")
            .config()
            .timeout_global(Some(self.attempt_timeout()))
            .build()
            .send(request);
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Answer::Lost(error),
        };
        self.met = true;
        // Read to its end in any case, or the connection cannot be used again.
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.unwrap_or_default();
        match answer.status().as_u16() {
            200..=299 => {
                let (rejected, reason) = partial_success(&body);
                Answer::Accepted { rejected, reason }
            }
            // OTLP specification, "Retryable Response Codes".
            429 | 502..=504 => Answer::Busy {
                retry_after: header(&answer, "retry-after")
                    .and_then(|value| parse_retry_after(value, SystemTime::now())),
                message: message(&answer, &body),
            },
            _ => Answer::Refused(message(&answer, &body)),
        }
    }

    fn attempt_timeout(&self) -> Duration {
        let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()) + GRACE);
        left.map_or(TIMEOUT, |left| left.min(TIMEOUT))
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        let what = describe(error);
        let failure = if is_nobody(error) {
            Hinted::new(
                format!("no OTLP server answers at {} ({what})", self.endpoint),
                "start one with `spanfall serve` or name it with --otlp-endpoint",
            )
        } else {
            Hinted::plain(format!("sending to {} failed: {what}", self.endpoint))
        };
        match port(&self.endpoint) {
            Some(GRPC_PORT) => failure.hint("4317 is the port of OTLP/gRPC; OTLP/HTTP has 4318"),
            _ => failure,
        }
        .into()
    }
}

fn header<'a, B>(answer: &'a Response<B>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// `ExportTraceServiceResponse`: rejected spans and why.
fn partial_success(body: &[u8]) -> (u64, String) {
    let mut found = (0, String::new());
    for (number, field) in fields(body) {
        let (1, Field::Bytes(partial)) = (number, field) else { continue };
        for (number, field) in fields(partial) {
            match (number, field) {
                (1, Field::Varint(rejected)) => found.0 = rejected,
                (2, Field::Bytes(reason)) => found.1 = short(reason),
                _ => {}
            }
        }
    }
    found
}

/// `google.rpc.Status` as JSON.
#[derive(serde::Deserialize)]
struct Status {
    message: String,
}

/// The `google.rpc.Status` that OTLP prescribes for errors, or the start of what came instead.
fn message<B>(answer: &Response<B>, body: &[u8]) -> String {
    let is_protobuf =
        header(answer, "content-type").is_some_and(|value| value.contains("protobuf"));
    let said = if is_protobuf {
        fields(body).find_map(|(number, field)| match (number, field) {
            (2, Field::Bytes(text)) => Some(short(text)),
            _ => None,
        })
    } else if let Ok(status) = serde_json::from_slice::<Status>(body) {
        Some(short(status.message.as_bytes()))
    } else {
        Some(short(body))
    };
    match said {
        Some(said) if !said.is_empty() => {
            format!("HTTP status {}: {said}", answer.status().as_u16())
        }
        _ => format!("HTTP status {}", answer.status().as_u16()),
    }
}

fn fields(bytes: &[u8]) -> impl Iterator<Item = (u32, Field<'_>)> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || reader.next_field().ok().flatten())
}

fn short(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    cut(&clean(text.trim()), MESSAGE_COLUMNS_MAX, "…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::stub::{Stub, reply};

    #[test]
    fn endpoints() {
        let all = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        for (option, variables, endpoint) in [
            (None, &[][..], ENDPOINT_DEFAULT),
            (None, &[(all, "http://c:4318/")], "http://c:4318/v1/traces"),
            (None, &[(all, "http://c:4318/x")], "http://c:4318/x/v1/traces"),
            (None, &[(all, "http://c:4318"), (traces, "http://t:1/y")], "http://t:1/y"),
            (Some("http://f:4318"), &[(traces, "http://t:1/y")], "http://f:4318/v1/traces"),
            (Some("http://f:4318/custom"), &[], "http://f:4318/custom"),
        ] {
            let args = OtlpArgs { otlp_endpoint: option.map(str::to_owned) };
            let variable = |name: &str| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(args.endpoint_in(variable).unwrap(), endpoint);
        }
        let args = OtlpArgs { otlp_endpoint: None };
        let error = args.endpoint_in(|_| Some("c:4318".to_owned())).unwrap_err();
        assert!(error.to_string().starts_with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "), "{error}");
    }

    fn send(stub: &Stub, patience: Duration) -> (Result<Outcome, Refusal>, Vec<Duration>) {
        let mut pauses = Vec::new();
        let mut sender = Sender::new(format!("{}/v1/traces", stub.url()));
        let result = sender.send(b"spans", Patience::new(patience), |pause| {
            pauses.push(pause);
            true
        });
        (result, pauses)
    }

    #[test]
    fn retries_what_is_busy_as_it_is_told() {
        let stub = Stub::new([
            reply(429, &[("retry-after", "7")], b""),
            reply(503, &[], b"later"),
            reply(200, &[], b""),
        ]);
        let (result, pauses) = send(&stub, Duration::from_secs(60));
        let outcome = result.unwrap();
        assert_eq!((outcome.rejected, outcome.retries), (0, 2));
        assert_eq!(pauses, [Duration::from_secs(7), Duration::from_millis(200)]);
        let requests = stub.requests();
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|request| request.body == b"spans"));
        assert_eq!(requests[0].line, "POST /v1/traces HTTP/1.1");
    }

    #[test]
    fn patience_has_an_end() {
        let busy = || reply(503, &[("retry-after", "20")], b"full");
        let stub = Stub::new([busy(), busy(), busy()]);
        let (result, pauses) = send(&stub, Duration::from_secs(30));
        let Err(Refusal::Gone(error)) = result else { panic!("{result:?}") };
        assert!(error.to_string().ends_with("stayed busy: HTTP status 503: full"), "{error}");
        assert_eq!(pauses, [Duration::from_secs(20), Duration::from_secs(10)]);
    }

    #[test]
    fn tells_what_the_server_says() {
        let mut status = Vec::new();
        model::wire::put_bytes_field(&mut status, 2, b"bad \x1b bytes");
        let stub = Stub::new([reply(400, &[("content-type", "application/x-protobuf")], &status)]);
        let (result, _) = send(&stub, Duration::ZERO);
        let Err(Refusal::Refused(message)) = result else { panic!("{result:?}") };
        assert_eq!(message, "HTTP status 400: bad \u{fffd} bytes");

        let json = br#"{"code":3,"message":"wrong port"}"#;
        let (result, _) = send(&Stub::new([reply(415, &[], json)]), Duration::ZERO);
        let Err(Refusal::Refused(message)) = result else { panic!("{result:?}") };
        assert_eq!(message, "HTTP status 415: wrong port");

        let rejection = model::Rejection { spans: 3, reason: "too old".to_owned() };
        let stub = Stub::new([reply(200, &[], &model::export_response(&rejection))]);
        let outcome = send(&stub, Duration::ZERO).0.unwrap();
        assert_eq!((outcome.rejected, outcome.reason.as_str()), (3, "too old"));
    }

    #[test]
    fn nobody_there() {
        let url = Stub::new([]).into_dead_url();
        let mut sender = Sender::new(url);
        let result = sender.send(b"", Patience::new(Duration::from_secs(9)), |_| panic!("waits"));
        let Err(Refusal::Gone(error)) = result else { panic!("{result:?}") };
        assert!(error.to_string().starts_with("no OTLP server answers at"), "{error}");
        assert!(crate::failure::hints(&error).any(|hint| hint.contains("spanfall serve")));
    }
}
