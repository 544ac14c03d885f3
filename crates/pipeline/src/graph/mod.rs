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
use std::sync::Arc;
use std::time::Duration;

use config::{Document, Id, Node, PipelineId, Section};
use tokio::time::Instant;

pub use plans::{Plans, Registry};

use crate::component::{Extension, Running, Stage, Surroundings};
use crate::consumer::Consumer;
use crate::flow::{FanOut, Slot};

/// How long components may take to hand on what they hold.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

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

    /// Makes the graph what a document says. Starts what is new or has changed, hands over, and
    /// stops what is gone.
    ///
    /// # Errors
    ///
    /// When a component cannot be started: what ran before runs still, unless it could not be
    /// started again either, which is told as well.
    pub async fn apply(&mut self, document: Document, plans: Plans) -> Result<Changed, String> {
        let mut old = std::mem::replace(self, Self::new(self.around.clone()));
        self.document = document;
        self.plans = plans;
        let mut changed = Changed::default();
        match self.take_over(&mut old, &mut changed).await {
            Ok(()) => {
                changed.items_left += old.stop_rest(&mut changed.stopped).await;
                Ok(changed)
            }
            Err(error) => {
                // What was taken over goes back, and what was stopped for it starts again.
                let mut failed = std::mem::replace(self, old);
                let back = self.take_back(&mut failed).await;
                failed.stop_rest(&mut Vec::new()).await;
                Err(match back {
                    Ok(()) => error,
                    Err(more) => format!("{error}; and what ran before cannot go on: {more}"),
                })
            }
        }
    }

    /// Builds from the old graph's components and new ones.
    async fn take_over(&mut self, old: &mut Self, changed: &mut Changed) -> Result<(), String> {
        let fresh_extensions = self.take_extensions(old, changed).await?;
        self.take_entrances(old);
        self.take_exporters(old, changed, &fresh_extensions).await?;
        self.take_connectors(old, changed, &fresh_extensions).await?;
        self.take_pipelines(old, changed, &fresh_extensions).await?;
        self.take_receivers(old, changed, &fresh_extensions).await
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

    /// The extensions that were started anew.
    async fn take_extensions(
        &mut self,
        old: &mut Self,
        changed: &mut Changed,
    ) -> Result<HashSet<Id>, String> {
        let mut fresh = HashSet::new();
        self.around.extensions.clear();
        let wanted: Vec<Id> =
            self.document.service.extensions.iter().map(|one| one.id.clone()).collect();
        for id in wanted {
            let node = self.node(Section::Extensions, &id)?;
            let place = old.extensions.iter().position(|(own, _)| *own == id);
            let same = place.filter(|&at| old.extensions[at].1.node == node);
            let held = match same {
                Some(at) => old.extensions.swap_remove(at).1,
                None => {
                    let plan = self.plans.extension(&id)?;
                    if plan.is_exclusive()
                        && let Some(at) = place
                    {
                        let (_, held) = old.extensions.swap_remove(at);
                        changed.items_left += held.running.stop(deadline()).await;
                    }
                    let running = plan.start(&id, &self.around).await;
                    let running = running.map_err(|error| format!("extensions::{id}: {error}"))?;
                    changed.started.push(format!("extensions::{id}"));
                    fresh.insert(id.clone());
                    Held { node, needs: plan.needs(), running }
                }
            };
            self.around.extensions.insert(id.clone(), held.running.clone());
            self.extensions.push((id, held));
        }
        Ok(fresh)
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
                    self.exporters.insert(id.clone(), before);
                    continue;
                }
                old.exporters.insert(id.clone(), before);
            }
            let plan = self.plans.exporter(id)?;
            let before = old.exporters.get(id);
            let entrance = before.map_or_else(Slot::empty, |before| before.entrance.clone());
            if plan.is_exclusive()
                && let Some(before) = old.exporters.remove(id)
            {
                // Who sends in between is asked to come again.
                entrance.set(Arc::new(Slot::empty()));
                changed.items_left += before.held.running.running.stop(deadline()).await;
            }
            let stage = plan.start(id, &self.around).await;
            let stage = stage.map_err(|error| format!("exporters::{id}: {error}"))?;
            changed.started.push(format!("exporters::{id}"));
            entrance.set(stage.consumer.clone());
            let held = Held { node, needs: plan.needs(), running: stage };
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
            let held = Held { node, needs: plan.needs(), running: stage };
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
            let mut next: Arc<dyn Consumer> = FanOut::of(exits.collect());
            let durable_behind = self.is_durable(&pipeline.id);
            let mut processors: Vec<Processor> = Vec::new();
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
                        let stage = plan.start(id, &self.around, behind, durable_behind).await;
                        let stage = stage.map_err(|error| {
                            format!("processors::{id} of {}: {error}", pipeline.id)
                        })?;
                        changed.started.push(format!("processors::{id} of {}", pipeline.id));
                        let held = Held { node, needs: plan.needs(), running: stage };
                        Processor { id: id.clone(), held, next: slot, durable_behind }
                    }
                };
                next = processor.held.running.consumer.clone();
                // At once, so that a failure further on finds it.
                processors.push(processor);
            }
            processors.reverse();
            if let Some(own) = self.pipelines.get_mut(&pipeline.id) {
                own.entrance.set(next);
                own.processors = processors;
            }
        }
        Ok(())
    }

    async fn take_receivers(
        &mut self,
        old: &mut Self,
        changed: &mut Changed,
        fresh: &HashSet<Id>,
    ) -> Result<(), String> {
        let pipelines = self.document.service.pipelines.clone();
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
                if before.held.is_same(&node, fresh) {
                    before.next.set(to);
                    self.receivers.insert(id.clone(), before);
                    continue;
                }
                // It has the port.
                changed.items_left += before.held.running.stop(deadline()).await;
            }
            let plan = self.plans.receiver(id)?;
            let next = Slot::new(to);
            let running = plan.start(id, &self.around, Arc::new(next.clone())).await;
            let running = running.map_err(|error| format!("receivers::{id}: {error}"))?;
            changed.started.push(format!("receivers::{id}"));
            let held = Held { node, needs: plan.needs(), running };
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
        let receivers = self.receivers.drain().map(|(id, receiver)| async move {
            (format!("receivers::{id}"), receiver.held.running.stop(deadline()).await)
        });
        for (name, items) in futures_util::future::join_all(receivers).await {
            stopped.push(name);
            left += items;
        }
        // Pipelines that others hand on to come after these.
        for id in self.in_order() {
            let Some(pipeline) = self.pipelines.remove(&id) else { continue };
            for processor in pipeline.processors {
                left += processor.held.running.running.stop(deadline()).await;
                stopped.push(format!("processors::{} of {id}", processor.id));
            }
            let exits: Vec<Id> = self
                .document
                .service
                .pipelines
                .iter()
                .filter(|own| own.id == id)
                .flat_map(|own| own.exporters.iter().map(|one| one.id.clone()))
                .collect();
            for id in exits {
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
        for (id, items) in futures_util::future::join_all(shared).await {
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
    fn in_order(&self) -> Vec<PipelineId> {
        let mut order: Vec<PipelineId> = Vec::new();
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
            order.extend(now.iter().map(|own| own.id.clone()));
            left = if later.len() == left.len() { Vec::new() } else { later };
        }
        // Of an old document, pipelines that are not in it any more.
        order.extend(
            self.pipelines.keys().filter(|id| !order.contains(id)).cloned().collect::<Vec<_>>(),
        );
        order
    }
}

impl<T> Held<T> {
    fn is_same(&self, node: &Node, fresh: &HashSet<Id>) -> bool {
        self.node == *node && !self.needs.iter().any(|id| fresh.contains(id))
    }
}

fn deadline() -> Instant {
    Instant::now() + STOP_TIMEOUT
}
