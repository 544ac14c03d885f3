//! Copies the built web UI to where the crate embeds it. Without one, as after a bare `cargo
//! build`, a page that says so takes its place. Makes the gRPC services of `proto/`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost::Message;

const MISSING: &str = "<!doctype html><meta charset=utf-8><title>Spanfall</title>\
<p>This Spanfall was built without its web UI. Build it with <code>make build</code>.\
<p>The HTTP API is under <code>/api/v1</code>.\n";

/// Messages that other code owns, by the name of the wire.
const EXTERN: [(&str, &str); 11] = [
    (".jaeger.api_v2.ValueType", "::formats::jaeger::proto::ValueType"),
    (".jaeger.api_v2.KeyValue", "::formats::jaeger::proto::KeyValue"),
    (".jaeger.api_v2.Log", "::formats::jaeger::proto::Log"),
    (".jaeger.api_v2.SpanRefType", "::formats::jaeger::proto::SpanRefType"),
    (".jaeger.api_v2.SpanRef", "::formats::jaeger::proto::SpanRef"),
    (".jaeger.api_v2.Process", "::formats::jaeger::proto::Process"),
    (".jaeger.api_v2.Span", "::formats::jaeger::proto::Span"),
    (".jaeger.api_v2.Trace", "::formats::jaeger::proto::Trace"),
    (".jaeger.api_v2.Batch", "::formats::jaeger::proto::Batch"),
    (".jaeger.api_v2.DependencyLink", "::formats::jaeger::proto::DependencyLink"),
    (".opentelemetry.proto.trace.v1.TracesData", "crate::jaeger::grpc::TracesData"),
];

/// How fields of Tempo's answers are JSON where it is not as serde has it.
const TEMPO_JSON: [(&str, &str); 33] = [
    ("AnyValue.value.int_value", WHOLE_TEXT),
    ("AnyValue.value.double_value", "serialize_with = \"crate::tempo::json::double\""),
    ("Exemplar.timestamp_ms", WHOLE_TEXT),
    ("Exemplar.value", "serialize_with = \"crate::tempo::json::double\""),
    ("InstantSeries.value", "serialize_with = \"crate::tempo::json::double\""),
    ("MetadataMetrics.completedJobs", NO_ZERO),
    ("MetadataMetrics.inspectedBytes", NO_ZERO_TEXT),
    ("MetadataMetrics.totalBlockBytes", NO_ZERO_TEXT),
    ("MetadataMetrics.totalBlocks", NO_ZERO),
    ("MetadataMetrics.totalJobs", NO_ZERO),
    ("QueryInstantResponse.message", NO_TEXT),
    ("QueryInstantResponse.status", STATUS),
    ("QueryRangeResponse.message", NO_TEXT),
    ("QueryRangeResponse.status", STATUS),
    ("Sample.timestamp_ms", WHOLE_TEXT),
    ("Sample.value", "serialize_with = \"crate::tempo::json::double\""),
    ("SearchMetrics.completedJobs", NO_ZERO),
    ("SearchMetrics.inspectedBytes", NO_ZERO_TEXT),
    ("SearchMetrics.inspectedSpans", NO_ZERO_TEXT),
    ("SearchMetrics.inspectedTraces", NO_ZERO),
    ("SearchMetrics.totalBlockBytes", NO_ZERO_TEXT),
    ("SearchMetrics.totalBlocks", NO_ZERO),
    ("SearchMetrics.totalJobs", NO_ZERO),
    ("ServiceStats.errorCount", NO_ZERO),
    ("Span.attributes", NO_ITEMS),
    ("Span.durationNanos", WHOLE_TEXT),
    ("Span.spanID", "rename = \"spanID\""),
    ("Span.startTimeUnixNano", WHOLE_TEXT),
    ("SpanSet.attributes", NO_ITEMS),
    ("TimeSeries.exemplars", NO_ITEMS),
    ("TraceSearchMetadata.durationMs", NO_ZERO),
    ("TraceSearchMetadata.startTimeUnixNano", WHOLE_TEXT),
    ("TraceSearchMetadata.traceID", "rename = \"traceID\""),
];

/// 64 bits are text.
const WHOLE_TEXT: &str = "serialize_with = \"crate::tempo::json::text\"";
const NO_ZERO: &str = "skip_serializing_if = \"crate::tempo::json::is_default\"";
const NO_ZERO_TEXT: &str = "serialize_with = \"crate::tempo::json::text\", \
     skip_serializing_if = \"crate::tempo::json::is_default\"";
const NO_TEXT: &str = "skip_serializing_if = \"String::is_empty\"";
const NO_ITEMS: &str = "skip_serializing_if = \"Vec::is_empty\"";
const STATUS: &str = "serialize_with = \"crate::tempo::json::status\", \
     skip_serializing_if = \"crate::tempo::json::is_default\"";

fn main() -> Result<(), Box<dyn Error>> {
    embed_ui()?;
    let (own, shared) = ("proto", "../formats/proto");
    println!("cargo::rerun-if-changed={own}");
    println!("cargo::rerun-if-changed={shared}");
    let services = ["query.proto", "api_v3/query_service.proto", "api_v3/capabilities.proto"];
    let files = protox::compile(services, [own, shared])?;
    // What the server tells clients that ask for its services.
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(target.join("services.bin"), files.encode_to_vec())?;
    let mut builder = tonic_prost_build::configure().build_client(false);
    for (name, path) in EXTERN {
        builder = builder.extern_path(name, path);
    }
    builder.compile_fds(files)?;
    tempo(&target)
}

/// Tempo's messages, which are JSON, too: serde writes it as protobuf's JSON mapping has it, without
/// fields that say nothing.
fn tempo(target: &Path) -> Result<(), Box<dyn Error>> {
    let files = protox::compile(["tempopb/tempo.proto"], ["proto"])?;
    fs::write(target.join("tempo.bin"), files.encode_to_vec())?;
    let json = "#[derive(serde::Serialize)] #[serde(rename_all = \"camelCase\")]";
    let mut builder = tonic_prost_build::configure()
        .build_client(false)
        .btree_map(".tempopb")
        .message_attribute(".tempopb", json)
        .enum_attribute(".tempopb.common", json)
        .field_attribute("AnyValue.value", "#[serde(flatten)]");
    for (field, attribute) in TEMPO_JSON {
        builder = builder.field_attribute(field, format!("#[serde({attribute})]"));
    }
    builder.compile_fds(files)?;
    Ok(())
}

fn embed_ui() -> io::Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/dist");
    // The folder's own time changes with every build of the UI; a missing one is looked for anew.
    println!("cargo::rerun-if-changed={}", built.display());
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("ui");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    if built.join("index.html").exists() {
        copy(&built, &target)
    } else {
        fs::create_dir_all(&target)?;
        fs::write(target.join("index.html"), MISSING)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
