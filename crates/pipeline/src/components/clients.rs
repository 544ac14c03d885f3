//! What the settings of all clients have in common: TLS, headers, compression, authentication,
//! and the queue and retries in front of them.

use std::path::PathBuf;
use std::time::Duration;

use config::{Id, Reader};
use http::uri::Authority;

use crate::component::{Need, Role, Surroundings};
use crate::exporters::otlp::check_address;
use crate::exporters::{BatchSettings, QueueSettings, RetrySettings, SenderSettings, Sizer};
use crate::net::{
    Algorithm, ClientSettings, Compression, Headers, KeepaliveSettings, Pem, TlsClientSettings,
    TlsError, TlsVersion,
};

/// A client's settings, and the extension that says who it is.
#[derive(Clone, Default)]
pub(super) struct ClientPlan {
    pub(super) settings: ClientSettings,
    pub(super) auth: Option<Id>,
}

impl ClientPlan {
    /// With the extension's word.
    pub(super) fn with_auth(&self, around: &Surroundings) -> Result<ClientSettings, String> {
        let mut settings = self.settings.clone();
        if let Some(id) = &self.auth {
            let extension = around.extensions.get(id);
            let extension = extension
                .ok_or_else(|| format!("the extension {id} is not among service::extensions"))?;
            let auth = extension.client_auth();
            settings.auth =
                Some(auth.ok_or_else(|| format!("the extension {id} is no authenticator"))?);
        }
        Ok(settings)
    }
}

/// An extension's id below a key.
pub(super) fn id(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<Id> {
    reader.field(key).parsed("the id of an extension", Id::parse)
}

/// The keys of an HTTP client, but endpoints.
pub(super) fn http_client(reader: &mut Reader<'_, '_>, default: Algorithm) -> ClientPlan {
    let all = ["gzip", "zstd", "snappy", "x-snappy-framed", "lz4", "zlib", "deflate", "none"];
    client(reader, &all, default)
}

/// The keys of a gRPC client, but `endpoint`.
pub(super) fn grpc_client(reader: &mut Reader<'_, '_>, default: Algorithm) -> ClientPlan {
    let all = ["gzip", "zstd", "snappy", "zlib", "deflate", "none"];
    let mut plan = client(reader, &all, default);
    let authority = reader.field("authority").parsed("host or host:port", |text| {
        if text.is_empty() {
            return Ok(None);
        }
        let authority = text.parse::<Authority>().ok().filter(|_| !text.contains('@'));
        authority.map(Some).ok_or_else(|| format!("{text:?} is no host, nor host:port"))
    });
    plan.settings.authority = authority.flatten();
    plan
}

/// The keys that HTTP and gRPC clients share.
fn client(reader: &mut Reader<'_, '_>, compressions: &[&str], default: Algorithm) -> ClientPlan {
    let defaults = ClientSettings::default();
    let algorithm = reader.field("compression").parsed("a compression", |name| {
        let known = name.is_empty() || compressions.contains(&name);
        known.then(|| Algorithm::from_name(name)).flatten().ok_or_else(|| {
            let all = compressions.join(", ");
            format!("unsupported compression type {name:?}: there are {all}")
        })
    });
    let level =
        reader.field("compression_params").section(|reader| reader.field("level").int(-1..=22));
    let mut headers = Headers::default();
    for (name, value) in reader.field("headers").headers().unwrap_or_default() {
        if let Err(error) = headers.add(&name, value.expose()) {
            reader.fault("headers", &error.to_string());
        }
    }
    let keepalive = reader.field("keepalive").section(|reader| KeepaliveSettings {
        time: reader.field("time").duration().unwrap_or(defaults.keepalive.time),
        // Zero is the default to gRPC.
        timeout: reader
            .field("timeout")
            .duration()
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(defaults.keepalive.timeout),
        permit_without_stream: reader.field("permit_without_stream").bool().unwrap_or_default(),
    });
    let auth = reader.field("auth").section(|reader| id(reader, "authenticator"));
    let mut tls = tls(reader);
    old_tls(reader, &mut tls);
    // Keys of Go's own transports, whose work is done otherwise here.
    for key in ["write_buffer_size", "read_buffer_size", "max_conns_per_host", "max_idle_conns"] {
        reader.field(key).int::<i64>(0..=i64::MAX);
    }
    for key in ["wait_for_ready", "disable_keep_alives", "force_attempt_http2"] {
        reader.field(key).bool();
    }
    for key in ["balancer_name", "middlewares", "http2_ping_timeout"] {
        reader.field(key).node();
    }
    reader.field("http2_read_idle_timeout").duration();
    let idle = reader.field("idle_conn_timeout").duration();
    let most = reader.field("max_idle_conns_per_host").int(0..=100_000usize);
    if reader.field("proxy_url").string().is_some_and(|url| !url.is_empty()) {
        reader.fault("proxy_url", "Spanfall connects without proxies");
    }
    ClientPlan {
        settings: ClientSettings {
            tls,
            headers,
            compression: Compression {
                algorithm: algorithm.unwrap_or(default),
                level: level.flatten(),
            },
            idle_timeout: idle.unwrap_or(defaults.idle_timeout),
            // As is zero to Go.
            idle_connections_max: most
                .filter(|most| *most > 0)
                .unwrap_or(defaults.idle_connections_max),
            keepalive: keepalive.unwrap_or(defaults.keepalive),
            ..defaults
        },
        auth: auth.flatten(),
    }
}

/// The keys of TLS as they were before v0.37, when there was no `tls` above them.
fn old_tls(reader: &mut Reader<'_, '_>, tls: &mut TlsClientSettings) {
    let instead = "it belongs below `tls` today";
    tls.insecure |= reader.field("insecure").deprecated(instead).bool().unwrap_or_default();
    type Check = fn(&Pem) -> Result<(), TlsError>;
    let keys: [(_, _, Check); 3] = [
        ("ca_file", &mut tls.ca, Pem::check_authorities),
        ("cert_file", &mut tls.cert, Pem::check_certificates),
        ("key_file", &mut tls.key, Pem::check_key),
    ];
    for (key, place, check) in keys {
        let path = reader.field(key).deprecated(instead).string();
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            let pem = Pem::File(PathBuf::from(path));
            check_pem(reader, key, &pem, check);
            place.get_or_insert(pem);
        }
    }
}

