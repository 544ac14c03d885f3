//! Whether pipelines can be joined as they are.

use std::collections::HashMap;

use super::{Component, Document, Pipeline, Reference};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::id::{Id, Section, Signal};
use crate::known::{Known, Status};

/// The most places that a message about a connector names.
const PLACES_MAX: usize = 8;

/// Reports connectors whose id another component has, that lead nowhere, or back to where they
/// come from; and components in pipelines of signals that they do not know.
pub(super) fn check(document: &Document, known: &Known, diagnostics: &mut Diagnostics) {
    let joins = Joins::of(document, known);
    for connector in &document.connectors {
        ambiguous(&joins, connector, diagnostics);
        joins.one_side(connector, diagnostics);
    }
    signals(&joins, diagnostics);
    joins.cycles(diagnostics);
}

/// A pipeline and where it names a component.
type Use<'a> = (&'a Pipeline, &'a Reference);

/// Who names whom.
struct Joins<'a> {
    known: &'a Known,
    pipelines: &'a [Pipeline],
    components: HashMap<(Section, &'a Id), &'a Component>,
    /// Pipelines that name an id among their exporters.
    inputs: HashMap<&'a Id, Vec<Use<'a>>>,
    /// Pipelines that name an id among their receivers, and their indexes.
    outputs: HashMap<&'a Id, Vec<(usize, Use<'a>)>>,
}

fn ambiguous(joins: &Joins<'_>, connector: &Component, diagnostics: &mut Diagnostics) {
    for section in [Section::Receivers, Section::Exporters] {
        let Some(other) = joins.components.get(&(section, &connector.id)) else {
            continue;
        };
        let (id, one) = (&connector.id, section.one());
        let error = format!(
            "connectors::{id}: ambiguous ID: Found both \"{id}\" {one} and \"{id}\" connector. \
             Change one of the components' IDs to eliminate ambiguity (e.g. rename \"{id}\" \
             connector to \"{id}/connector\")"
        );
        let error = Diagnostic::error(error)
            .at(connector.at, "the connector")
            .at(other.at, format!("the {one} of the same id"));
        diagnostics.push(error);
    }
}

/// Components that are here and do not know a pipeline's signal.
fn signals(joins: &Joins<'_>, diagnostics: &mut Diagnostics) {
    for pipeline in joins.pipelines {
        let lists = [
            (Section::Receivers, &pipeline.receivers),
            (Section::Processors, &pipeline.processors),
            (Section::Exporters, &pipeline.exporters),
        ];
        for (section, list) in lists {
            for reference in list {
                let component = joins.components.get(&(section, &reference.id));
                let status = component.and_then(|component| status(component, joins.known));
                let Some(Status::Here(signals)) = status else {
                    continue;
                };
                if signals.contains(&pipeline.id.signal) {
                    continue;
                }
                let error = format!(
                    "failed to build pipelines: failed to create {:?} {} for data type \"{}\": \
                     telemetry type is not supported",
                    reference.node.shown(),
                    section.one(),
                    pipeline.id.signal,
                );
                let names: Vec<_> = signals.iter().map(|signal| signal.name()).collect();
                let names = names.join(" and ");
                let label = format!("it works in pipelines of {names}");
                let error = Diagnostic::error(error).at_node(&reference.node, label);
                let error = error.at(pipeline.at, "used in this one");
                // Without what it receives the rest of the pipeline is of no use.
                diagnostics.push(match section {
                    Section::Receivers => {
                        let signal = &pipeline.id.signal;
                        error.help(format!(
                            "take the pipeline out, or keep a Collector for {signal}: Spanfall \
                             receives {names}"
                        ))
                    }
                    _ => error,
                });
            }
        }
    }
}

fn status(component: &Component, known: &Known) -> Option<Status> {
    known.find(component.section, component.kind?).map(|kind| kind.status)
}

impl<'a> Joins<'a> {
    fn of(document: &'a Document, known: &'a Known) -> Self {
        let pipelines = &document.service.pipelines;
        let components = Section::ALL.iter().flat_map(|section| document.section(*section));
        let components = components.map(|one| ((one.section, &one.id), one)).collect();
        let mut inputs: HashMap<&Id, Vec<Use<'_>>> = HashMap::new();
        let mut outputs: HashMap<&Id, Vec<(usize, Use<'_>)>> = HashMap::new();
        for (index, pipeline) in pipelines.iter().enumerate() {
            for reference in &pipeline.exporters {
                inputs.entry(&reference.id).or_default().push((pipeline, reference));
            }
            for reference in &pipeline.receivers {
                outputs.entry(&reference.id).or_default().push((index, (pipeline, reference)));
            }
        }
        Self { known, pipelines, components, inputs, outputs }
    }

    /// The pairs of signals that a connector carries; nothing if that is not known.
    fn pairs(&self, connector: &Component) -> Option<&'static [(Signal, Signal)]> {
        match status(connector, self.known) {
            Some(Status::Connects(pairs)) => Some(pairs),
            _ => None,
        }
    }

