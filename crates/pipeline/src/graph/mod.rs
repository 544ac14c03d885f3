//! The graph: components joined as the configuration says, and joined anew while data flows.
//!
//! Every pipeline has an entrance that stays for as long as a pipeline of its name is there;
//! receivers and connectors hand on to entrances, exporters and connectors have one themselves. A
//! component whose settings are the same stays as it is, with all that it holds, and only what it
//! hands on to is set anew. So a reload swaps what changed and nothing else.

mod plans;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::{Document, Id, Node, PipelineId, Reference, Section};
use futures_util::future::join_all;
use tokio::time::Instant;

pub use plans::{Plans, Registry};

use crate::component::{Extension, Layout, Need, PipelineLayout, Running, Stage, Surroundings};
use crate::consumer::Consumer;
use crate::flow::{FanOut, Slot};
use crate::receivers::Address;
use crate::telemetry::Traced;

/// How long components may take to hand on what they hold.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long all of them together may take, one behind the other: Kubernetes kills a process after
/// 30 s, and telemetry ends after the graph.
const STOP_TIMEOUT_ALL: Duration = Duration::from_secs(20);

/// What is left of it for who comes last.
const STOP_LEAST: Duration = Duration::from_secs(1);

/// A component and what it was made from.
struct Held<T> {
    node: Node,
    needs: Vec<Id>,
    running: T,
}

/// An exporter or connector: its entrance stays when it is replaced.
struct Shared {
    held: Held<Stage>,
    entrance: Slot,
    /// The pipelines that a connector hands on to.
    to: Vec<PipelineId>,
}

/// A processor of a pipeline.
struct Processor {
    id: Id,
    held: Held<Stage>,
    next: Slot,
    durable_behind: bool,
}

struct Pipeline {
    entrance: Slot,
    processors: Vec<Processor>,
}

struct Receiver {
    held: Held<Arc<dyn Running>>,
    next: Slot,
}

/// Components that run.
pub struct Graph {
    around: Surroundings,
    document: Document,
    plans: Plans,
    extensions: Vec<(Id, Held<Arc<dyn Extension>>)>,
    exporters: HashMap<Id, Shared>,
    connectors: HashMap<Id, Shared>,
    pipelines: HashMap<PipelineId, Pipeline>,
    receivers: HashMap<Id, Receiver>,
}

/// What a reload did, for the log: components by section and id.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Started, for the first time or anew.
    pub started: Vec<String>,
    /// Stopped for good.
    pub stopped: Vec<String>,
    /// Items that stopped components had to leave behind.
    pub items_left: u64,
}

/// Why a graph could not be made what a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What could not be started, and why.
    pub error: String,
    /// Why what ran before cannot go on, either, if that is so.
    pub broken: Option<String>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        let Some(broken) = &self.broken else { return Ok(()) };
        write!(f, "; and what ran before cannot go on: {broken}")
    }
}

impl Graph {
    /// With nothing in it.
    pub fn new(around: Surroundings) -> Self {
        Self {
            around,
            document: Document::default(),
            plans: Plans::default(),
            extensions: Vec::new(),
            exporters: HashMap::new(),
            connectors: HashMap::new(),
            pipelines: HashMap::new(),
            receivers: HashMap::new(),
        }
    }

