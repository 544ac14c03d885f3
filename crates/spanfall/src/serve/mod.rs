//! `spanfall serve`: a configuration, the graph that it describes, and its life: start, reload, end.

mod builtin;
mod exporter;
mod gate;
mod limits;
mod listen;
mod load;
mod memory;
mod query;
mod stores;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::{Mutex, RwLock};
use pipeline::component::{Health, Running, Surroundings};
use pipeline::graph::{Changed, Graph};
use pipeline::receivers::{ByteBudget, IN_FLIGHT_BYTES_MAX_DEFAULT};
use pipeline::telemetry::{Telemetry, TelemetryPlan};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

pub use builtin::{Flags, Ports, in_words_of_flags};
pub use exporter::{DATA_DIR_DEFAULT, HEAD_SPANS};
pub use load::{Loaded, Where, load};
pub use memory::without_huge_pages;

use stores::Stores;
use watch::Watch;

use crate::logging::Log;

/// What requests may take together until their spans are stored.
pub const IN_FLIGHT_BYTES_MAX: usize = IN_FLIGHT_BYTES_MAX_DEFAULT;

/// How long own metrics and traces may take to be sent at the end.
const TELEMETRY_STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What the components of this binary share, and with whoever runs the graph.
pub struct Host {
    stores: Stores,
    listeners: RwLock<Vec<api::Listener>>,
    notices: Box<dyn Notices>,
    started: std::time::Instant,
}

impl Host {
    /// For a process that starts now.
    pub fn new(notices: impl Notices) -> Arc<Self> {
        Arc::new(Self {
            stores: Stores::default(),
            listeners: RwLock::default(),
            notices: Box::new(notices),
            started: std::time::Instant::now(),
        })
    }
}

/// Lines for the person who started the server.
pub trait Notices: Send + Sync + 'static {
    /// Recovery has read so many bytes of so many.
    fn recovering(&self, read: u64, total: u64);
    /// Everything runs.
    fn ready(&self, banner: &str);
    /// A signal came.
    fn stopping(&self);
    /// What was found about a configuration that was read while another runs.
    fn found(&self, diagnostics: &config::Diagnostics);
}

/// Nobody listens, as where a configuration is only checked.
pub struct Silent;

impl Notices for Silent {
    fn recovering(&self, _: u64, _: u64) {}
    fn ready(&self, _: &str) {}
    fn stopping(&self) {}
    fn found(&self, _: &config::Diagnostics) {}
}

/// Runs a configuration without errors until SIGINT or SIGTERM, then drains. On SIGHUP, and when
/// its files change, it is read again; one with errors changes nothing.
pub async fn run(place: &Where, loaded: Loaded, host: Arc<Host>, log: Log) -> anyhow::Result<()> {
    // Before anyone can know that it runs. While a log is read, a signal ends the process at once:
    // there is nothing to drain.
    let mut signals = Signals::catch(!place.is_built_in)?;
    let mut server = tokio::select! {
        server = Server::start(loaded, host.clone(), log) => server?,
        () = signals.stop() => return Ok(()),
    };
    let banner = server.banner().await;
    memory::give_back_code();
    host.notices.ready(&banner);
    loop {
        let reason = tokio::select! {
            asked = signals.next() => match asked {
                Asked::ToStop => break,
                Asked::ToReload => "SIGHUP",
            },
            () = server.watch.changed() => "a file of the configuration changed",
        };
        tracing::info!(reason, "reading the configuration again");
        let (own, shared) = (place.clone(), host.clone());
        let loading = tokio::task::spawn_blocking(move || load(&own, &shared));
        let loaded = tokio::select! {
            loaded = loading => loaded,
            // A file system may take its time.
            () = signals.stop() => break,
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(%error, "reading the configuration met a bug; the old one stays");
                continue;
            }
        };
        if !loaded.diagnostics.is_empty() {
            host.notices.found(&loaded.diagnostics);
        }
        if loaded.diagnostics.has_errors() {
            tracing::error!("the new configuration has errors; the old one stays in force");
            server.watch = Watch::new(loaded.files);
            continue;
        }
        // Who wants it to stop is heard, and served when the graph is whole again; who asks twice
        // does not want to wait.
        let mut stops = 0;
        {
            let mut reload = std::pin::pin!(server.reload(loaded));
            loop {
                tokio::select! {
                    () = &mut reload => break,
                    () = signals.stop() => stops += 1,
                }
                if stops > 1 {
                    return Ok(());
                }
            }
        }
        if stops > 0 {
            break;
        }
    }
    host.notices.stopping();
    tokio::select! {
        () = server.stop() => {}
        // Who asks twice does not want to wait.
        () = signals.stop() => {}
    }
    Ok(())
}