    /// Every use on one side needs one on the other that its signal can be carried to.
    fn one_side(&self, connector: &Component, diagnostics: &mut Diagnostics) {
        let pairs = self.pairs(connector);
        let from = self.inputs.get(&connector.id).cloned().unwrap_or_default();
        let to = self.outputs.get(&connector.id).cloned().unwrap_or_default();
        let to: Vec<Use<'_>> = to.into_iter().map(|(_, one)| one).collect();
        let is_used =
            |list: &[Use<'_>], signal| list.iter().any(|(one, _)| one.id.signal == signal);
        let from_signals = Signal::ALL.map(|signal| is_used(&from, signal));
        let to_signals = Signal::ALL.map(|signal| is_used(&to, signal));
        let sides = [
            (&from, &to, to_signals, "exporter", "receiver"),
            (&to, &from, from_signals, "receiver", "exporter"),
        ];
        for (these, others, other_signals, here, there) in sides {
            let is_carried = |signal: Signal| {
                let others = Signal::ALL.into_iter().zip(other_signals);
                others.filter(|(_, is_used)| *is_used).any(|(other, _)| match here {
                    "exporter" => can_carry(pairs, signal, other),
                    _ => can_carry(pairs, other, signal),
                })
            };
            let carried = Signal::ALL.map(is_carried);
            let is_lost = |(pipeline, _): &&Use<'_>| {
                let mut signals = Signal::ALL.into_iter().zip(carried);
                signals.any(|(signal, is_carried)| signal == pipeline.id.signal && !is_carried)
            };
            let lost: Vec<&Use<'_>> = these.iter().filter(is_lost).collect();
            if !lost.is_empty() {
                diagnostics.push(lost_error(connector, &lost, others, pairs, (here, there)));
            }
        }
    }

    /// Ways that lead back to where they start. What is found depends on where the search starts,
    /// so that not every one of several intertwined ways is named.
    fn cycles(&self, diagnostics: &mut Diagnostics) {
        let graph = Graph::of(self);
        let mut states = vec![State::New; graph.edges.len()];
        for start in 0..self.pipelines.len() {
            // Without recursion: there may be as many pipelines as fit in a document.
            let mut path: Vec<(usize, usize)> = Vec::new();
            if states.get(start) == Some(&State::New) {
                enter(start, &mut states, &mut path);
            }
            while let Some((at, next)) = path.last_mut() {
                let edge = graph.edges.get(*at).and_then(|edges| edges.get(*next)).copied();
                *next += 1;
                let Some(to) = edge else {
                    if let Some(state) = states.get_mut(*at) {
                        *state = State::Done;
                    }
                    path.pop();
                    continue;
                };
                match states.get(to) {
                    Some(State::New) => enter(to, &mut states, &mut path),
                    Some(State::Open) if diagnostics.is_full() => diagnostics.leave_out(),
                    Some(State::Open) => {
                        let from = path.iter().position(|(node, _)| *node == to).unwrap_or(0);
                        let cycle: Vec<usize> =
                            path.iter().skip(from).map(|(node, _)| *node).collect();
                        diagnostics.push(self.cycle_error(&graph, &cycle));
                    }
                    _ => {}
                }
            }
        }
    }