/// A certificate or key, by its file or as text, which is looked at.
pub(super) fn pem(
    reader: &mut Reader<'_, '_>,
    file: &'static str,
    text: &'static str,
    check: impl FnOnce(&Pem) -> Result<(), TlsError>,
) -> Option<Pem> {
    let path = reader.field(file).string().filter(|path| !path.is_empty());
    let inline = reader.field(text).secret();
    let (key, pem) = match (path, inline) {
        (Some(_), Some(_)) => {
            reader.fault(text, &format!("only one of {file} and {text} may be specified"));
            return None;
        }
        (Some(path), None) => (file, Pem::File(PathBuf::from(path))),
        (None, Some(inline)) => (text, Pem::Text(inline.expose().to_owned())),
        (None, None) => return None,
    };
    check_pem(reader, key, &pem, check);
    Some(pem)
}

/// Says at its key what is wrong with a certificate or key, if the component is used: the files of
/// others may come later.
pub(crate) fn check_pem(
    reader: &mut Reader<'_, '_>,
    key: &str,
    pem: &Pem,
    check: impl FnOnce(&Pem) -> Result<(), TlsError>,
) {
    if !reader.is_used() {
        return;
    }
    if let Err(error) = check(pem) {
        let message = match error {
            TlsError::Read { reason, .. } => format!("cannot be read: {reason}"),
            TlsError::Pem { reason, .. } => format!("is no PEM of the kind needed: {reason}"),
            other => other.to_string(),
        };
        reader.fault(key, &message);
    }
}

