//! TLS and mTLS between exporters and receivers, with certificates made for each test.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pipeline::exporters::otlp::{OtlpGrpc, OtlpGrpcSettings, OtlpHttp, OtlpHttpSettings};
use pipeline::exporters::{Export, ExportError};
use pipeline::net::{
    ClientSettings, Pem, ServerTls, TlsClientSettings, TlsError, TlsServerSettings, TlsVersion,
};
use pipeline::receivers::otlp::HttpSettings;
use pipeline::receivers::{ByteBudget, ServerSettings};
use pipeline::{Encoded, Signal};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::raw::Raw;
use crate::support::{PATIENCE, Server, count, protobuf, until};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn ca(&self) -> Option<Pem> {
        Some(Pem::Text(self.pem.clone()))
    }

    /// A certificate for a name, and its key.
    pub fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self, client_ca: Option<Pem>) -> TlsServerSettings {
        let (cert, key) = self.issue("localhost");
        TlsServerSettings {
            cert: Some(Pem::Text(cert)),
            key: Some(Pem::Text(key)),
            client_ca,
            ..TlsServerSettings::default()
        }
    }
}

async fn over_grpc(tls: TlsServerSettings) -> Server {
    let tls = Some(ServerTls::new(tls).unwrap());
    Server::grpc_with(ServerSettings { tls, ..ServerSettings::default() }, ByteBudget::default())
        .await
}

async fn over_http(tls: TlsServerSettings) -> Server {
    let server =
        ServerSettings { tls: Some(ServerTls::new(tls).unwrap()), ..ServerSettings::default() };
    Server::http_with(HttpSettings { server, ..HttpSettings::default() }, ByteBudget::default())
        .await
}

fn client(tls: TlsClientSettings) -> ClientSettings {
    ClientSettings { tls, ..ClientSettings::default() }
}

/// One exporter of each kind to a port of localhost.
fn exporters(port: u16, grpc: bool, tls: TlsClientSettings) -> Box<dyn Export> {
    let client = client(tls);
    match grpc {
        true => {
            let endpoint = format!("localhost:{port}");
            Box::new(OtlpGrpc::new(&OtlpGrpcSettings { endpoint, client }).unwrap())
        }
        false => {
            let endpoint = format!("https://localhost:{port}");
            let settings = OtlpHttpSettings { endpoint, client, ..OtlpHttpSettings::default() };
            Box::new(OtlpHttp::new(&settings).unwrap())
        }
    }
}

async fn export(exporter: &dyn Export) -> Result<(), ExportError> {
    let encoded = Encoded { parts: vec![protobuf(3, 0).into()], items: 3 };
    let export = exporter.export(Signal::Traces, &encoded);
    tokio::time::timeout(PATIENCE, export).await.expect("an answer in time")
}

#[tokio::test]
async fn who_is_trusted_gets_through_and_others_are_told_why() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let pair = |authority: &Authority| {
        let (cert, key) = authority.issue("client");
        (Some(Pem::Text(cert)), Some(Pem::Text(key)))
    };
    let trusting = TlsClientSettings { ca: ours.ca(), ..TlsClientSettings::default() };
    let named = |name: &str| TlsClientSettings {
        server_name_override: Some(name.to_owned()),
        ..trusting.clone()
    };
    let with = |(cert, key)| TlsClientSettings { cert, key, ..trusting.clone() };
    let old = TlsClientSettings { max_version: Some(TlsVersion::V1_2), ..trusting.clone() };
    // Whether clients need certificates, the client's settings, and what an error says.
    for (mutual, tls, expected) in [
        (false, trusting.clone(), None),
        (false, old, None),
        (false, TlsClientSettings { ca: theirs.ca(), ..trusting.clone() }, Some("tls.ca_file")),
        (false, TlsClientSettings::default(), Some("tls.ca_file")),
        (
            false,
            TlsClientSettings { insecure_skip_verify: true, ..TlsClientSettings::default() },
            None,
        ),
        (false, named("localhost"), None),
        (false, named("elsewhere"), Some("tls.server_name_override")),
        (true, with(pair(&ours)), None),
        (true, trusting.clone(), Some("tls.cert_file")),
        (true, with(pair(&theirs)), Some("tls.cert_file")),
    ] {
        for grpc in [true, false] {
            let settings = ours.server(if mutual { ours.ca() } else { None });
            let server = if grpc { over_grpc(settings).await } else { over_http(settings).await };
            let exporter = exporters(server.addr.port(), grpc, tls.clone());
            let row = format!("mutual {mutual}, gRPC {grpc}, {tls:?}");
            match (export(&*exporter).await, expected) {
                (Ok(()), None) => assert_eq!(server.consumer.taken(), [3], "{row}"),
                (Err(ExportError::Retryable { reason, .. }), Some(part)) => {
                    assert!(reason.contains(part), "{row}: {reason}");
                    assert_eq!(server.consumer.calls(), 0, "{row}");
                }
                (got, _) => panic!("{row}: {got:?}"),
            }
        }
    }
}

