//! The shapes of traces: call trees over the catalog, grown once per seed.

use crate::catalog::Catalog;
use crate::names::Tier;
use crate::operation::OperationId;
use crate::rng::Rng;

/// Spans of the smallest and the largest trace.
pub(crate) const SPANS_MIN: usize = 3;
pub(crate) const SPANS_MAX: usize = 80;

/// Levels of a trace, the root's included.
const DEPTH_MAX: usize = 8;
/// Enough for the share of each operation to depend little on the seed.
const PLANS: usize = 600;

/// How a span lies in its parent's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// After the sibling before it.
    Sequential,
    /// Beside its siblings.
    Parallel,
    /// After its parent's end: a message that is taken later.
    Detached,
}

/// A span of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Index in the plan; the root has its own.
    pub(crate) parent: u8,
    /// Children for which the parent waits.
    pub(crate) children: u8,
    pub(crate) join: Join,
    pub(crate) operation: OperationId,
    pub(crate) service: u16,
}

/// All shapes. Steps are in pre-order.
#[derive(Debug, Clone)]
pub(crate) struct Plans {
    steps: Vec<Step>,
    /// Where each plan ends.
    ends: Vec<u32>,
}

impl Plans {
    pub(crate) fn new(rng: &mut Rng, catalog: &Catalog) -> Self {
        let mut plans = Self { steps: Vec::new(), ends: Vec::new() };
        for index in 0..PLANS {
            let quantile = (index as f64 + 0.5) / PLANS as f64;
            let mut growth = Growth::new(rng, catalog, size(quantile));
            growth.grow();
            growth.flatten(&mut plans.steps);
            plans.ends.push(plans.steps.len() as u32);
        }
        plans
    }

    #[inline]
    pub(crate) fn pick(&self, rng: &mut Rng) -> &[Step] {
        let index = rng.below(self.ends.len() as u32) as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.steps[start as usize..self.ends[index] as usize]
    }
}

/// Spans of a trace by quantile: straight lines between five points, with a mean of 15.
fn size(quantile: f64) -> usize {
    const POINTS: [(f64, f64); 5] =
        [(0.0, SPANS_MIN as f64), (0.5, 11.0), (0.85, 22.0), (0.97, 45.0), (1.0, SPANS_MAX as f64)];
    let upper = POINTS.iter().position(|&(at, _)| at > quantile).unwrap_or(POINTS.len() - 1);
    let ((x0, y0), (x1, y1)) = (POINTS[upper - 1], POINTS[upper]);
    (y0 + (quantile - x0) / (x1 - x0) * (y1 - y0)).round() as usize
}

struct Node {
    operation: OperationId,
    service: u16,
    depth: usize,
    join: Join,
    children: Vec<usize>,
    calls_in_parallel: bool,
}

struct Growth<'a> {
    rng: &'a mut Rng,
    catalog: &'a Catalog,
    spans: usize,
    nodes: Vec<Node>,
    /// Nodes in which own code runs, so that they can call.
    open: Vec<usize>,
}

impl<'a> Growth<'a> {
    fn new(rng: &'a mut Rng, catalog: &'a Catalog, spans: usize) -> Self {
        let edges: Vec<usize> = (0..catalog.services.len())
            .filter(|&service| !catalog.services[service].entries.is_empty())
            .collect();
        // The lower of two draws: the first services and routes are the busy ones.
        let edge = edges[rng.below(edges.len() as u32).min(rng.below(edges.len() as u32)) as usize];
        let entries = &catalog.services[edge].entries;
        let entry = rng.below(entries.len() as u32).min(rng.below(entries.len() as u32)) as usize;
        let operation = entries[entry];
        let mut growth = Self { rng, catalog, spans, nodes: Vec::new(), open: Vec::new() };
        growth.add(None, operation, edge as u16, Join::Sequential, true);
        growth
    }

    fn add(
        &mut self,
        parent: Option<usize>,
        operation: OperationId,
        service: u16,
        join: Join,
        is_open: bool,
    ) -> usize {
        let depth = parent.map_or(1, |parent| self.nodes[parent].depth + 1);
        let index = self.nodes.len();
        self.nodes.push(Node {
            operation,
            service,
            depth,
            join,
            children: Vec::new(),
            calls_in_parallel: self.rng.chance_of_1024(150),
        });
        if let Some(parent) = parent {
            self.nodes[parent].children.push(index);
        }
        if is_open && depth < DEPTH_MAX {
            self.open.push(index);
        }
        index
    }

