//! Sockets in the file system, on both sides.

use http::Method;
use pipeline::exporters::Export;
use pipeline::exporters::otlp::{OtlpGrpc, OtlpGrpcSettings};
use pipeline::net::Algorithm;
use pipeline::receivers::ByteBudget;
use pipeline::{Encoded, Signal};

use crate::components::House;
use crate::exporters_otlp::plain;
use crate::http_client::{Client, PROTOBUF, build};
use crate::support::{PATIENCE, Recorder, protobuf};

#[tokio::test]
async fn spans_come_over_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let (grpc, http) = (folder.path().join("grpc.sock"), folder.path().join("http.sock"));
    let consumer = Recorder::new();
    let mut house = House::with(consumer.clone(), ByteBudget::default());
    let text = format!(
        "
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: {}, transport: unix}}
      http: {{endpoint: {}, transport: unix}}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}}}
",
        grpc.display(),
        http.display()
    );
    house.apply(&text).await.unwrap();
    let addresses = house.graph.addresses();
    let named = |name| addresses.iter().find(|(_, _, own, _)| *own == name).unwrap().3.to_string();
    let endpoints = [named("grpc"), format!("unix://{}", grpc.display())];
    assert_eq!(endpoints[0], format!("unix:{}", grpc.display()));
    for endpoint in endpoints {
        let client = plain(Algorithm::Gzip);
        let exporter = OtlpGrpc::new(&OtlpGrpcSettings { endpoint, client }).unwrap();
        let encoded = Encoded { parts: vec![protobuf(3, 0).into()], items: 3 };
        let export = exporter.export(Signal::Traces, &encoded);
        tokio::time::timeout(PATIENCE, export).await.unwrap().unwrap();
    }
    let request = build(Method::POST, "/v1/traces", &[("content-type", PROTOBUF)], protobuf(2, 0));
    assert_eq!(Client::unix(&http).await.send(request).await.status, 200);
    assert_eq!(consumer.taken(), [3, 3, 2]);
    house.graph.stop().await;
    assert!(!grpc.exists() && !http.exists());
}
