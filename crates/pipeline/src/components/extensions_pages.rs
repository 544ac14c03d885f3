//! The extensions `zpages` and `pprof`.

use std::sync::Arc;

use async_trait::async_trait;
use config::{Id, Reader};

use super::servers::{ServerPlan, auth, cors, endpoint, http_timeouts, tls};
use crate::component::{Extension, ExtensionPlan, Need, Plan, Surroundings};
use crate::extensions::{Pprof, Zpages};
use crate::graph::Registry;
use crate::receivers::{Listener, ServerSettings};

pub(super) fn register(registry: &mut Registry) {
    registry.add_extension("zpages", |reader| Arc::new(zpages(reader)));
    registry.add_extension("pprof", |reader| Arc::new(pprof(reader)));
}

struct ZpagesPlan(ServerPlan);

fn zpages(reader: &mut Reader<'_, '_>) -> ZpagesPlan {
    let endpoint = endpoint(reader, "localhost:55679");
    let mut settings = ServerSettings::default();
    http_timeouts(reader, &mut settings);
    // Pages of their own, with nothing to compress and no body to read.
    cors(reader);
    for key in ["response_headers", "compression_algorithms", "max_request_body_size"] {
        reader.field(key).node();
    }
    reader.field("include_metadata").bool();
    let runtime = reader.field("expvar").section(|reader| reader.field("enabled").bool());
    if runtime.flatten() == Some(true) {
        reader.field("expvar").without_effect("shows the Go runtime, which is not here").node();
    }
    ZpagesPlan(ServerPlan { endpoint, settings, tls: tls(reader), auth: auth(reader) })
}

fn warn_if_open(id: &Id, plan: &ServerPlan, listener: &Listener, what: &str) {
    if let Ok(address) = listener.local_addr()
        && plan.is_open(&address)
    {
        tracing::warn!(
            extension = %id,
            %address,
            "anyone who reaches this address can {what}; set auth or tls.client_ca_file, or an \
             endpoint on localhost"
        );
    }
}

impl Plan for ZpagesPlan {
    fn needs(&self) -> Vec<Need> {
        self.0.needs()
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn ports(&self) -> Vec<u16> {
        self.0.port().into_iter().collect()
    }
}

#[async_trait]
impl ExtensionPlan for ZpagesPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        let server = self.0.settings(around)?;
        let listener = self.0.bind().await?;
        warn_if_open(id, &self.0, &listener, "see how this process is configured and works");
        let (health, telemetry) = (around.health.clone(), around.telemetry.clone());
        Ok(Arc::new(Zpages::start(listener, server, health, telemetry)?))
    }
}

struct PprofPlan(ServerPlan);

/// Takes `tls` and `auth` beside the Collector's keys.
fn pprof(reader: &mut Reader<'_, '_>) -> PprofPlan {
    let endpoint = endpoint(reader, "localhost:1777");
    reader.field("dialer").node();
    for key in ["block_profile_fraction", "mutex_profile_fraction"] {
        if reader.field(key).int(i64::MIN..=i64::MAX).is_some_and(|fraction| fraction > 0) {
            reader.field(key).without_effect("is for profiles of the Go runtime").node();
        }
    }
    if reader.field("save_to_file").string().is_some_and(|path| !path.is_empty()) {
        let words = "is not supported: get /debug/pprof/profile while the process runs";
        reader.fault("save_to_file", words);
    }
    let settings = ServerSettings::default();
    PprofPlan(ServerPlan { endpoint, settings, tls: tls(reader), auth: auth(reader) })
}

impl Plan for PprofPlan {
    fn needs(&self) -> Vec<Need> {
        self.0.needs()
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn ports(&self) -> Vec<u16> {
        self.0.port().into_iter().collect()
    }
}

#[async_trait]
impl ExtensionPlan for PprofPlan {
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        let server = self.0.settings(around)?;
        let listener = self.0.bind().await?;
        warn_if_open(id, &self.0, &listener, "take profiles of this process, which slow it down");
        Ok(Arc::new(Pprof::start(listener, server)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::servers::Endpoint;
    use crate::net::{Pem, TlsServerSettings};
    use crate::receivers::Address;

    #[test]
    fn a_port_is_open_to_all_unless_somebody_looks() {
        let auth = Some(Id { kind: "basicauth".to_owned(), name: String::new() });
        let tls =
            |client_ca: Option<Pem>| Some(TlsServerSettings { client_ca, ..Default::default() });
        let ca = Some(Pem::File("ca.pem".into()));
        for (address, tls, auth, expected) in [
            ("127.0.0.1:1", None, None, false),
            ("[::1]:1", None, None, false),
            ("0.0.0.0:1", None, None, true),
            ("[::]:1", tls(None), None, true),
            ("10.0.0.1:1", tls(ca), None, false),
            ("10.0.0.1:1", None, auth, false),
        ] {
            let endpoint = Endpoint::Tcp(address.to_owned());
            let settings = ServerSettings::default();
            let plan = ServerPlan { endpoint, settings, tls, auth };
            let address = Address::Tcp(address.parse().unwrap());
            assert_eq!(plan.is_open(&address), expected, "{address}");
        }
    }
}
