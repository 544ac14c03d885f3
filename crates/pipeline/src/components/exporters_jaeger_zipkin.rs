//! The exporters `jaeger` and `zipkin`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::{Diagnostic, Id, Reader};

use super::clients::{ClientPlan, SenderPlan, endpoint, grpc_client, http_client, sender};
use super::exporters::{Senders, needs};
use crate::component::{ExporterPlan, Need, Plan, Stage, Surroundings};
use crate::data::Signal;
use crate::exporters::jaeger::{Jaeger, JaegerSettings};
use crate::exporters::otlp::check_url;
use crate::exporters::zipkin::{Zipkin, ZipkinFormat, ZipkinSettings};
use crate::graph::Registry;
use crate::net::Algorithm;

/// The Collector's `timeout` of both.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn register(registry: &mut Registry) {
    registry.add_exporter("jaeger", |reader| Arc::new(jaeger(reader)));
    registry.add_exporter("zipkin", |reader| Arc::new(zipkin(reader)));
}

struct JaegerPlan {
    endpoint: String,
    client: ClientPlan,
    sender: SenderPlan,
}

fn jaeger(reader: &mut Reader<'_, '_>) -> JaegerPlan {
    reader.report(|owner, at| {
        let words = "the exporter \"jaeger\" was removed from the Collector in 2023";
        Diagnostic::warning(format!("{owner}: {words}"))
            .at(at, "it works here")
            .help("Jaeger takes OTLP: write `otlp_grpc`, `otlp` of old, with its port 4317")
    });
    let endpoint = endpoint(reader, "endpoint");
    let client = grpc_client(reader, Algorithm::None);
    JaegerPlan { endpoint, client, sender: sender(reader, TIMEOUT) }
}

impl Plan for JaegerPlan {
    fn needs(&self) -> Vec<Need> {
        needs(&self.client, &self.sender)
    }

    fn is_exclusive(&self) -> bool {
        self.sender.is_durable()
    }
}

#[async_trait]
impl ExporterPlan for JaegerPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let client = self.client.with_auth(around)?;
        let settings = JaegerSettings { endpoint: self.endpoint.clone(), client };
        let export = Jaeger::new(&settings).map_err(|error| error.to_string())?;
        Senders::start_for(&[Signal::Traces], id, around, &self.sender, Arc::new(export)).await
    }
}

struct ZipkinPlan {
    settings: ZipkinSettings,
    client: ClientPlan,
    sender: SenderPlan,
}

fn zipkin(reader: &mut Reader<'_, '_>) -> ZipkinPlan {
    let defaults = ZipkinSettings::default();
    let endpoint = reader.field("endpoint").required().parsed("a URL", |text| match text {
        "" => Err("exporter config requires a non-empty 'endpoint'".to_owned()),
        _ => check_url(text).map(|()| text.to_owned()),
    });
    let format = reader
        .field("format")
        .choice(&[("json", ZipkinFormat::Json), ("proto", ZipkinFormat::Proto)]);
    let settings = ZipkinSettings {
        endpoint: endpoint.unwrap_or_default(),
        format: format.unwrap_or_default(),
        default_service_name: reader
            .field("default_service_name")
            .string()
            .unwrap_or(defaults.default_service_name),
        ..ZipkinSettings::default()
    };
    let client = http_client(reader, Algorithm::None);
    ZipkinPlan { settings, client, sender: sender(reader, TIMEOUT) }
}

impl Plan for ZipkinPlan {
    fn needs(&self) -> Vec<Need> {
        needs(&self.client, &self.sender)
    }

    fn is_exclusive(&self) -> bool {
        self.sender.is_durable()
    }
}

#[async_trait]
impl ExporterPlan for ZipkinPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String> {
        let client = self.client.with_auth(around)?;
        let settings = ZipkinSettings { client, ..self.settings.clone() };
        let export = Zipkin::new(&settings).map_err(|error| error.to_string())?;
        Senders::start_for(&[Signal::Traces], id, around, &self.sender, Arc::new(export)).await
    }
}