/// What runs.
struct Server {
    /// Whoever asks how it is looks into it, unless it is being changed.
    graph: Arc<tokio::sync::RwLock<Graph>>,
    around: Surroundings,
    /// How many the process may have.
    open_files: u64,
    own: Own,
    log: Log,
    watch: Watch,
    host: Arc<Host>,
    /// Why what runs is not what the configuration says.
    broken: Arc<Mutex<Option<String>>>,
}

/// Own metrics and traces, and the settings that they were started with.
struct Own {
    running: Arc<Mutex<Arc<dyn Running>>>,
    node: Option<config::Node>,
    plan: TelemetryPlan,
    /// Why it is not what the configuration says.
    broken: Arc<Mutex<Option<String>>>,
}

impl Server {
    async fn start(loaded: Loaded, host: Arc<Host>, log: Log) -> anyhow::Result<Self> {
        let open_files = limits::raise_open_files();
        let connections_max = limits::connections_max(open_files, &loaded.document);
        let around = Surroundings {
            budget: ByteBudget::new(IN_FLIGHT_BYTES_MAX),
            connections_max,
            telemetry: Telemetry::default(),
            extensions: HashMap::new(),
            health: Health::default(),
        };
        // First, so that a start that takes long can be watched.
        let started = loaded.telemetry.start(&around).await;
        let running = started.map_err(|error| anyhow::anyhow!("service::telemetry: {error}"))?;
        let node = loaded.document.service.telemetry.clone();
        let mut graph = Graph::new(around.clone());
        let changed = graph.apply(loaded.document, loaded.plans, connections_max).await;
        changed.map_err(|failed| anyhow::anyhow!(failed.error))?;
        let running = Arc::new(Mutex::new(running));
        let own = Own { running, node, plan: loaded.telemetry, broken: Arc::default() };
        let (graph, broken) = (Arc::new(tokio::sync::RwLock::new(graph)), Arc::default());
        let watch = Watch::new(loaded.files);
        let server = Self { graph, around, open_files, own, log, watch, host, broken };
        server.tell_ports().await;
        let (graph, own) = (server.graph.clone(), server.own.running.clone());
        let broken = [server.broken.clone(), server.own.broken.clone()];
        let last = Mutex::new(Vec::new());
        server.around.health.ready(move || {
            // While it is being changed, what was known before holds.
            if let Ok(graph) = graph.try_read() {
                let mut problems = graph.problems();
                let telemetry = own.lock().problem();
                problems.extend(telemetry.map(|one| format!("service::telemetry: {one}")));
                problems.extend(broken.iter().filter_map(|broken| broken.lock().clone()));
                *last.lock() = problems;
            }
            last.lock().clone()
        });
        Ok(server)
    }

    async fn tell_ports(&self) {
        let telemetry = self.own.running.lock().addresses();
        let listeners = listen::listeners(&*self.graph.read().await, &telemetry);
        let list: Vec<String> =
            listeners.iter().map(|own| format!("{}={}", own.name, own.address)).collect();
        let before = std::mem::replace(&mut *self.host.listeners.write(), listeners.clone());
        if before != listeners {
            tracing::info!("listening on {}", list.join(" "));
        }
    }

    async fn banner(&self) -> String {
        let graph = self.graph.read().await;
        listen::banner(graph.document(), &self.host.listeners.read())
    }

    /// Swaps what changed. What cannot be started leaves everything as it was.
    async fn reload(&mut self, loaded: Loaded) {
        self.watch = Watch::new(loaded.files);
        let Loaded { document, plans, telemetry, .. } = loaded;
        let node = document.service.telemetry.clone();
        let connections_max = limits::connections_max(self.open_files, &document);
        let changed = self.graph.write().await.apply(document, plans, connections_max).await;
        // Before it is said that the change is over: who waits for that asks for ports next.
        self.tell_ports().await;
        match changed {
            Ok(Changed { started, stopped, items_left }) => {
                *self.broken.lock() = None;
                if let Err(error) = self.log.change(&telemetry.logs) {
                    tracing::error!(error = format!("{error:#}"), "the log stays as it was");
                }
                tracing::info!(?started, ?stopped, items_left, "the new configuration is in force");
                if !is_same_but_for_logs(self.own.node.as_ref(), node.as_ref()) {
                    self.restart_telemetry(telemetry, node).await;
                }
            }
            Err(failed) => {
                tracing::error!(%failed, "the new configuration cannot run");
                *self.broken.lock() = failed.broken;
            }
        }
        self.tell_ports().await;
    }