    /// A cycle in the Collector's words: connectors, and the processors between them.
    fn cycle_error(&self, graph: &Graph<'_>, cycle: &[usize]) -> Diagnostic {
        let first = cycle.iter().position(|node| *node < self.pipelines.len()).unwrap_or(0);
        let around = |at: usize| cycle.get((first + at) % cycle.len().max(1)).copied();
        let pipeline = |node: Option<usize>| self.pipelines.get(node?);
        // A pipeline, the connector that it goes out by, and the pipeline where that leads.
        let steps: Vec<(&Pipeline, &Reference, &Pipeline)> = (0..cycle.len())
            .step_by(2)
            .filter_map(|at| {
                let (from, to) = (pipeline(around(at))?, pipeline(around(at + 2))?);
                let id =
                    graph.connectors.get(around(at + 1)?.checked_sub(self.pipelines.len())?)?;
                Some((from, from.exporters.iter().find(|reference| reference.id == **id)?, to))
            })
            .collect();
        let name = |(from, connector, to): &(&Pipeline, &Reference, &Pipeline)| {
            let shown = connector.node.shown();
            format!("connector {shown:?} ({} to {})", from.id.signal, to.id.signal)
        };
        let mut parts: Vec<String> = steps.last().map(name).into_iter().collect();
        for step in &steps {
            let (pipeline, ..) = step;
            let processors = pipeline.processors.iter().map(|processor| {
                let shown = processor.node.shown();
                format!("processor {shown:?} in pipeline \"{}\"", pipeline.id)
            });
            parts.extend(processors);
            parts.push(name(step));
        }
        let mut error = Diagnostic::error(format!("cycle detected: {}", parts.join(" -> ")));
        for (index, (from, connector, to)) in steps.iter().take(PLACES_MAX).enumerate() {
            let and = if index == 0 { "leads" } else { "and" };
            error = error.at(connector.at, format!("{and} from {} to {}", from.id, to.id));
        }
        error.help("what goes around would never come out: take one of these away")
    }
}

fn can_carry(pairs: Option<&[(Signal, Signal)]>, from: Signal, to: Signal) -> bool {
    pairs.is_none_or(|pairs| pairs.contains(&(from, to)))
}

fn lost_error(
    connector: &Component,
    lost: &[&Use<'_>],
    others: &[Use<'_>],
    pairs: Option<&[(Signal, Signal)]>,
    (here, there): (&str, &str),
) -> Diagnostic {
    let names: Vec<_> = lost.iter().map(|(pipeline, _)| pipeline.id.to_string()).collect();
    let mut error = Diagnostic::error(format!(
        "connector \"{}\" used as {here} in [{}] pipeline but not used in any supported {there} \
         pipeline",
        connector.id,
        names.join(" "),
    ));
    let label = match here {
        "exporter" => "what goes in here comes out nowhere",
        _ => "nothing goes in that could come out here",
    };
    for (index, (_, reference)) in lost.iter().take(PLACES_MAX).enumerate() {
        error = match index {
            0 => error.at_node(&reference.node, label),
            _ => error.at(reference.at, "nor here"),
        };
    }
    for (_, other) in others.iter().take(PLACES_MAX) {
        error = error.at(other.at, "it does not carry between these two signals");
    }
    if let (Some(pairs), false) = (pairs, others.is_empty()) {
        let pairs: Vec<_> = pairs.iter().map(|(from, to)| format!("{from} to {to}")).collect();
        error = error.note(format!("it carries {}", pairs.join(", ")));
    }
    error.help(format!("name it in the {there}s of another pipeline"))
}

/// Pipelines, and behind them connectors, one for each signal that goes in; by index.
struct Graph<'a> {
    edges: Vec<Vec<usize>>,
    connectors: Vec<&'a Id>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

fn enter(node: usize, states: &mut [State], path: &mut Vec<(usize, usize)>) {
    if let Some(state) = states.get_mut(node) {
        *state = State::Open;
    }
    path.push((node, 0));
}

impl<'a> Graph<'a> {
    fn of(joins: &Joins<'a>) -> Self {
        let count = joins.pipelines.len();
        let mut numbers: HashMap<(&Id, Signal), usize> = HashMap::new();
        let (mut connectors, mut leaving) = (Vec::new(), Vec::new());
        let mut edges: Vec<Vec<usize>> = Vec::with_capacity(count);
        for pipeline in joins.pipelines {
            let mut ways = Vec::new();
            for reference in &pipeline.exporters {
                let id = &reference.id;
                let Some(connector) = joins.components.get(&(Section::Connectors, id)) else {
                    continue;
                };
                let from = pipeline.id.signal;
                let number = *numbers.entry((id, from)).or_insert_with(|| {
                    let pairs = joins.pairs(connector);
                    let to = joins.outputs.get(id).into_iter().flatten();
                    let to = to.filter(|(_, (to, _))| can_carry(pairs, from, to.id.signal));
                    leaving.push(to.map(|(index, _)| *index).collect());
                    connectors.push(id);
                    count + connectors.len() - 1
                });
                ways.push(number);
            }
            edges.push(ways);
        }
        edges.append(&mut leaving);
        Self { edges, connectors }
    }
}