/// Certificate and key of one's own.
pub(super) fn own_certificate(reader: &mut Reader<'_, '_>) -> (Option<Pem>, Option<Pem>) {
    let cert = pem(reader, "cert_file", "cert_pem", Pem::check_certificates);
    let name = if reader.has("key_file") { "key_file" } else { "key_pem" };
    let key = pem(reader, "key_file", "key_pem", Pem::check_key);
    if let (Some(cert), Some(key)) = (&cert, &key)
        && reader.is_used()
        // What is wrong with one of them alone is said already.
        && let Ok(false) = key.is_key_of(cert)
    {
        reader.fault(name, "is not the key of the certificate");
    }
    (cert, key)
}

/// The versions of TLS.
pub(super) fn versions(reader: &mut Reader<'_, '_>) -> (TlsVersion, Option<TlsVersion>) {
    let mut version = |key: &'static str| {
        reader.field(key).parsed("a version of TLS", |text| {
            TlsVersion::from_name(text)
                .ok_or_else(|| format!("unsupported TLS version {text:?}: there are 1.2 and 1.3"))
        })
    };
    let (least, most) = (version("min_version").unwrap_or_default(), version("max_version"));
    if most.is_some_and(|most| most < least) {
        reader.fault("max_version", "is below min_version");
    }
    (least, most)
}

/// `tls` of a client.
pub(crate) fn tls(reader: &mut Reader<'_, '_>) -> TlsClientSettings {
    let read = |reader: &mut Reader<'_, '_>| {
        let (min_version, max_version) = versions(reader);
        let (cert, key) = own_certificate(reader);
        if cert.is_some() != key.is_some() {
            let missing = if cert.is_none() { "cert_file" } else { "key_file" };
            reader.fault(missing, "must be specified: a certificate and its key belong together");
        }
        reader.field("cipher_suites").strings();
        reader.field("curve_preferences").strings();
        TlsClientSettings {
            insecure: reader.field("insecure").bool().unwrap_or_default(),
            insecure_skip_verify: reader.field("insecure_skip_verify").bool().unwrap_or_default(),
            ca: pem(reader, "ca_file", "ca_pem", Pem::check_authorities),
            include_system_ca: reader
                .field("include_system_ca_certs_pool")
                .bool()
                .unwrap_or_default(),
            cert,
            key,
            server_name_override: reader.field("server_name_override").string(),
            min_version,
            max_version,
            reload_interval: reader.field("reload_interval").duration().unwrap_or_default(),
        }
    };
    reader.field("tls").unless_null().section(read).unwrap_or_default()
}

/// Queue, retries and timeout, and the extension that keeps the queue.
#[derive(Clone)]
pub(super) struct SenderPlan {
    settings: SenderSettings,
    storage: Option<Id>,
}

impl SenderPlan {
    /// The extensions that it needs.
    pub(super) fn needs(&self) -> Vec<Need> {
        Need::of(self.storage.as_ref(), Role::Storage).into_iter().collect()
    }

    /// Makes who sends wait for an exporter that does not take long.
    pub(super) fn at_once() -> Self {
        let queue = QueueSettings { enabled: false, ..QueueSettings::default() };
        let retry = RetrySettings { enabled: false, ..RetrySettings::default() };
        let settings = SenderSettings { queue, retry, ..SenderSettings::default() };
        Self { settings, storage: None }
    }

    /// With what the other alone has in its settings.
    pub(super) fn or(mut self, own: SenderKeys, other: &Self, others: SenderKeys) -> Self {
        if others.timeout && !own.timeout {
            self.settings.timeout = other.settings.timeout;
        }
        if others.retry && !own.retry {
            self.settings.retry = other.settings.retry;
        }
        if others.queue && !own.queue {
            self.settings.queue.clone_from(&other.settings.queue);
            self.storage.clone_from(&other.storage);
        }
        self
    }

    /// Whether its queue is on a disk.
    pub(super) fn is_durable(&self) -> bool {
        self.storage.is_some() && self.settings.queue.enabled
    }