    fn grow(&mut self) {
        while self.nodes.len() < self.spans {
            let parent = self.parent();
            let left = self.spans - self.nodes.len();
            let room_for_pair = left >= 2 && self.nodes[parent].depth + 2 <= DEPTH_MAX;
            match self.rng.below(100) {
                0..36 if room_for_pair => self.call(parent),
                36..40 if room_for_pair => self.send(parent),
                40..61 => self.query(parent, left),
                61..72 => {
                    let service = self.nodes[parent].service;
                    let commands = &self.catalog.services[usize::from(service)].commands;
                    let operation = *self.rng.pick(commands);
                    let join = self.join(parent);
                    self.add(Some(parent), operation, service, join, false);
                }
                _ => self.function(parent),
            }
        }
    }

    /// The one with fewer children of two, so that traces are neither brooms nor ropes.
    fn parent(&mut self) -> usize {
        let a = *self.rng.pick(&self.open);
        let b = *self.rng.pick(&self.open);
        if self.nodes[a].children.len() <= self.nodes[b].children.len() { a } else { b }
    }

    fn join(&self, parent: usize) -> Join {
        if self.nodes[parent].calls_in_parallel { Join::Parallel } else { Join::Sequential }
    }

    fn function(&mut self, parent: usize) {
        let service = self.nodes[parent].service;
        let functions = &self.catalog.services[usize::from(service)].functions;
        let operation = *self.rng.pick(functions);
        let join = self.join(parent);
        self.add(Some(parent), operation, service, join, true);
    }

    fn query(&mut self, parent: usize, left: usize) {
        let service = self.nodes[parent].service;
        let queries = &self.catalog.services[usize::from(service)].queries;
        let operation = *self.rng.pick(queries);
        let join = self.join(parent);
        // One in ten asks for each row alone.
        let times = if self.rng.below(10) == 0 { 3 + self.rng.below(5) as usize } else { 1 };
        for _ in 0..times.min(left) {
            self.add(Some(parent), operation, service, join, false);
        }
    }

    fn call(&mut self, parent: usize) {
        let caller = self.nodes[parent].service;
        let dependencies = &self.catalog.services[usize::from(caller)].dependencies;
        if dependencies.is_empty() {
            return self.function(parent);
        }
        let callee = *self.rng.pick(dependencies);
        let endpoint = *self.rng.pick(&self.catalog.services[usize::from(callee)].endpoints);
        let join = self.join(parent);
        let client = self.add(Some(parent), endpoint.client, caller, join, false);
        self.add(Some(client), endpoint.server, callee, Join::Sequential, true);
    }

    fn send(&mut self, parent: usize) {
        let sender = self.nodes[parent].service;
        let workers: Vec<usize> = (0..self.catalog.services.len())
            .filter(|&it| {
                self.catalog.services[it].tier == Tier::Worker && it != usize::from(sender)
            })
            .collect();
        if workers.is_empty() {
            return self.function(parent);
        }
        let worker = *self.rng.pick(&workers);
        if let Some(topic) = self.catalog.services[worker].topic {
            let join = self.join(parent);
            let producer = self.add(Some(parent), topic.client, sender, join, false);
            self.add(Some(producer), topic.server, worker as u16, Join::Detached, true);
        }
    }

    fn flatten(&self, out: &mut Vec<Step>) {
        let first = out.len();
        let mut stack = vec![(0, 0)];
        while let Some((index, parent)) = stack.pop() {
            let node = &self.nodes[index];
            let place = (out.len() - first) as u8;
            let waits_for = |&&child: &&usize| self.nodes[child].join != Join::Detached;
            out.push(Step {
                parent,
                children: node.children.iter().filter(waits_for).count() as u8,
                join: node.join,
                operation: node.operation,
                service: node.service,
            });
            stack.extend(node.children.iter().rev().map(|&child| (child, place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_promised_mean_and_ends() {
        let sizes: Vec<usize> = (0..1000).map(|it| size((it as f64 + 0.5) / 1000.0)).collect();
        let mean = sizes.iter().sum::<usize>() as f64 / 1000.0;
        assert!((14.5..15.7).contains(&mean), "{mean}");
        assert_eq!(sizes[0], SPANS_MIN);
        assert!(sizes[999] >= SPANS_MAX - 1);
    }

    #[test]
    fn plans_grow_over_any_number_of_services() {
        for services in [1, 2, 3, 20, 200] {
            let mut rng = Rng::new(services);
            let catalog = Catalog::new(&mut rng, services as usize);
            let plans = Plans::new(&mut rng, &catalog);
            for _ in 0..200 {
                let plan = plans.pick(&mut rng);
                assert!((SPANS_MIN..=SPANS_MAX).contains(&plan.len()), "{services} services");
                for (index, step) in plan.iter().enumerate().skip(1) {
                    assert!(usize::from(step.parent) < index, "pre-order");
                }
            }
        }
    }
}
