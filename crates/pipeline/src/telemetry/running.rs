//! What was asked for, at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::otlp::Writer;
use super::plan::{PeriodicPlan, PullPlan, TelemetryPlan};
use super::process::Process;
use super::server::MetricsServer;
use super::text::Style;
use super::traces::Tracer;
use super::{Metrics, OwnTraces, Telemetry};
use crate::Consumer;
use crate::component::{Running, Surroundings};
use crate::components::servers::listen;
use crate::data::{Data, Request, Signal};
use crate::exporters::Sender;
use crate::receivers::Address;

/// Servers, exports and own traces.
struct Told {
    addresses: Vec<(&'static str, Address)>,
    /// Servers and exports that run no more.
    ended: Ended,
    traces: OwnTraces,
    tracer: Option<Arc<Tracer>>,
    /// Ends exports, and then servers.
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Asked until this has stopped.
    sources: Mutex<Vec<Arc<dyn Metrics>>>,
}

#[derive(Default)]
struct Ended {
    servers: Arc<AtomicUsize>,
    exports: Arc<AtomicUsize>,
}

/// Work whose end is counted, however it ends.
fn noted<T: Future>(ended: &Arc<AtomicUsize>, work: T) -> impl Future<Output = T::Output> + use<T> {
    struct Note(Arc<AtomicUsize>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let note = Note(Arc::clone(ended));
    async move {
        let _note = note;
        work.await
    }
}

/// Starts what a plan asks for; nothing of it if any of it fails.
pub(super) async fn start(
    plan: &TelemetryPlan,
    around: &Surroundings,
) -> Result<Arc<dyn Running>, String> {
    let telemetry = &around.telemetry;
    let mut servers = Vec::new();
    for pull in &plan.pulls {
        servers.extend(server(pull, plan, telemetry).await?);
    }
    let mut senders = Vec::new();
    for periodic in &plan.periodics {
        let sender = periodic.target.sender(Signal::Metrics, periodic.timeout).await;
        senders.push((periodic, sender.map_err(|error| format!("metrics: {error}"))?));
    }
    let tracer = match &plan.traces {
        Some(traces) => {
            let tracer = Tracer::new(traces, &plan.resource).await;
            Some(tracer.map_err(|error| format!("traces: {error}"))?)
        }
        None => None,
    };

    Process::begun();
    let mut sources: Vec<Arc<dyn Metrics>> = vec![Arc::new(Process)];
    sources.extend(tracer.clone().map(|own| own as Arc<dyn Metrics>));
    sources.iter().for_each(|source| telemetry.add(source));
    let mut own = Told {
        addresses: Vec::new(),
        ended: Ended::default(),
        traces: telemetry.own_traces().clone(),
        tracer: tracer.clone(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        sources: Mutex::new(sources),
    };
    for server in servers {
        own.addresses.extend(server.address().map(|address| ("metrics", Address::Tcp(address))));
        let stop = own.stop.clone();
        own.tasks.spawn(noted(&own.ended.servers, async { _ = server.run(stop).await }));
    }
    for (periodic, sender) in senders {
        let writer = Writer::new(&plan.resource, nanoseconds());
        let PeriodicPlan { interval, timeout, .. } = *periodic;
        let export = Export { telemetry: telemetry.clone(), writer, sender, timeout };
        own.tasks.spawn(noted(&own.ended.exports, export.run(interval, own.stop.clone())));
    }
    if let Some(tracer) = tracer {
        for export in tracer.exports(&own.stop) {
            own.tasks.spawn(noted(&own.ended.exports, export));
        }
        own.traces.set(tracer);
    }
    Ok(Arc::new(own))
}

/// A port that was not asked for and is taken is done without.
async fn server(
    pull: &PullPlan,
    plan: &TelemetryPlan,
    telemetry: &Telemetry,
) -> Result<Option<MetricsServer>, String> {
    let (included, excluded) = &pull.constant_labels;
    let style = Style::new(&plan.resource, included, excluded, pull.without_type_suffix);
    match listen(&pull.endpoint, TcpListener::bind).await {
        Ok(listener) => Ok(Some(MetricsServer::new(listener, telemetry.clone(), style))),
        Err(error) if pull.is_asked => Err(error),
        Err(error) => {
            tracing::warn!("own metrics are not to be had: {error}");
            Ok(None)
        }
    }
}

#[async_trait]
impl Running for Told {
    /// Sends what waits, once more all metrics, and ends. Tells how many own spans are left.
    async fn stop(&self, deadline: Instant) -> u64 {
        if let Some(tracer) = &self.tracer {
            self.traces.unset(tracer);
        }
        self.stop.cancel();
        self.tasks.close();
        let has_ended = tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_ok();
        self.sources.lock().clear();
        match &self.tracer {
            Some(tracer) if !has_ended => tracer.waiting(),
            _ => 0,
        }
    }

    fn problem(&self) -> Option<String> {
        if self.stop.is_cancelled() {
            return None;
        }
        let has_ended = |count: &AtomicUsize| count.load(Ordering::Relaxed) > 0;
        let listens = has_ended(&self.ended.servers).then_some("metrics: it has stopped to listen");
        let sends = || has_ended(&self.ended.exports).then_some("it has stopped to send");
        listens.or_else(sends).map(str::to_owned)
    }

    fn addresses(&self) -> Vec<(&'static str, Address)> {
        self.addresses.clone()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(tracer) = &self.tracer {
            self.traces.unset(tracer);
        }
        self.stop.cancel();
    }
}

/// Metrics on their way to one server.
struct Export {
    telemetry: Telemetry,
    writer: Writer,
    sender: Sender,
    timeout: Duration,
}

impl Export {
    async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is now.
        ticks.tick().await;
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            let request = self.writer.write(&self.telemetry.collect(), nanoseconds());
            let request = Request { data: Data::Metrics(request), client: Arc::default() };
            // What does not arrive is in the next, and the sender logs it now and then.
            let _ = timeout(self.timeout, self.sender.consume(request)).await;
            if is_last {
                return;
            }
        }
    }
}

fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_is_known_however_it_came() {
        let ended = Arc::new(AtomicUsize::new(0));
        tokio::spawn(noted(&ended, async {})).await.unwrap();
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert!(tokio::spawn(noted(&ended, async { panic!("a bug") })).await.is_err());
        assert_eq!(ended.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_port_that_nobody_asked_for_is_done_without() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = taken.local_addr().unwrap().to_string();
        let plan = TelemetryPlan::default();
        let mut pull = plan.pulls[0].clone();
        assert_eq!((&*pull.endpoint, pull.is_asked), ("localhost:8888", false));
        pull.endpoint = endpoint;
        assert!(server(&pull, &plan, &Telemetry::default()).await.unwrap().is_none());
        pull.is_asked = true;
        let error = server(&pull, &plan, &Telemetry::default()).await.err().unwrap();
        assert!(error.starts_with("cannot listen on 127.0.0.1"), "{error}");
    }
}