    /// With a folder of the storage for a component.
    pub(super) fn with_storage(
        &self,
        around: &Surroundings,
        component: &str,
    ) -> Result<SenderSettings, String> {
        let mut settings = self.settings.clone();
        settings.own_traces = around.telemetry.own_traces().clone();
        if let Some(id) = &self.storage {
            let extension = around.extensions.get(id);
            let extension = extension
                .ok_or_else(|| format!("the extension {id} is not among service::extensions"))?;
            let storage = extension.storage(component);
            let storage = storage.ok_or_else(|| format!("the extension {id} is no storage"))?;
            settings.queue.storage = Some(storage);
        }
        Ok(settings)
    }
}

/// Which keys of a sender are there.
#[derive(Clone, Copy, Default)]
pub(super) struct SenderKeys {
    timeout: bool,
    retry: bool,
    queue: bool,
}

impl SenderKeys {
    pub(super) fn of(reader: &Reader<'_, '_>) -> Self {
        Self {
            timeout: reader.has("timeout"),
            retry: reader.has("retry_on_failure"),
            queue: reader.has("sending_queue") || reader.has("batcher"),
        }
    }
}

const SIZERS: [(&str, Sizer); 3] =
    [("requests", Sizer::Requests), ("items", Sizer::Items), ("bytes", Sizer::Bytes)];

/// `timeout`, `retry_on_failure` and `sending_queue`.
pub(super) fn sender(reader: &mut Reader<'_, '_>, timeout: Duration) -> SenderPlan {
    let timeout = reader.field("timeout").duration().unwrap_or(timeout);
    let retry = RetrySettings::default();
    let retry = reader.field("retry_on_failure").section(|reader| RetrySettings {
        enabled: reader.field("enabled").bool().unwrap_or(retry.enabled),
        initial_interval: reader
            .field("initial_interval")
            .duration()
            .unwrap_or(retry.initial_interval),
        randomization_factor: reader
            .field("randomization_factor")
            .float(0.0..=1.0)
            .unwrap_or(retry.randomization_factor),
        multiplier: reader.field("multiplier").float(0.0..=1e6).unwrap_or(retry.multiplier),
        max_interval: reader.field("max_interval").duration().unwrap_or(retry.max_interval),
        max_elapsed_time: reader.field("max_elapsed_time").duration(),
    });
    let mut storage = None;
    let mut batches_already = false;
    let queue = reader.field("sending_queue").section(|reader| {
        let defaults = QueueSettings::default();
        storage = id(reader, "storage");
        batches_already = reader.has("batch");
        let sizer = reader.field("sizer").choice(&SIZERS);
        // A batch that has settings, and no unit among them, takes the queue's.
        let has_value = reader.field("batch").node().is_some();
        let of_queue = sizer.filter(|sizer| has_value && *sizer != Sizer::Requests);
        QueueSettings {
            enabled: reader.field("enabled").bool().unwrap_or(defaults.enabled),
            num_consumers: reader
                .field("num_consumers")
                .int(1..=10_000usize)
                .unwrap_or(defaults.num_consumers),
            queue_size: reader
                .field("queue_size")
                .int(1..=u64::MAX / 2)
                .unwrap_or(defaults.queue_size),
            sizer: sizer.unwrap_or(defaults.sizer),
            wait_for_result: reader.field("wait_for_result").bool().unwrap_or_default(),
            block_on_overflow: reader
                .field("block_on_overflow")
                .renamed_from("blocking")
                .bool()
                .unwrap_or_default(),
            batch: reader.field("batch").section(|reader| {
                let defaults = BatchSettings::default();
                reader.field("partition").node();
                let batch = BatchSettings {
                    flush_timeout: reader
                        .field("flush_timeout")
                        .duration()
                        .unwrap_or(defaults.flush_timeout),
                    min_size: reader
                        .field("min_size")
                        .int(0..=u64::MAX / 2)
                        .unwrap_or(defaults.min_size),
                    max_size: reader
                        .field("max_size")
                        .int(0..=u64::MAX / 2)
                        .unwrap_or(defaults.max_size),
                    sizer: reader
                        .field("sizer")
                        .choice(&SIZERS[1..])
                        .or(of_queue)
                        .unwrap_or(defaults.sizer),
                };
                if batch.max_size > 0 && batch.max_size < batch.min_size {
                    reader.fault("max_size", "must be greater or equal to min_size");
                }
                batch
            }),
            ..defaults
        }
    });
    let mut queue = queue.unwrap_or_default();
    if let Some(batch) = batcher(reader) {
        let why_not = match (batches_already, queue.enabled) {
            (true, _) => "is the old form of `sending_queue.batch`, which is here, too: keep that",
            (_, false) => "needs `sending_queue`, which is off: requests are joined in it",
            _ => "",
        };
        if why_not.is_empty() {
            queue.batch = Some(batch);
        } else {
            reader.fault("batcher", why_not);
        }
    }
    SenderPlan {
        settings: SenderSettings {
            timeout,
            retry: retry.unwrap_or_default(),
            queue,
            ..SenderSettings::default()
        },
        storage,
    }
}