    /// What runs now.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// What keeps components from their work.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut look = |name: String, problem: Option<String>| {
            problems.extend(problem.map(|problem| format!("{name}: {problem}")));
        };
        for (id, held) in &self.extensions {
            look(format!("extensions::{id}"), held.running.problem());
        }
        for (section, all) in [("exporters", &self.exporters), ("connectors", &self.connectors)] {
            for (id, shared) in all {
                look(format!("{section}::{id}"), shared.held.running.running.problem());
            }
        }
        for pipeline in self.pipelines.values() {
            for own in &pipeline.processors {
                look(format!("processors::{}", own.id), own.held.running.running.problem());
            }
        }
        for (id, receiver) in &self.receivers {
            look(format!("receivers::{id}"), receiver.held.running.problem());
        }
        problems.sort();
        problems
    }

    /// Where components listen: section and id, what for, address.
    pub fn addresses(&self) -> Vec<(Section, Id, &'static str, Address)> {
        let extensions = self
            .extensions
            .iter()
            .map(|(id, held)| (Section::Extensions, id, held.running.addresses()));
        let receivers = self
            .receivers
            .iter()
            .map(|(id, receiver)| (Section::Receivers, id, receiver.held.running.addresses()));
        let all = extensions.chain(receivers).flat_map(|(section, id, addresses)| {
            addresses.into_iter().map(move |(name, at)| (section, id.clone(), name, at))
        });
        all.collect()
    }

    /// Makes the graph what a document says. Starts what is new or has changed, hands over, and
    /// stops what is gone. What starts takes up to `connections_max` connections at each of its
    /// ports.
    ///
    /// # Errors
    ///
    /// When a component cannot be started: what ran before runs still, unless it could not be
    /// started again either, which is told as well.
    pub async fn apply(
        &mut self,
        document: Document,
        plans: Plans,
        connections_max: usize,
    ) -> Result<Changed, Failed> {
        let mut old = std::mem::replace(self, Self::new(self.around.clone()));
        self.around.connections_max = connections_max;
        self.document = document;
        self.plans = plans;
        let mut changed = Changed::default();
        match self.take_over(&mut old, &mut changed).await {
            Ok(()) => {
                self.around.health.set_layout(layout(&self.document));
                changed.items_left += self.replace(&mut old, &mut changed.stopped).await;
                changed.items_left += old.stop_rest(&mut changed.stopped).await;
                Ok(changed)
            }
            Err(error) => {
                // What was started in vain gives ports and folders free; what was taken over goes
                // back, and what was stopped for it starts again.
                let mut failed = std::mem::replace(self, old);
                failed.split(&changed.started).stop_rest(&mut Vec::new()).await;
                let back = self.take_back(&mut failed).await;
                failed.stop_rest(&mut Vec::new()).await;
                Err(Failed { error, broken: back.err() })
            }
        }
    }

    /// Builds from the old graph's components and new ones.
    async fn take_over(&mut self, old: &mut Self, changed: &mut Changed) -> Result<(), String> {
        let fresh = self.fresh_extensions(old);
        self.clear_ports(old, changed, &fresh).await;
        self.take_extensions(old, changed).await?;
        self.take_entrances(old);
        self.take_exporters(old, changed, &fresh).await?;
        self.take_connectors(old, changed, &fresh).await?;
        self.take_pipelines(old, changed, &fresh).await?;
        self.take_receivers(old, changed, &fresh).await
    }

    /// Ends the exporters in whose place another stands, which gets what they hold: a backend whose
    /// address was wrong is still to have what waited for it.
    async fn replace(&self, old: &mut Self, stopped: &mut Vec<String>) -> u64 {
        let replaced: Vec<(Id, Shared)> =
            old.exporters.extract_if(|id, _| self.exporters.contains_key(id)).collect();
        let ended = replaced.into_iter().map(|(id, before)| async move {
            let to: Arc<dyn Consumer> = Arc::new(before.entrance);
            (id, before.held.running.running.give_way(&to, deadline()).await)
        });
        let mut left = 0;
        for (id, items) in join_all(ended).await {
            stopped.push(format!("exporters::{id}"));
            left += items;
        }
        left
    }

    /// After a failure: the same with the old document, which needs what the failed one took.
    async fn take_back(&mut self, failed: &mut Self) -> Result<(), String> {
        let document = std::mem::take(&mut self.document);
        let plans = std::mem::take(&mut self.plans);
        let mut remaining = std::mem::replace(self, Self::new(self.around.clone()));
        remaining.absorb(failed);
        self.document = document;
        self.plans = plans;
        let done = self.take_over(&mut remaining, &mut Changed::default()).await;
        *failed = remaining;
        done
    }

    /// Takes out the components of these names.
    fn split(&mut self, names: &[String]) -> Self {
        let mut out = Self::new(self.around.clone());
        out.document.clone_from(&self.document);
        let is_named = |section: Section, id: &Id| names.contains(&format!("{section}::{id}"));
        let (taken, left) = std::mem::take(&mut self.extensions)
            .into_iter()
            .partition(|(id, _)| is_named(Section::Extensions, id));
        (out.extensions, self.extensions) = (taken, left);
        let shared = |all: &mut HashMap<Id, Shared>, section| {
            all.extract_if(|id, _| is_named(section, id)).collect::<HashMap<_, _>>()
        };
        out.exporters = shared(&mut self.exporters, Section::Exporters);
        out.connectors = shared(&mut self.connectors, Section::Connectors);
        for (id, pipeline) in &mut self.pipelines {
            let is_named = |own: &Processor| names.contains(&processor_name(&own.id, id));
            let (taken, left) =
                std::mem::take(&mut pipeline.processors).into_iter().partition(is_named);
            pipeline.processors = left;
            let own = Pipeline { entrance: pipeline.entrance.clone(), processors: taken };
            out.pipelines.insert(id.clone(), own);
        }
        out.receivers =
            self.receivers.extract_if(|id, _| is_named(Section::Receivers, id)).collect();
        out
    }

    /// Takes all components of another graph.
    fn absorb(&mut self, other: &mut Self) {
        self.extensions.append(&mut other.extensions);
        self.exporters.extend(other.exporters.drain());
        self.connectors.extend(other.connectors.drain());
        for (id, mut pipeline) in other.pipelines.drain() {
            match self.pipelines.entry(id) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(pipeline);
                }
                std::collections::hash_map::Entry::Occupied(mut entry) => {
                    entry.get_mut().processors.append(&mut pipeline.processors);
                }
            }
        }
        self.receivers.extend(other.receivers.drain());
    }

    fn node(&self, section: Section, id: &Id) -> Result<Node, String> {
        let component = self.document.component(section, id);
        component
            .map(|component| component.node.clone())
            .ok_or_else(|| format!("{section}::{id} is not configured"))
    }

    /// Whether an extension of before is one of now.
    fn keeps_extension(&self, id: &Id, held: &Held<Arc<dyn Extension>>) -> bool {
        let node = self.document.component(Section::Extensions, id).map(|own| &own.node);
        self.document.service.extensions.iter().any(|one| one.id == *id)
            && node.is_some_and(|node| held.node.is_same(node))
    }

    /// The extensions that have to be started.
    fn fresh_extensions(&self, old: &Self) -> HashSet<Id> {
        let is_kept = |id: &Id| {
            old.extensions.iter().any(|(own, held)| own == id && self.keeps_extension(own, held))
        };
        let wanted = self.document.service.extensions.iter().map(|one| &one.id);
        wanted.filter(|id| !is_kept(id)).cloned().collect()
    }

    /// The receivers that pipelines name.
    fn wanted_receivers(&self) -> HashSet<&Id> {
        let pipelines = &self.document.service.pipelines;
        pipelines.iter().flat_map(|own| &own.receivers).map(|one| &one.id).collect()
    }

    /// Whether a receiver of before is one of now.
    fn keeps_receiver(&self, id: &Id, before: &Receiver, fresh: &HashSet<Id>) -> bool {
        let node = self.document.component(Section::Receivers, id).map(|own| &own.node);
        self.wanted_receivers().contains(id)
            && node.is_some_and(|node| before.held.is_same(node, fresh))
    }

    /// Ends those that others cannot start beside: an extension that is exclusive or has a port that
    /// goes to another component, and a receiver whose port goes to an extension. Receivers among
    /// themselves exchange ports later, so that they are away for as short a time as can be.
    async fn clear_ports(&self, old: &mut Self, changed: &mut Changed, fresh: &HashSet<Id>) {
        let plans = fresh.iter().filter_map(|id| self.plans.extension(id).ok());
        let to_extensions: HashSet<u16> = plans.flat_map(|plan| plan.ports()).collect();
        let is_kept = |id: &Id| {
            old.receivers.get(id).is_some_and(|before| self.keeps_receiver(id, before, fresh))
        };
        let wanted = self.wanted_receivers();
        let plans = wanted.iter().filter(|id| !is_kept(id));
        let plans = plans.filter_map(|id| self.plans.receiver(id).ok());
        let to_receivers: HashSet<u16> = plans.flat_map(|plan| plan.ports()).collect();
        let has = |running: &dyn Running, ports: &HashSet<u16>| {
            let own = running.addresses();
            own.iter().filter_map(|(_, at)| at.tcp()).any(|at| ports.contains(&at.port()))
        };

        let leaving = old.receivers.extract_if(|id, before| {
            !self.keeps_receiver(id, before, fresh) && has(&*before.held.running, &to_extensions)
        });
        self.end_receivers(leaving.collect(), changed).await;

        // Under another id, or with another's settings, it would have the same port.
        let new_kinds: HashSet<&str> = fresh.iter().map(|id| &*id.kind).collect();
        let is_in_the_way = |(id, held): &mut (Id, Held<Arc<dyn Extension>>)| {
            let is_wanted = self.document.service.extensions.iter().any(|one| one.id == *id);
            let plans = if is_wanted { &self.plans } else { &old.plans };
            let is_exclusive = new_kinds.contains(&*id.kind)
                && plans.extension(id).is_ok_and(|plan| plan.is_exclusive());
            let has = |ports| has(&*held.running, ports);
            !self.keeps_extension(id, held)
                && (is_exclusive || has(&to_extensions) || has(&to_receivers))
        };
        let gone: Vec<_> = old.extensions.extract_if(.., is_in_the_way).collect();
        let ended = gone.into_iter().map(|(id, held)| async move {
            let left = held.running.stop(deadline()).await;
            (id, left)
        });
        for (id, items) in join_all(ended).await {
            changed.items_left += items;
            if !self.document.service.extensions.iter().any(|one| one.id == id) {
                changed.stopped.push(format!("extensions::{id}"));
            }
        }
    }

    /// Ends receivers, side by side.
    async fn end_receivers(&self, leaving: Vec<(Id, Receiver)>, changed: &mut Changed) {
        let ended = leaving
            .into_iter()
            .map(|(id, before)| async move { (id, before.held.running.stop(deadline()).await) });
        for (id, items) in join_all(ended).await {
            changed.items_left += items;
            if !self.wanted_receivers().contains(&id) {
                changed.stopped.push(format!("receivers::{id}"));
            }
        }
    }

    /// Takes over the extensions that are the same, and starts the others.
    async fn take_extensions(
        &mut self,
        old: &mut Self,
        changed: &mut Changed,
    ) -> Result<(), String> {
        self.around.extensions.clear();
        let wanted: Vec<Id> =
            self.document.service.extensions.iter().map(|one| one.id.clone()).collect();
        for id in wanted {
            let node = self.node(Section::Extensions, &id)?;
            let is_it = |(own, held): &(Id, Held<_>)| *own == id && held.node.is_same(&node);
            let held = match old.extensions.iter().position(is_it) {
                Some(at) => old.extensions.swap_remove(at).1,
                None => {
                    let plan = self.plans.extension(&id)?;
                    let running = plan.start(&id, &self.around).await;
                    let running = running.map_err(|error| format!("extensions::{id}: {error}"))?;
                    changed.started.push(format!("extensions::{id}"));
                    Held { node, needs: ids(plan.needs()), running }
                }
            };
            self.around.extensions.insert(id.clone(), held.running.clone());
            self.extensions.push((id, held));
        }
        Ok(())
    }

    /// The entrances of all pipelines, before anything hands on to them.
    fn take_entrances(&mut self, old: &Self) {
        for pipeline in &self.document.service.pipelines {
            let entrance = old.pipelines.get(&pipeline.id).map(|own| own.entrance.clone());
            let entrance = entrance.unwrap_or_else(Slot::empty);
            let own = Pipeline { entrance, processors: Vec::new() };
            self.pipelines.insert(pipeline.id.clone(), own);
        }
    }

    async fn take_exporters(
        &mut self,
        old: &mut Self,
        changed: &mut Changed,
        fresh: &HashSet<Id>,
    ) -> Result<(), String> {
        let pipelines = self.document.service.pipelines.clone();
        let wanted: HashSet<&Id> =
            pipelines.iter().flat_map(|own| &own.exporters).map(|own| &own.id).collect();
        let stays = |id: &Id, before: &Shared| {
            let node = self.document.component(Section::Exporters, id).map(|own| &own.node);
            wanted.contains(id) && node.is_some_and(|node| before.held.is_same(node, fresh))
        };
        // Under another id, or with another's settings, it would have the same file or folder.
        let is_new = |id: &Id| !old.exporters.get(id).is_some_and(|before| stays(id, before));
        let new_kinds: HashSet<&str> =
            wanted.iter().filter(|id| is_new(id)).map(|id| &*id.kind).collect();
        let old_plans = &old.plans;
        let is_in_the_way = |id: &Id, before: &mut Shared| {
            let plans = if wanted.contains(id) { &self.plans } else { old_plans };
            !stays(id, before)
                && new_kinds.contains(&*id.kind)
                && plans.exporter(id).is_ok_and(|plan| plan.is_exclusive())
                && !old_plans.exporter(id).is_ok_and(|plan| !plan.is_exclusive())
        };
        let gone: Vec<(Id, Shared)> = old.exporters.extract_if(is_in_the_way).collect();
        let ended = gone.into_iter().map(|(id, before)| async move {
            // Who sends in between is asked to come again.
            before.entrance.set(Arc::new(Slot::empty()));
            let left = before.held.running.running.stop(deadline()).await;
            (id, before.entrance, left)
        });
        let mut entrances = HashMap::new();
        for (id, entrance, items) in join_all(ended).await {
            changed.items_left += items;
            if wanted.contains(&id) {
                entrances.insert(id, entrance);
            } else {
                changed.stopped.push(format!("exporters::{id}"));
            }
        }
        for id in pipelines.iter().flat_map(|pipeline| &pipeline.exporters) {
            let id = &id.id;
            if self.exporters.contains_key(id)
                || self.document.component(Section::Exporters, id).is_none()
            {
                continue;
            }
            let node = self.node(Section::Exporters, id)?;
            let before = old.exporters.remove(id);
            if let Some(before) = before {
                if before.held.is_same(&node, fresh) {
                    // After a failure it leads to the one that was started in vain.
                    before.entrance.set(before.held.running.consumer.clone());
                    self.exporters.insert(id.clone(), before);
                    continue;
                }
                old.exporters.insert(id.clone(), before);
            }
            let plan = self.plans.exporter(id)?;
            let before = old.exporters.get(id).map(|before| before.entrance.clone());
            let entrance = before.or(entrances.remove(id)).unwrap_or_else(Slot::empty);
            let stage = plan.start(id, &self.around).await;
            let stage = stage.map_err(|error| format!("exporters::{id}: {error}"))?;
            changed.started.push(format!("exporters::{id}"));
            entrance.set(stage.consumer.clone());
            let held = Held { node, needs: ids(plan.needs()), running: stage };
            self.exporters.insert(id.clone(), Shared { held, entrance, to: Vec::new() });
        }
        Ok(())
    }

    async fn take_connectors(
        &mut self,
        old: &mut Self,
        changed: &mut Changed,
        fresh: &HashSet<Id>,
    ) -> Result<(), String> {
        let pipelines = self.document.service.pipelines.clone();
        for id in pipelines.iter().flat_map(|pipeline| &pipeline.exporters) {
            let id = &id.id;
            if self.connectors.contains_key(id)
                || self.document.component(Section::Connectors, id).is_none()
            {
                continue;
            }
            let node = self.node(Section::Connectors, id)?;
            let receives = |pipeline: &&config::Pipeline| {
                pipeline.receivers.iter().any(|receiver| receiver.id == *id)
            };
            let to: Vec<PipelineId> =
                pipelines.iter().filter(receives).map(|pipeline| pipeline.id.clone()).collect();
            if let Some(before) = old.connectors.remove(id) {
                if before.held.is_same(&node, fresh) && before.to == to {
                    before.entrance.set(before.held.running.consumer.clone());
                    self.connectors.insert(id.clone(), before);
                    continue;
                }
                old.connectors.insert(id.clone(), before);
            }
            let plan = self.plans.connector(id)?;
            let before = old.connectors.get(id);
            let entrance = before.map_or_else(Slot::empty, |before| before.entrance.clone());
            let entrances = to.iter().map(|to| (to.clone(), self.pipelines[to].entrance.clone()));
            let stage = plan.start(id, &self.around, entrances.collect()).await;
            let stage = stage.map_err(|error| format!("connectors::{id}: {error}"))?;
            changed.started.push(format!("connectors::{id}"));
            entrance.set(stage.consumer.clone());
            let held = Held { node, needs: ids(plan.needs()), running: stage };
            self.connectors.insert(id.clone(), Shared { held, entrance, to });
        }
        Ok(())
    }

    /// Whether what a pipeline takes survives the end of the process at any moment.
    fn is_durable(&self, id: &PipelineId) -> bool {
        let pipeline = self.document.service.pipelines.iter().find(|own| own.id == *id);
        let Some(pipeline) = pipeline else { return false };
        // Connectors do not go round in circles: the document was checked.
        pipeline.exporters.iter().any(|one| match self.connectors.get(&one.id) {
            Some(connector) => connector.to.iter().any(|to| self.is_durable(to)),
            None => self.exporters.get(&one.id).is_some_and(|own| own.held.running.is_durable),
        })
    }

    async fn take_pipelines(
        &mut self,
        old: &mut Self,
        changed: &mut Changed,
        fresh: &HashSet<Id>,
    ) -> Result<(), String> {
        for pipeline in self.document.service.pipelines.clone() {
            let exits = pipeline.exporters.iter().filter_map(|one| {
                let shared = self.connectors.get(&one.id).or(self.exporters.get(&one.id))?;
                Some(Arc::new(shared.entrance.clone()) as Arc<dyn Consumer>)
            });
            let exit: Arc<dyn Consumer> = FanOut::of(exits.collect());
            let mut processors: Vec<Processor> = Vec::new();
            let built =
                self.take_processors(old, changed, fresh, &pipeline, exit, &mut processors).await;
            processors.reverse();
            // Also after a failure, which must find what was taken over and what was started.
            if let Some(own) = self.pipelines.get_mut(&pipeline.id) {
                own.processors = processors;
                own.entrance.set(built?);
            }
        }
        Ok(())
    }

    /// A pipeline's processors, last ones first; gives what stands at its beginning.
    async fn take_processors(
        &self,
        old: &mut Self,
        changed: &mut Changed,
        fresh: &HashSet<Id>,
        pipeline: &config::Pipeline,
        exit: Arc<dyn Consumer>,
        processors: &mut Vec<Processor>,
    ) -> Result<Arc<dyn Consumer>, String> {
        let durable_behind = self.is_durable(&pipeline.id);
        let mut next = exit;
        for reference in pipeline.processors.iter().rev() {
            let id = &reference.id;
            let node = self.node(Section::Processors, id)?;
            let before = old.pipelines.get_mut(&pipeline.id).and_then(|old| {
                let is_same = |own: &Processor| {
                    own.id == *id
                        && own.durable_behind == durable_behind
                        && own.held.is_same(&node, fresh)
                };
                let at = old.processors.iter().position(is_same)?;
                Some(old.processors.remove(at))
            });
            let processor = match before {
                Some(before) => {
                    before.next.set(next);
                    before
                }
                None => {
                    let plan = self.plans.processor(id)?;
                    let slot = Slot::new(next);
                    let behind = Arc::new(slot.clone());
                    let name = processor_name(id, &pipeline.id);
                    let stage = plan.start(id, &self.around, behind, durable_behind).await;
                    let stage = stage.map_err(|error| format!("{name}: {error}"))?;
                    changed.started.push(name);
                    let held = Held { node, needs: ids(plan.needs()), running: stage };
                    Processor { id: id.clone(), held, next: slot, durable_behind }
                }
            };
            next = processor.held.running.consumer.clone();
            processors.push(processor);
        }
        Ok(next)
    }

    async fn take_receivers(
        &mut self,
        old: &mut Self,
        changed: &mut Changed,
        fresh: &HashSet<Id>,
    ) -> Result<(), String> {
        let pipelines = self.document.service.pipelines.clone();
        // All that are gone or change give their ports free before any of the others listens:
        // ports may go from one to the other.
        let leaving =
            old.receivers.extract_if(|id, before| !self.keeps_receiver(id, before, fresh));
        self.end_receivers(leaving.collect(), changed).await;
        for id in pipelines.iter().flat_map(|pipeline| &pipeline.receivers) {
            let id = &id.id;
            if self.receivers.contains_key(id)
                || self.document.component(Section::Receivers, id).is_none()
            {
                continue;
            }
            let node = self.node(Section::Receivers, id)?;
            let entrances = pipelines
                .iter()
                .filter(|pipeline| pipeline.receivers.iter().any(|receiver| receiver.id == *id))
                .map(|pipeline| {
                    Arc::new(self.pipelines[&pipeline.id].entrance.clone()) as Arc<dyn Consumer>
                });
            let to = FanOut::of(entrances.collect());
            if let Some(before) = old.receivers.remove(id) {
                before.next.set(to);
                self.receivers.insert(id.clone(), before);
                continue;
            }
            let plan = self.plans.receiver(id)?;
            let next = Slot::new(to);
            let traces = self.around.telemetry.own_traces();
            let behind = Arc::new(Traced::receiver(id, traces, Arc::new(next.clone())));
            let running = plan.start(id, &self.around, behind).await;
            let running = running.map_err(|error| format!("receivers::{id}: {error}"))?;
            changed.started.push(format!("receivers::{id}"));
            let held = Held { node, needs: ids(plan.needs()), running };
            self.receivers.insert(id.clone(), Receiver { held, next });
        }
        Ok(())
    }

    /// Stops everything, in the direction in which data flows. Tells how many items are left.
    pub async fn stop(&mut self) -> u64 {
        self.stop_rest(&mut Vec::new()).await
    }

    async fn stop_rest(&mut self, stopped: &mut Vec<String>) -> u64 {
        let mut left = 0;
        let end = Instant::now() + STOP_TIMEOUT_ALL;
        let deadline = || deadline().min(end).max(Instant::now() + STOP_LEAST);
        let receivers = self.receivers.drain().map(|(id, receiver)| async move {
            (format!("receivers::{id}"), receiver.held.running.stop(deadline()).await)
        });
        let (readers, others): (Vec<_>, Vec<_>) =
            self.extensions.drain(..).partition(|(_, held)| held.running.reads_exporters());
        self.extensions = others;
        let readers = readers.into_iter().map(|(id, held)| async move {
            (format!("extensions::{id}"), held.running.stop(deadline()).await)
        });
        // Those that let something in, side by side.
        let (receivers, readers) = tokio::join!(join_all(receivers), join_all(readers));
        for (name, items) in receivers.into_iter().chain(readers) {
            stopped.push(name);
            left += items;
        }
        // Pipelines that others hand on to come after these. Those that do not feed each other end
        // together: each may take its time.
        for level in self.in_order() {
            let own = level.iter().filter_map(|id| Some((id, self.pipelines.remove(id)?)));
            let ends = own.map(|(id, pipeline)| stop_processors(id, pipeline, deadline()));
            for (names, items) in join_all(ends).await {
                stopped.extend(names);
                left += items;
            }
            let exits = |id: &PipelineId| {
                let own = self.document.service.pipelines.iter().find(|own| own.id == *id);
                own.into_iter().flat_map(|own| &own.exporters).map(|one| one.id.clone())
            };
            let feeds: HashSet<Id> = self.pipelines.keys().flat_map(exits).collect();
            let ended: Vec<Id> =
                level.iter().flat_map(exits).filter(|id| !feeds.contains(id)).collect();
            for id in ended {
                if let Some(connector) = self.connectors.remove(&id) {
                    left += connector.held.running.running.stop(deadline()).await;
                    stopped.push(format!("connectors::{id}"));
                }
            }
        }
        let shared = self.connectors.drain().chain(self.exporters.drain());
        let shared = shared.map(|(id, shared)| async move {
            (id, shared.held.running.running.stop(deadline()).await)
        });
        for (id, items) in join_all(shared).await {
            stopped.push(format!("exporters::{id}"));
            left += items;
        }
        for (id, held) in self.extensions.drain(..).rev() {
            left += held.running.stop(deadline()).await;
            stopped.push(format!("extensions::{id}"));
        }
        left
    }

    /// The pipelines, those that hand on to others first.
    fn in_order(&self) -> Vec<Vec<PipelineId>> {
        let mut order: Vec<Vec<PipelineId>> = Vec::new();
        let mut left: Vec<&config::Pipeline> = self.document.service.pipelines.iter().collect();
        while !left.is_empty() {
            let feeds = |one: &config::Pipeline, other: &config::Pipeline| {
                one.id != other.id
                    && one.exporters.iter().any(|exit| {
                        other.receivers.iter().any(|entry| entry.id == exit.id)
                            && self.document.component(Section::Connectors, &exit.id).is_some()
                    })
            };
            let (later, now): (Vec<_>, Vec<_>) =
                left.iter().partition(|own| left.iter().any(|other| feeds(other, own)));
            // A circle was ruled out; were there one, the order would not matter.
            let now = if now.is_empty() { left.clone() } else { now };
            order.push(now.iter().map(|own| own.id.clone()).collect());
            left = if later.len() == left.len() { Vec::new() } else { later };
        }
        // Of an old document, pipelines that are not in it any more.
        let is_known = |id: &&PipelineId| order.iter().any(|level| level.contains(id));
        let others = self.pipelines.keys().filter(|id| !is_known(id)).cloned().collect();
        order.push(others);
        order
    }
}

