//! What a component is to the graph: first a plan, read from the configuration and without effect,
//! then something that runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use config::{Id, PipelineId};
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::consumer::Consumer;
use crate::exporters::PersistentSettings;
use crate::flow::Slot;
use crate::receivers::{Address, ByteBudget};
use crate::telemetry::Telemetry;

/// What all components share.
#[derive(Clone)]
pub struct Surroundings {
    /// The bytes that requests may take until they are answered.
    pub budget: ByteBudget,
    /// Connections that may be open to one port of a component's.
    pub connections_max: usize,
    /// Where they register their numbers.
    pub telemetry: Telemetry,
    /// The extensions that run.
    pub extensions: HashMap<Id, Arc<dyn Extension>>,
    /// How the graph is, for those that tell others.
    pub health: Health,
}

type AskProblems = dyn Fn() -> Vec<String> + Send + Sync;

#[derive(Clone)]
struct Ready {
    since: (SystemTime, Instant),
    ask: Arc<AskProblems>,
}

/// What a graph is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// When it came to be so.
    pub since: Option<SystemTime>,
    /// In the order in which they were started.
    pub extensions: Vec<Id>,
    /// As they are written.
    pub pipelines: Vec<PipelineLayout>,
}

/// A pipeline's components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineLayout {
    /// Its id.
    pub id: PipelineId,
    /// Receivers, and connectors from other pipelines.
    pub receivers: Vec<Id>,
    /// In their order.
    pub processors: Vec<Id>,
    /// Exporters, and connectors to other pipelines.
    pub exporters: Vec<Id>,
}

/// How the graph is. Clones share it: components ask, and the graph's owner, who alone can look at
/// all of it, says how that is found out.
#[derive(Clone, Default)]
pub struct Health {
    ready: Arc<RwLock<Option<Ready>>>,
    layout: Arc<RwLock<Layout>>,
}

impl Health {
    /// Everything has started; `ask` finds what keeps components from their work. It is called
    /// with every question and must not wait.
    pub fn ready(&self, ask: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        let since = (SystemTime::now(), Instant::now());
        *self.ready.write() = Some(Ready { since, ask: Arc::new(ask) });
    }

    /// Everything is about to stop.
    pub fn not_ready(&self) {
        *self.ready.write() = None;
    }

    /// What the graph is made of from now on. The graph says it.
    pub fn set_layout(&self, layout: Layout) {
        *self.layout.write() = layout;
    }

    /// What the graph is made of; empty before it has started for the first time.
    pub fn layout(&self) -> Layout {
        self.layout.read().clone()
    }

    /// What keeps components from their work; nothing before they have started.
    pub fn problems(&self) -> Option<Vec<String>> {
        let ready = self.ready.read().clone();
        ready.map(|ready| (ready.ask)())
    }

    /// When everything had started.
    pub fn since(&self) -> Option<(SystemTime, Instant)> {
        self.ready.read().as_ref().map(|ready| ready.since)
    }
}

/// Something that runs until it is stopped.
#[async_trait]
pub trait Running: Send + Sync + 'static {
    /// Takes nothing new, hands on what it holds, and ends; at the latest at the deadline. Tells
    /// how many items are left, which are lost unless they are on a disk.
    async fn stop(&self, deadline: Instant) -> u64;

    /// As [`Self::stop`], where another stands in its place by now: what it holds goes to that one
    /// if it can.
    async fn give_way(&self, _to: &Arc<dyn Consumer>, deadline: Instant) -> u64 {
        self.stop(deadline).await
    }

    /// What keeps it from its work, for health.
    fn problem(&self) -> Option<String> {
        None
    }

    /// Where it listens: what for, such as `grpc`, or nothing where there is but one port.
    fn addresses(&self) -> Vec<(&'static str, Address)> {
        Vec::new()
    }
}

/// Something that holds nothing and needs no end.
pub struct Still;

#[async_trait]
impl Running for Still {
    async fn stop(&self, _: Instant) -> u64 {
        0
    }
}

/// A part that takes data and runs.
#[derive(Clone)]
pub struct Stage {
    /// Its entrance.
    pub consumer: Arc<dyn Consumer>,
    /// Its life.
    pub running: Arc<dyn Running>,
    /// Whether what it took survives the end of the process at any moment.
    pub is_durable: bool,
}

impl Stage {
    /// A part that holds nothing.
    pub fn still(consumer: Arc<dyn Consumer>) -> Self {
        Self { consumer, running: Arc::new(Still), is_durable: false }
    }
}

/// What an extension can be to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It checks who sends.
    Authenticator,
    /// It says who we are.
    ClientAuth,
    /// It keeps things on a disk.
    Storage,
}

/// An extension that a component cannot do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Its id.
    pub id: Id,
    /// What it must be.
    pub role: Role,
}

impl Need {
    /// Of an extension that may be named or not.
    pub fn of(id: Option<&Id>, role: Role) -> Option<Self> {
        id.map(|id| Self { id: id.clone(), role })
    }
}

/// What is needed of every plan.
pub trait Plan: Send + Sync + 'static {
    /// Extensions that it names.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// Pipelines that a connector's settings name; each must have it among its receivers.
    fn leads_to(&self) -> Vec<PipelineId> {
        Vec::new()
    }

    /// Whether two of it cannot run at once, because they would share a port or a folder.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// The ports for connections on which it will listen, but for those that the system chooses:
    /// whoever has one of them and goes, goes first.
    fn ports(&self) -> Vec<u16> {
        Vec::new()
    }
}

/// A receiver that is configured.
#[async_trait]
pub trait ReceiverPlan: Plan {
    /// Listens, and hands on to `next`. Fails with what a person can do something about.
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
    ) -> Result<Arc<dyn Running>, String>;
}

/// A processor that is configured. Every pipeline starts its own.
#[async_trait]
pub trait ProcessorPlan: Plan {
    /// In front of `next`; `durable_behind` tells whether what lies behind survives the end of the
    /// process at any moment.
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
        durable_behind: bool,
    ) -> Result<Stage, String>;
}

/// An exporter that is configured. All pipelines share it.
#[async_trait]
pub trait ExporterPlan: Plan {
    /// Ready to take data.
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Stage, String>;
}

/// A connector that is configured. All pipelines share it.
#[async_trait]
pub trait ConnectorPlan: Plan {
    /// In front of the pipelines that name it as their receiver.
    async fn start(
        &self,
        id: &Id,
        around: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String>;
}

/// An extension that is configured.
#[async_trait]
pub trait ExtensionPlan: Plan {
    /// Whether it can be this to others, once it runs.
    fn is_a(&self, _role: Role) -> bool {
        false
    }

    /// Runs before all that may need it.
    async fn start(&self, id: &Id, around: &Surroundings) -> Result<Arc<dyn Extension>, String>;
}

/// An extension that runs.
pub trait Extension: Running {
    /// Whether it answers from what exporters hold. It stops before them, so that open questions
    /// are answered.
    fn reads_exporters(&self) -> bool {
        false
    }

    /// As one that checks who sends.
    fn authenticator(&self) -> Option<Arc<dyn crate::receivers::Authenticator>> {
        None
    }

    /// As one that says who we are.
    fn client_auth(&self) -> Option<Arc<dyn crate::net::ClientAuth>> {
        None
    }

    /// As one that keeps things on a disk: the folder for a component, and how it is written.
    fn storage(&self, _component: &str) -> Option<PersistentSettings> {
        None
    }
}