#[tokio::test]
async fn tls_to_a_server_without_is_told() {
    let server = Server::grpc().await;
    let exporter = exporters(server.addr.port(), true, TlsClientSettings::default());
    let error = export(&*exporter).await.unwrap_err();
    assert!(error.to_string().contains("tls.insecure"), "{error}");
}

#[tokio::test]
async fn who_connects_and_says_nothing_holds_up_nobody() {
    let authority = Authority::new();
    let server = over_http(authority.server(None)).await;
    let silent = [Raw::connect(server.addr).await, Raw::connect(server.addr).await];
    let mut chatty = Raw::connect(server.addr).await;
    chatty.write("GET / HTTP/1.1\r\n\r\n").await;
    let tls = TlsClientSettings { ca: authority.ca(), ..TlsClientSettings::default() };
    export(&*exporters(server.addr.port(), false, tls)).await.unwrap();
    chatty.closed().await;
    server.shutdown.cancel();
    for silent in silent {
        silent.closed().await;
    }
    until("all are gone", || count(&server.counters.http.connections.open) == 0).await;
}

fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn files_are_read_again() {
    let (first, second) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = first.issue("localhost");
    let cert_file = write(&dir, "cert.pem", &cert);
    let key_file = write(&dir, "key.pem", &key);
    let ca_file = write(&dir, "ca.pem", &first.pem);
    // The shortest there is: every connection reads them.
    let reload_interval = Duration::from_nanos(1);
    let server = over_http(TlsServerSettings {
        cert: Some(Pem::File(cert_file)),
        key: Some(Pem::File(key_file)),
        reload_interval,
        ..TlsServerSettings::default()
    })
    .await;
    let tls = TlsClientSettings {
        ca: Some(Pem::File(ca_file)),
        reload_interval,
        ..TlsClientSettings::default()
    };
    // Keeps no connection, so that each export makes one.
    let settings = OtlpHttpSettings {
        endpoint: format!("https://localhost:{}", server.addr.port()),
        client: ClientSettings { idle_connections_max: 0, ..client(tls) },
        ..OtlpHttpSettings::default()
    };
    let fresh = || OtlpHttp::new(&settings).unwrap();
    let kept = fresh();
    export(&kept).await.unwrap();

    let (cert, key) = second.issue("localhost");
    write(&dir, "cert.pem", "rubbish");
    export(&fresh()).await.expect("the old is kept");
    write(&dir, "cert.pem", &cert);
    write(&dir, "key.pem", &key);
    let error = export(&fresh()).await.unwrap_err();
    assert!(error.to_string().contains("tls.ca_file"), "{error}");
    write(&dir, "ca.pem", &second.pem);
    export(&fresh()).await.unwrap();
}

#[test]
fn what_cannot_be_read_is_named() {
    let authority = Authority::new();
    let (cert, key) = authority.issue("localhost");
    let (_, other_key) = authority.issue("localhost");
    let text = |text: &str| Some(Pem::Text(text.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let missing = Some(Pem::File(dir.path().join("missing.pem")));
    let base = TlsServerSettings::default;
    for (settings, part) in [
        (base(), "cert_file and key_file"),
        (TlsServerSettings { cert: text(&cert), ..base() }, "key_file is missing"),
        (TlsServerSettings { key: text(&key), ..base() }, "cert_file is missing"),
        (
            TlsServerSettings { cert: missing, key: text(&key), ..base() },
            "missing.pem cannot be read",
        ),
        (TlsServerSettings { cert: text("x"), key: text(&key), ..base() }, "no certificate"),
        (TlsServerSettings { cert: text(&cert), key: text(&cert), ..base() }, "no private key"),
        (
            TlsServerSettings { cert: text(&cert), key: text(&other_key), ..base() },
            "not the key of",
        ),
        (
            TlsServerSettings {
                cert: text(&cert),
                key: text(&key),
                min_version: TlsVersion::V1_3,
                max_version: Some(TlsVersion::V1_2),
                ..base()
            },
            "min_version",
        ),
    ] {
        let error: TlsError = ServerTls::new(settings).unwrap_err();
        assert!(error.to_string().to_lowercase().contains(part), "{part}: {error}");
    }
    let shown = format!("{:?}", authority.server(None));
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}