impl<T> Held<T> {
    fn is_same(&self, node: &Node, fresh: &HashSet<Id>) -> bool {
        self.node.is_same(node) && !self.needs.iter().any(|id| fresh.contains(id))
    }
}

fn ids(needs: Vec<Need>) -> Vec<Id> {
    needs.into_iter().map(|need| need.id).collect()
}

fn layout(document: &Document) -> Layout {
    let ids = |list: &[Reference]| list.iter().map(|one| one.id.clone()).collect();
    let pipelines = document.service.pipelines.iter().map(|own| PipelineLayout {
        id: own.id.clone(),
        receivers: ids(&own.receivers),
        processors: ids(&own.processors),
        exporters: ids(&own.exporters),
    });
    Layout {
        since: Some(SystemTime::now()),
        extensions: ids(&document.service.extensions),
        pipelines: pipelines.collect(),
    }
}

/// Stops a pipeline's processors as data flows, within one time for all; tells their names, and
/// how many items are left.
async fn stop_processors(
    id: &PipelineId,
    pipeline: Pipeline,
    deadline: Instant,
) -> (Vec<String>, u64) {
    let (mut names, mut left) = (Vec::new(), 0);
    for processor in pipeline.processors {
        let own = deadline.max(Instant::now() + STOP_LEAST);
        left += processor.held.running.running.stop(own).await;
        names.push(processor_name(&processor.id, id));
    }
    (names, left)
}

fn processor_name(id: &Id, pipeline: &PipelineId) -> String {
    format!("processors::{id} of {pipeline}")
}

fn deadline() -> Instant {
    Instant::now() + STOP_TIMEOUT
}