    /// Starts own metrics and traces as they are configured now; as they were if that fails.
    async fn restart_telemetry(&mut self, plan: TelemetryPlan, node: Option<config::Node>) {
        let old = self.own.running.lock().clone();
        // The old ones have the port.
        old.stop(Instant::now() + TELEMETRY_STOP_TIMEOUT).await;
        let error = match plan.start(&self.around).await {
            Ok(running) => {
                *self.own.running.lock() = running;
                *self.own.broken.lock() = None;
                (self.own.node, self.own.plan) = (node, plan);
                return;
            }
            Err(error) => error,
        };
        tracing::error!(error, "service::telemetry cannot run; the old settings stay in force");
        let again = self.own.plan.start(&self.around).await;
        *self.own.broken.lock() = match again {
            Ok(running) => {
                *self.own.running.lock() = running;
                None
            }
            Err(error) => Some(format!("service::telemetry cannot go on: {error}")),
        };
    }

    async fn stop(&mut self) {
        self.around.health.not_ready();
        let left = self.graph.write().await.stop().await;
        if left > 0 {
            tracing::warn!(items = left, "not everything could be handed on in time");
        }
        let own = self.own.running.lock().clone();
        own.stop(Instant::now() + TELEMETRY_STOP_TIMEOUT).await;
    }
}

/// Whether two sections `service::telemetry` ask for the same metrics and traces.
fn is_same_but_for_logs(old: Option<&config::Node>, new: Option<&config::Node>) -> bool {
    let of = |node: Option<&config::Node>| {
        let entries = node.and_then(config::Node::as_map).into_iter().flat_map(config::Map::iter);
        let entries = entries.filter(|entry| &*entry.key.text != "logs");
        entries
            .map(|entry| (entry.key.text.clone(), entry.node.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let (old, new) = (of(old), of(new));
    old.len() == new.len()
        && old.iter().all(|(key, node)| new.get(key).is_some_and(|other| node.is_same(other)))
}

/// What a signal asks for.
enum Asked {
    ToStop,
    ToReload,
}

/// Signals, caught from the moment that this is made.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Hangup,
}

/// What SIGHUP means.
enum Hangup {
    /// There is a configuration to be read again.
    Reload(Signal),
    /// The terminal is gone.
    Stop(Signal),
    /// Nothing: whoever started the process said that it outlives the terminal, as `nohup` does.
    Nothing,
}

impl Signals {
    fn catch(reloads: bool) -> anyhow::Result<Self> {
        let is_ignored = is_hangup_ignored();
        let listen = || signal(SignalKind::hangup()).context("listening for SIGHUP");
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            hangup: match reloads {
                true => Hangup::Reload(listen()?),
                false if is_ignored => Hangup::Nothing,
                false => Hangup::Stop(listen()?),
            },
        })
    }

    async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Hangup::Reload(signal) => signal.recv().await.map(|()| Asked::ToReload),
                Hangup::Stop(signal) => signal.recv().await.map(|()| Asked::ToStop),
                Hangup::Nothing => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::ToStop,
            _ = self.terminate.recv() => Asked::ToStop,
            Some(asked) = hangup => asked,
        }
    }

    /// What asks to stop. What asks to read again stays to be heard.
    async fn stop(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Hangup::Stop(signal) => signal.recv().await,
                Hangup::Reload(_) | Hangup::Nothing => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether SIGHUP was ignored when the process began. Where the system does not tell, it was not.
fn is_hangup_ignored() -> bool {
    // proc(5): a mask of signals; SIGHUP is the first.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 > 0)
}

#[cfg(test)]
mod testing {
    use super::*;

    /// What a component finds around it.
    pub(super) fn around() -> Surroundings {
        Surroundings {
            budget: ByteBudget::default(),
            connections_max: 1,
            telemetry: Telemetry::default(),
            extensions: HashMap::new(),
            health: Health::default(),
        }
    }
}
