//! What listens where, under the names that the API's status and the banner give it.

use api::Listener;
use config::{Document, Id, Node, Section};
use pipeline::graph::Graph;
use pipeline::receivers::Address;

use super::DATA_DIR_DEFAULT;

/// The titles of ports that have a name of their own, in the order in which they are told, and
/// what stands around the address.
const TITLES: [(&str, &str, &str, &str); 10] = [
    ("ui", "web UI and API", "http://", ""),
    ("otlp_grpc", "OTLP/gRPC", "", ""),
    ("otlp_http", "OTLP/HTTP", "http://", "/v1/traces"),
    ("jaeger_grpc", "Jaeger gRPC", "", ""),
    ("zipkin", "Zipkin API", "http://", "/api/v2"),
    ("tempo", "Tempo API", "http://", ""),
    ("health", "health", "http://", "/status"),
    ("extension pprof", "pprof", "http://", "/debug/pprof/"),
    ("extension zpages", "zpages", "http://", "/debug/pipelinez"),
    ("metrics", "own metrics", "http://", "/metrics"),
];

/// All that listens, in the order in which it is told.
pub(super) fn listeners(graph: &Graph, telemetry: &[(&'static str, Address)]) -> Vec<Listener> {
    let document = graph.document();
    let mut all: Vec<Listener> = Vec::new();
    let mut add = |name: String, address: &Address| {
        // A second component of a type has its id for a name.
        all.push(Listener { name: name.into(), address: address.to_string() });
    };
    let mut addresses = graph.addresses();
    addresses.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
    let mut named: Vec<String> = Vec::new();
    for (section, id, what, address) in addresses {
        let kind = document.component(section, &id).and_then(|component| component.kind);
        let own = match (section, kind) {
            (Section::Receivers, Some("otlp")) => Some(format!("otlp_{what}")),
            (Section::Extensions, Some("spanfall_query")) => Some(what.to_owned()),
            (Section::Extensions, Some("health_check")) => Some("health".to_owned()),
            _ => None,
        };
        let own = own.filter(|name| !named.contains(name));
        named.extend(own.clone());
        add(own.unwrap_or_else(|| component(section, &id, what)), &address);
    }
    for (_, address) in telemetry {
        add("metrics".to_owned(), address);
    }
    let place = |listener: &Listener| {
        TITLES.iter().position(|(name, ..)| *name == listener.name).unwrap_or(TITLES.len())
    };
    all.sort_by_key(place);
    all
}

/// No title of a port, so that nobody takes the receiver `zipkin` for Zipkin's API.
fn component(section: Section, id: &Id, what: &str) -> String {
    let component = format!("{} {id} {what}", section.one());
    component.trim_end().to_owned()
}

/// What runs and listens where, and how to send the first span.
pub(super) fn banner(document: &Document, listeners: &[Listener]) -> String {
    let mut text = format!("Spanfall {} is ready", env!("CARGO_PKG_VERSION"));
    let folders = folders(document);
    if !folders.is_empty() {
        text.push_str(&format!("; data in {}", folders.join(", ")));
    }
    text.push_str("\n\n");
    let width = listeners.iter().map(|own| title(own).0.chars().count()).max().unwrap_or_default();
    for listener in listeners {
        let (title, before, after) = title(listener);
        let address = reachable(&listener.address);
        let (before, after) = match before {
            // A socket in the file system has no URL.
            _ if is_socket(listener) => ("", ""),
            "http://" => (scheme(document, &listener.name), after),
            _ => (before, after),
        };
        text.push_str(&format!("  {title:width$}  {before}{address}{after}\n"));
    }
    let address = |name: &str| listeners.iter().find(|own| own.name == name && !is_socket(own));
    let Some(http) = address("otlp_http") else { return text };
    let scheme = scheme(document, &http.name);
    let is_default = scheme == "http://"
        && http.address.ends_with(":4318")
        && address("otlp_grpc").is_none_or(|grpc| grpc.address.ends_with(":4317"));
    let exporter = if is_default {
        "any OpenTelemetry SDK with its default settings".to_owned()
    } else {
        let address = reachable(&http.address);
        format!("OTEL_EXPORTER_OTLP_ENDPOINT={scheme}{address} for an OpenTelemetry SDK")
    };
    let button = if address("ui").is_some() { ", or the button in the web UI" } else { "" };
    text.push_str(&format!(
        "\nSend the first span: {exporter},\n\
         or try `spanfall loadgen --spans 1000`{button}.\n"
    ));
    text
}

fn is_socket(listener: &Listener) -> bool {
    listener.address.starts_with("unix:")
}

/// How a port that speaks HTTP is reached: with TLS where its component has it.
fn scheme(document: &Document, name: &str) -> &'static str {
    let (section, kind, part): (_, _, &[&str]) = match name {
        "ui" => (Section::Extensions, "spanfall_query", &[]),
        "zipkin" => (Section::Extensions, "spanfall_query", &["zipkin"]),
        "tempo" => (Section::Extensions, "spanfall_query", &["tempo"]),
        "otlp_http" => (Section::Receivers, "otlp", &["protocols", "http"]),
        "health" => (Section::Extensions, "health_check", &[]),
        _ => return "http://",
    };
    let components = match section {
        Section::Receivers => &document.receivers,
        _ => &document.extensions,
    };
    let has_tls = |component: &config::Component| {
        let own = component.node.as_map();
        let map = part.iter().try_fold(own?, |map, key| map.get(key)?.as_map());
        map?.get("tls")?.as_map().map(drop)
    };
    // The first of a kind has the name.
    let own = components.iter().find(|component| component.kind == Some(kind));
    own.and_then(has_tls).map_or("http://", |_| "https://")
}

fn title(listener: &Listener) -> (&str, &'static str, &'static str) {
    let own = TITLES.iter().find(|(name, ..)| *name == listener.name);
    own.map_or((&*listener.name, "", ""), |(_, title, before, after)| (*title, *before, *after))
}

/// An address to connect to, where all are listened on.
fn reachable(address: &str) -> String {
    address.replacen("0.0.0.0:", "localhost:", 1).replacen("[::]:", "localhost:", 1)
}

/// The data folders of stores that pipelines write to.
fn folders(document: &Document) -> Vec<String> {
    let used = |id: &Id| {
        let pipelines = &document.service.pipelines;
        pipelines.iter().any(|own| own.exporters.iter().any(|exporter| exporter.id == *id))
    };
    let stores = document.exporters.iter().filter(|own| own.kind == Some("spanfall"));
    let folder = |exporter: &config::Component| {
        let node = exporter.node.as_map().and_then(|map| map.get("data_dir"));
        node.and_then(Node::as_text).unwrap_or(DATA_DIR_DEFAULT).to_owned()
    };
    stores.filter(|exporter| used(&exporter.id)).map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_every_port() {
        let listener = |name: &'static str, address: &str| Listener {
            name: name.into(),
            address: address.to_owned(),
        };
        let default = [listener("ui", "0.0.0.0:16686"), listener("otlp_http", "127.0.0.1:4318")];
        let text = banner(&Document::default(), &default);
        assert!(text.contains("  web UI and API  http://localhost:16686\n"), "{text}");
        assert!(text.contains("any OpenTelemetry SDK with its default settings"), "{text}");
        let other = [
            listener("otlp_http", "127.0.0.1:9"),
            listener("receiver jaeger thrift_http", "[::]:7"),
        ];
        let text = banner(&Document::default(), &other);
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9 "), "{text}");
        assert!(text.contains("  receiver jaeger thrift_http  localhost:7\n"), "{text}");
        assert!(!text.contains("the button"), "{text}");
        let socket = [listener("otlp_http", "unix:/run/otlp.sock")];
        let text = banner(&Document::default(), &socket);
        assert!(text.contains("  OTLP/HTTP  unix:/run/otlp.sock\n"), "{text}");
        assert!(!text.contains("first span"), "{text}");
        let text = banner(&Document::default(), &[listener("health", "127.0.0.1:13133")]);
        assert!(!text.contains("first span"), "{text}");
    }

    #[test]
    fn the_banner_says_what_works() {
        let listener = |name: &'static str, address: &str| Listener {
            name: name.into(),
            address: address.to_owned(),
        };
        let listeners = [
            listener("ui", "127.0.0.1:16686"),
            listener("otlp_http", "127.0.0.1:4318"),
            listener("health", "127.0.0.1:13133"),
            listener("extension pprof", "127.0.0.1:1777"),
        ];
        let plain = "
receivers: {otlp: {protocols: {http: }}}
extensions: {spanfall_query: , health_check: }
";
        let tls = "
receivers: {otlp: {protocols: {http: {tls: {cert_file: a, key_file: b}}}}}
extensions: {spanfall_query: {tls: {cert_file: a, key_file: b}}, health_check: {tls: {cert_file: a}}}
";
        for (settings, parts) in [
            (
                plain,
                [
                    "http://127.0.0.1:16686\n",
                    "http://127.0.0.1:4318/v1/traces\n",
                    "http://127.0.0.1:13133/status\n",
                    "with its default settings",
                    "http://127.0.0.1:1777/debug/pprof/\n",
                ],
            ),
            (
                tls,
                [
                    "https://127.0.0.1:16686\n",
                    "https://127.0.0.1:4318/v1/traces\n",
                    "https://127.0.0.1:13133/status\n",
                    "OTEL_EXPORTER_OTLP_ENDPOINT=https://127.0.0.1:4318 ",
                    "http://127.0.0.1:1777/debug/pprof/\n",
                ],
            ),
        ] {
            let configs = [format!("yaml:{settings}")];
            let request = config::Request { configs: &configs, sets: &[] };
            let (document, _) =
                config::load(request, &config::System, &pipeline::components::known());
            let text = banner(&document, &listeners);
            for part in parts {
                assert!(text.contains(part), "{part:?} is not in: {text}");
            }
        }
    }
}
