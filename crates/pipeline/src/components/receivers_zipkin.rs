//! The receiver `zipkin`.

use std::sync::Arc;

use async_trait::async_trait;
use config::{Id, Reader};

use super::ports::{Link, Ports};
use super::receivers::{HttpPlan, http_server};
use crate::component::{Need, Plan, ReceiverPlan, Running, Surroundings};
use crate::consumer::Consumer;
use crate::receivers::zipkin::{ZipkinCounters, ZipkinReceiver, ZipkinSettings};

pub(super) struct ZipkinPlan {
    http: HttpPlan,
    parse_string_tags: bool,
}

/// The keys of an HTTP server, and `parse_string_tags`. A `max_request_body_size` that is not set
/// is 64 MiB, where the Collector has 20 MiB.
pub(super) fn zipkin(reader: &mut Reader<'_, '_>) -> ZipkinPlan {
    ZipkinPlan {
        http: http_server(reader, "localhost:9411"),
        parse_string_tags: reader.field("parse_string_tags").bool().unwrap_or_default(),
    }
}

impl Plan for ZipkinPlan {
    fn needs(&self) -> Vec<Need> {
        self.http.server.needs()
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn ports(&self) -> Vec<u16> {
        self.http.server.port().into_iter().collect()
    }
}

#[async_trait]
impl ReceiverPlan for ZipkinPlan {
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
    ) -> Result<Arc<dyn Running>, String> {
        let http = self.http.settings(around)?;
        let settings = ZipkinSettings { http, parse_string_tags: self.parse_string_tags };
        let listener = self.http.server.bind().await?;
        let counters = ZipkinCounters::default();
        let receiver =
            ZipkinReceiver::new(listener, settings, around.budget.clone(), next, &counters);
        let mut ports = Ports::new(id);
        ports.transport("http_v2_json", &counters.v2_json, Link::Connected);
        ports.transport("http_v2_proto", &counters.v2_proto, Link::Shared);
        ports.transport("http_v1_json", &counters.v1_json, Link::Shared);
        ports.transport("http_v1_thrift", &counters.v1_thrift, Link::Shared);
        ports.serve_requests("", receiver.local_addr(), |stop| receiver.run(stop))?;
        Ok(ports.start(around))
    }
}