/// `sending_queue.batch` as it was before v0.130; nothing if it is off, as it is by itself.
fn batcher(reader: &mut Reader<'_, '_>) -> Option<BatchSettings> {
    let defaults = BatchSettings::default();
    let instead = "write `sending_queue.batch`, with `min_size`, `max_size` and `flush_timeout`";
    let batch = reader.field("batcher").deprecated(instead).section(|reader| {
        let is_on = reader.field("enabled").bool().unwrap_or_default();
        // All names that its keys ever had; one form after the other.
        let timeout = reader.field("timeout").duration();
        let mut size = |key: &'static str| reader.field(key).int(0..=u64::MAX / 2);
        let (old_min, old_max) = (size("min_size_items"), size("max_size_items"));
        let (min_size, max_size) = (size("min_size").or(old_min), size("max_size").or(old_max));
        let batch = BatchSettings {
            flush_timeout: reader
                .field("flush_timeout")
                .duration()
                .or(timeout)
                .unwrap_or(defaults.flush_timeout),
            min_size: min_size.unwrap_or(defaults.min_size),
            max_size: max_size.unwrap_or(defaults.max_size),
            sizer: reader.field("sizer").choice(&SIZERS[1..]).unwrap_or(defaults.sizer),
        };
        if batch.max_size > 0 && batch.max_size < batch.min_size {
            reader.fault("max_size", "must be greater or equal to min_size");
        }
        is_on.then_some(batch)
    });
    batch.flatten()
}

