//! A server that Spanfall sends what it says of itself to: the OTLP exporter of the SDKs'
//! configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::Reader;

use super::plan::{millis, warn_at};
use crate::components::clients::{check_pem, tls};
use crate::data::Signal;
use crate::exporters::otlp::{OtlpGrpc, OtlpGrpcSettings, OtlpHttp, OtlpHttpSettings};
use crate::exporters::{Export, QueueSettings, RetrySettings, Sender, SenderSettings};
use crate::net::{Algorithm, ClientSettings, Compression, Headers, Pem, TlsError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Grpc,
}

/// Where to, and how.
pub(super) struct OtlpTarget {
    protocol: Protocol,
    endpoint: String,
    client: ClientSettings,
    timeout: Duration,
}

/// The first wait before an attempt is made again.
const RETRY_FIRST: Duration = Duration::from_secs(1);

impl OtlpTarget {
    /// A sender without a queue: whoever sends waits, `timeout` at the most, retries included.
    pub(super) async fn sender(&self, signal: Signal, timeout: Duration) -> Result<Sender, String> {
        let export: Arc<dyn Export> = match self.protocol {
            Protocol::Grpc => {
                let settings = OtlpGrpcSettings {
                    endpoint: self.endpoint.clone(),
                    client: self.client.clone(),
                };
                Arc::new(OtlpGrpc::new(&settings).map_err(|error| error.to_string())?)
            }
            Protocol::Http => {
                let mut settings =
                    OtlpHttpSettings { client: self.client.clone(), ..Default::default() };
                let url = self.url();
                // A path is taken as it is written; without one, the signal's own is added.
                let path = url.split_once("://").map_or(&*url, |(_, rest)| rest).split_once('/');
                if path.is_some_and(|(_, path)| !path.is_empty()) {
                    match signal {
                        Signal::Traces => settings.traces_endpoint = Some(url),
                        Signal::Metrics => settings.metrics_endpoint = Some(url),
                        Signal::Logs => settings.logs_endpoint = Some(url),
                    }
                } else {
                    settings.endpoint = url;
                }
                Arc::new(OtlpHttp::new(&settings).map_err(|error| error.to_string())?)
            }
        };
        let settings = SenderSettings {
            timeout: self.timeout.min(timeout),
            retry: RetrySettings {
                initial_interval: RETRY_FIRST,
                max_elapsed_time: Some(timeout.max(Duration::from_millis(1))),
                ..RetrySettings::default()
            },
            queue: QueueSettings { enabled: false, ..QueueSettings::default() },
            ..SenderSettings::default()
        };
        let sender = Sender::new("service.telemetry", signal, settings, export);
        sender.start().await.map_err(|error| error.to_string())?;
        Ok(sender)
    }

    fn url(&self) -> String {
        match (self.endpoint.contains("://"), self.client.tls.insecure) {
            (true, _) => self.endpoint.clone(),
            (false, true) => format!("http://{}", self.endpoint),
            (false, false) => format!("https://{}", self.endpoint),
        }
    }
}

/// `exporter` of a reader or processor.
pub(super) fn target(reader: &mut Reader<'_, '_>) -> Option<OtlpTarget> {
    let exporter = reader.field("exporter").required().section(|reader| {
        let others = ["console", "prometheus", "zipkin"];
        for key in others {
            reader.refused(key, "is not supported here: Spanfall sends it over OTLP");
        }
        if others.iter().any(|key| reader.has(key)) {
            return None;
        }
        let kind = reader.one_of(&["otlp", "otlp_http", "otlp_grpc"]);
        let own = reader.field("otlp").section(|reader| otlp(reader, None));
        let http = reader.field("otlp_http").section(|reader| otlp(reader, Some(Protocol::Http)));
        let grpc = reader.field("otlp_grpc").section(|reader| otlp(reader, Some(Protocol::Grpc)));
        kind.and(own.or(http).or(grpc))
    });
    exporter.flatten()
}

fn otlp(reader: &mut Reader<'_, '_>, fixed: Option<Protocol>) -> OtlpTarget {
    let protocol = match fixed {
        Some(protocol) => protocol,
        None => reader
            .field("protocol")
            .choice(&[
                ("http/protobuf", Protocol::Http),
                ("grpc", Protocol::Grpc),
                ("grpc/protobuf", Protocol::Grpc),
            ])
            .unwrap_or(Protocol::Http),
    };
    let default = match protocol {
        Protocol::Http => "http://localhost:4318",
        Protocol::Grpc => "http://localhost:4317",
    };
    let endpoint = reader.field("endpoint").string().filter(|text| !text.trim().is_empty());
    let mut headers = Headers::default();
    for (name, value) in reader.field("headers").headers().unwrap_or_default() {
        if let Err(error) = headers.add(&name, value.expose()) {
            reader.fault("headers", &error.to_string());
        }
    }
    let list = reader.field("headers_list").secret().unwrap_or_default();
    for pair in list.expose().split(',').filter(|pair| !pair.trim().is_empty()) {
        let added =
            pair.split_once('=').map(|(name, value)| headers.add(name.trim(), value.trim()));
        match added {
            Some(Ok(())) => {}
            Some(Err(error)) => reader.fault("headers_list", &error.to_string()),
            None => reader.fault("headers_list", "is pairs like a=b,c=d"),
        }
    }
    let algorithm = reader.field("compression").choice(&[
        ("gzip", Algorithm::Gzip),
        ("none", Algorithm::None),
        ("", Algorithm::None),
    ]);
    let timeout = millis(reader, "timeout", Duration::from_secs(10));
    let mut tls = tls(reader);
    tls.insecure |= reader.field("insecure").bool().unwrap_or_default();
    type Check = fn(&Pem) -> Result<(), TlsError>;
    let mut file = |keys: [&'static str; 2], own: &mut Option<Pem>, check: Check| {
        for key in keys {
            let path = reader.field(key).string().filter(|path| !path.is_empty());
            if let Some(path) = path {
                let pem = Pem::File(PathBuf::from(path));
                check_pem(reader, key, &pem, check);
                *own = Some(pem);
            }
        }
    };
    file(["certificate", "certificate_file"], &mut tls.ca, Pem::check_authorities);
    let keys = ["client_certificate", "client_certificate_file"];
    file(keys, &mut tls.cert, Pem::check_certificates);
    file(["client_key", "client_key_file"], &mut tls.key, Pem::check_key);
    let temporality = reader.field("temporality_preference").choice(&[
        ("cumulative", true),
        ("delta", false),
        ("lowmemory", false),
        ("low_memory", false),
    ]);
    if temporality == Some(false) {
        let message = "has no effect: sums are cumulative";
        let help = "leave it out, or use `delta` where metrics are stored";
        warn_at(reader, "temporality_preference", "temporality_preference", message, help);
    }
    reader.field("default_histogram_aggregation").string();
    let compression =
        Compression { algorithm: algorithm.unwrap_or(Algorithm::None), ..Compression::default() };
    OtlpTarget {
        protocol,
        endpoint: endpoint.unwrap_or_else(|| default.to_owned()),
        client: ClientSettings { tls, headers, compression, ..ClientSettings::default() },
        timeout,
    }
}