/// A server of gRPC: an address with a port, or a URL.
pub(super) fn endpoint(reader: &mut Reader<'_, '_>, key: &'static str) -> String {
    let endpoint = reader.field(key).required().parsed("host:port", |text| {
        if text.trim().is_empty() {
            return Err("requires a non-empty \"endpoint\"".to_owned());
        }
        check_address(text).map(|()| text.to_owned())
    });
    endpoint.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use config::{Diagnostics, Document, System};

    use super::*;

    fn document(settings: &str) -> (Document, Diagnostics) {
        let text = format!("exporters: {{otlp_grpc: {{{settings}}}}}");
        let configs = [format!("yaml:{text}")];
        let request = config::Request { configs: &configs, sets: &[] };
        config::load(request, &System, &super::super::known())
    }

    fn plan(settings: &str) -> (SenderPlan, SenderKeys) {
        let (document, mut diagnostics) = document(settings);
        let mut reader = Reader::of(&document.exporters[0], &mut diagnostics);
        let keys = SenderKeys::of(&reader);
        (sender(&mut reader, Duration::from_secs(5)), keys)
    }

    #[test]
    fn a_sender_takes_from_another_what_it_lacks() {
        let (own, own_keys) = plan("timeout: 1s");
        let (top, top_keys) = plan(
            "timeout: 9s, sending_queue: {queue_size: 7, storage: file_storage}, \
             retry_on_failure: {enabled: false}",
        );
        let both = own.clone().or(own_keys, &top, top_keys);
        assert_eq!(both.settings.timeout, Duration::from_secs(1));
        assert_eq!((both.settings.queue.queue_size, both.settings.retry.enabled), (7, false));
        assert!(both.is_durable());
        let (nothing, no_keys) = plan("");
        let same = own.clone().or(own_keys, &nothing, no_keys);
        assert_eq!(same.settings, own.settings);
    }

    #[test]
    fn keys_of_old_do_what_they_did() {
        let batch = BatchSettings { min_size: 5, max_size: 9, ..BatchSettings::default() };
        for (settings, expected) in [
            ("", None),
            ("batcher: {min_size: 5}", None),
            ("batcher: {enabled: false, min_size: 5}", None),
            ("batcher: {enabled: true}", Some(BatchSettings::default())),
            ("batcher: {enabled: true, min_size_items: 5, max_size_items: 9}", Some(batch.clone())),
            (
                "batcher: {enabled: true, min_size_items: 7, min_size: 5, max_size: 9, timeout: 2s}",
                Some(BatchSettings { flush_timeout: Duration::from_secs(2), ..batch }),
            ),
        ] {
            let (own, keys) = plan(settings);
            assert_eq!(own.settings.queue.batch, expected, "{settings}");
            assert_eq!(keys.queue, !settings.is_empty(), "{settings}");
        }
        for (settings, blocks) in [("{}", false), ("{blocking: true}", true)] {
            let (own, _) = plan(&format!("sending_queue: {settings}"));
            assert_eq!(own.settings.queue.block_on_overflow, blocks, "{settings}");
        }
    }

    #[test]
    fn a_batch_is_measured_as_its_queue_is() {
        for (settings, expected) in [
            ("{batch: {min_size: 1}}", Some(Sizer::Items)),
            ("{sizer: requests, batch: {min_size: 1}}", Some(Sizer::Items)),
            ("{sizer: bytes, batch: {min_size: 1}}", Some(Sizer::Bytes)),
            ("{sizer: bytes, batch: {}}", Some(Sizer::Bytes)),
            ("{sizer: bytes, batch: {sizer: items}}", Some(Sizer::Items)),
            ("{sizer: bytes, batch: }", Some(Sizer::Items)),
            ("{sizer: bytes}", None),
        ] {
            let (own, _) = plan(&format!("sending_queue: {settings}"));
            assert_eq!(own.settings.queue.batch.map(|batch| batch.sizer), expected, "{settings}");
        }
    }

    #[test]
    fn keys_of_tls_are_read_where_they_were() {
        for (settings, insecure) in [
            ("", false),
            ("insecure: false", false),
            ("insecure: true", true),
            ("insecure: false, tls: {insecure: true}", true),
        ] {
            let (document, _) = document(settings);
            let mut diagnostics = Diagnostics::default();
            let mut reader = Reader::of(&document.exporters[0], &mut diagnostics);
            let plan = http_client(&mut reader, Algorithm::Gzip).settings;
            reader.finish();
            assert_eq!(plan.tls.insecure, insecure, "{settings}");
            assert!(!diagnostics.has_errors(), "{settings}");
        }
    }

    #[test]
    fn zeros_mean_what_they_mean_to_go() {
        let settings = "max_idle_conns_per_host: 0, keepalive: {timeout: 0s}";
        let (document, mut diagnostics) = document(settings);
        let mut reader = Reader::of(&document.exporters[0], &mut diagnostics);
        let plan = grpc_client(&mut reader, Algorithm::Gzip).settings;
        let defaults = ClientSettings::default();
        assert_eq!(plan.idle_connections_max, defaults.idle_connections_max);
        assert_eq!(plan.keepalive.timeout, defaults.keepalive.timeout);
    }
}
