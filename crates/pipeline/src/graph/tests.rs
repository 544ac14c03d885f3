//! The graph with components that note what is done to them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use config::{Diagnostics, Known, Reader, Signal, Status, System};
use model::SpanBatch;
use parking_lot::Mutex;

use super::*;
use crate::component::{
    ConnectorPlan, ExporterPlan, ExtensionPlan, Plan, ProcessorPlan, ReceiverPlan, Running, Stage,
};
use crate::consumer::Refusal;
use crate::data::{Data, Request};
use crate::processors::testing::one;
use crate::receivers::ByteBudget;

const TRACES: Status = Status::Here(&[Signal::Traces]);

fn known() -> Known {
    const fn kind(name: &'static str, status: Status) -> config::Kind {
        config::Kind { name, status }
    }
    static RECEIVERS: [config::Kind; 1] = [kind("source", TRACES)];
    static PROCESSORS: [config::Kind; 1] = [kind("mark", TRACES)];
    static EXPORTERS: [config::Kind; 1] = [kind("sink", TRACES)];
    static CONNECTORS: [config::Kind; 1] =
        [kind("bridge", Status::Connects(&[(Signal::Traces, Signal::Traces)]))];
    static EXTENSIONS: [config::Kind; 1] = [kind("guard", Status::Here(&[]))];
    Known {
        receivers: &RECEIVERS,
        processors: &PROCESSORS,
        exporters: &EXPORTERS,
        connectors: &CONNECTORS,
        extensions: &EXTENSIONS,
    }
}

/// Everything that happens, in order.
#[derive(Default)]
struct World {
    events: Mutex<Vec<String>>,
    /// Entrances of receivers, by what their settings call them.
    sources: Mutex<HashMap<String, Arc<dyn Consumer>>>,
    /// Names that cannot be started.
    broken: Mutex<Vec<String>>,
    /// Ports and files that are taken.
    places: Mutex<HashSet<String>>,
    instances: AtomicU64,
    /// Connections that the receiver started last may have.
    connections_max: AtomicUsize,
}

impl World {
    fn say(&self, event: String) {
        self.events.lock().push(event);
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock())
    }

    fn start(&self, name: &str) -> Result<u64, String> {
        if self.broken.lock().iter().any(|broken| broken == name) {
            return Err("as the test wants".to_owned());
        }
        Ok(self.instances.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Sends a span into a receiver, and tells what happened.
    async fn send(&self, source: &str) -> Vec<String> {
        self.events();
        let entrance = self.sources.lock().get(source).cloned();
        let answer = entrance.expect("a receiver").consume(Request::traces(one(vec![]))).await;
        let mut events = self.events();
        if let Err(refusal) = answer {
            events.push(refusal.to_string());
        }
        events
    }
}

/// A component of any section.
struct Part {
    world: Arc<World>,
    name: String,
    exclusive: bool,
    /// What no two can have.
    place: Option<String>,
    /// The same, and it listens there.
    port: Option<u16>,
    /// Ends at its deadline.
    slow: bool,
}

/// Which notes its end.
struct Alive {
    world: Arc<World>,
    name: String,
    places: Vec<String>,
    port: Option<u16>,
    slow: bool,
}

#[async_trait]
impl Running for Alive {
    async fn stop(&self, deadline: Instant) -> u64 {
        if self.slow {
            tokio::time::sleep_until(deadline).await;
        }
        self.world.sources.lock().remove(&self.name);
        for place in &self.places {
            self.world.places.lock().remove(place);
        }
        self.world.say(format!("stop {}", self.name));
        0
    }

    fn addresses(&self) -> Vec<(&'static str, Address)> {
        let address = |port: &u16| Address::Tcp(SocketAddr::from(([127, 0, 0, 1], *port)));
        self.port.iter().map(|port| ("", address(port))).collect()
    }
}

/// Which notes what passes: its name, and which instance of it this is.
struct Noting {
    world: Arc<World>,
    name: String,
    to: Vec<Arc<dyn Consumer>>,
}

#[async_trait]
impl Consumer for Noting {
    async fn consume(&self, request: Request) -> Result<(), Refusal> {
        assert!(matches!(request.data, Data::Traces(_)));
        self.world.say(self.name.clone());
        for to in &self.to {
            to.consume(request.clone()).await?;
        }
        Ok(())
    }
}

impl Part {
    fn alive(&self) -> Result<Alive, String> {
        let port = self.port.map(|port| format!("port {port}"));
        let places: Vec<String> = self.place.iter().cloned().chain(port).collect();
        for place in &places {
            if !self.world.places.lock().insert(place.clone()) {
                return Err(format!("{place} is taken"));
            }
        }
        let (world, name) = (self.world.clone(), self.name.clone());
        Ok(Alive { world, name, places, port: self.port, slow: self.slow })
    }

    fn stage(&self, to: Vec<Arc<dyn Consumer>>) -> Result<Stage, String> {
        let instance = self.world.start(&self.name)?;
        let name = format!("{}#{instance}", self.name);
        let consumer = Noting { world: self.world.clone(), name, to };
        let running = self.alive()?;
        Ok(Stage { running: Arc::new(running), ..Stage::still(Arc::new(consumer)) })
    }
}

impl Plan for Part {
    fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    fn ports(&self) -> Vec<u16> {
        self.port.into_iter().collect()
    }
}

#[async_trait]
impl ReceiverPlan for Part {
    async fn start(
        &self,
        _: &Id,
        around: &Surroundings,
        next: Arc<dyn Consumer>,
    ) -> Result<Arc<dyn Running>, String> {
        self.world.connections_max.store(around.connections_max, Ordering::Relaxed);
        self.world.start(&self.name)?;
        let alive = self.alive()?;
        self.world.sources.lock().insert(self.name.clone(), next);
        Ok(Arc::new(alive))
    }
}

#[async_trait]
impl ProcessorPlan for Part {
    async fn start(
        &self,
        _: &Id,
        _: &Surroundings,
        next: Arc<dyn Consumer>,
        _: bool,
    ) -> Result<Stage, String> {
        self.stage(vec![next])
    }
}

#[async_trait]
impl ExporterPlan for Part {
    async fn start(&self, _: &Id, _: &Surroundings) -> Result<Stage, String> {
        self.stage(vec![])
    }
}

#[async_trait]
impl ConnectorPlan for Part {
    async fn start(
        &self,
        _: &Id,
        _: &Surroundings,
        to: Vec<(PipelineId, Slot)>,
    ) -> Result<Stage, String> {
        self.stage(to.into_iter().map(|(_, slot)| Arc::new(slot) as Arc<dyn Consumer>).collect())
    }
}

impl Extension for Alive {}

#[async_trait]
impl ExtensionPlan for Part {
    async fn start(&self, _: &Id, _: &Surroundings) -> Result<Arc<dyn Extension>, String> {
        self.world.start(&self.name)?;
        Ok(Arc::new(self.alive()?))
    }
}

fn part(world: &Arc<World>, reader: &mut Reader<'_, '_>) -> Arc<Part> {
    Arc::new(Part {
        world: world.clone(),
        name: reader.field("name").required().string().unwrap_or_default(),
        exclusive: reader.field("exclusive").bool().unwrap_or_default(),
        place: reader.field("place").string(),
        port: reader.field("port").int(1..=u16::MAX),
        slow: reader.field("slow").bool().unwrap_or_default(),
    })
}

fn registry(world: &Arc<World>) -> Registry {
    let mut registry = Registry::default();
    let own = world.clone();
    registry.add_receiver("source", move |reader| part(&own, reader));
    let own = world.clone();
    registry.add_processor("mark", move |reader| part(&own, reader));
    let own = world.clone();
    registry.add_exporter("sink", move |reader| part(&own, reader));
    let own = world.clone();
    registry.add_connector("bridge", move |reader| part(&own, reader));
    let own = world.clone();
    registry.add_extension("guard", move |reader| part(&own, reader));
    registry
}

fn document(text: &str) -> (Document, Diagnostics) {
    let configs = [format!("yaml:{text}")];
    config::load(config::Request { configs: &configs, sets: &[] }, &System, &known())
}

async fn apply(graph: &mut Graph, world: &Arc<World>, text: &str) -> Result<Changed, String> {
    apply_with(graph, world, text, 64).await
}

async fn apply_with(
    graph: &mut Graph,
    world: &Arc<World>,
    text: &str,
    connections_max: usize,
) -> Result<Changed, String> {
    let (document, mut diagnostics) = document(text);
    let plans = Plans::read(&document, &registry(world), &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render(false));
    graph.apply(document, plans, connections_max).await.map_err(|failed| failed.to_string())
}

fn world() -> (Arc<World>, Graph) {
    let telemetry = crate::telemetry::Telemetry::default();
    let budget = ByteBudget::default();
    let (extensions, health) = (HashMap::new(), Default::default());
    let around = Surroundings { budget, connections_max: 64, telemetry, extensions, health };
    (Arc::default(), Graph::new(around))
}

const PLAIN: &str = "
receivers: {source: {name: in}}
processors: {mark/a: {name: a}, mark/b: {name: b}}
exporters: {sink/x: {name: x}, sink/y: {name: y}}
service:
  pipelines:
    traces: {receivers: [source], processors: [mark/a, mark/b], exporters: [sink/x, sink/y]}
";

#[tokio::test]
async fn data_goes_the_way_that_is_written() {
    let (world, mut graph) = world();
    let changed = apply(&mut graph, &world, PLAIN).await.unwrap();
    assert_eq!(changed.started.len(), 5, "{changed:?}");
    assert_eq!(world.send("in").await, ["a#4", "b#3", "x#1", "y#2"]);
    graph.stop().await;
    let events = world.events();
    assert_eq!(events[..3], ["stop in", "stop a", "stop b"], "as data flows: {events:?}");
    assert_eq!(events.len(), 5);
}

#[tokio::test]
async fn a_reload_swaps_what_changed_and_nothing_else() {
    let (world, mut graph) = world();
    apply(&mut graph, &world, PLAIN).await.unwrap();
    let source = world.sources.lock()["in"].clone();

    let changed = apply(&mut graph, &world, PLAIN).await.unwrap();
    assert_eq!(changed, Changed::default(), "the same again is nothing");
    assert!(world.events().is_empty());

    let other = PLAIN.replace("{name: b}", "{name: c}").replace("sink/x, sink/y", "sink/y");
    let changed = apply(&mut graph, &world, &other).await.unwrap();
    assert_eq!(changed.started, ["processors::mark/b of traces"]);
    assert_eq!(changed.stopped, ["processors::mark/b of traces", "exporters::sink/x"]);
    assert_eq!(world.events(), ["stop b", "stop x"]);
    assert_eq!(world.send("in").await, ["a#4", "c#6", "y#2"]);
    // Whoever had the entrance before comes the new way.
    source.consume(Request::traces(SpanBatch::default())).await.unwrap();
    assert_eq!(world.events(), ["a#4", "c#6", "y#2"]);

    let turned = other.replace("[mark/a, mark/b]", "[mark/b, mark/a]");
    apply(&mut graph, &world, &turned).await.unwrap();
    assert_eq!(world.send("in").await, ["c#6", "a#4", "y#2"], "the same parts in another order");

    let renamed = turned.replace("source: {name: in}", "source: {name: out}");
    let changed = apply(&mut graph, &world, &renamed).await.unwrap();
    assert_eq!(changed.started, ["receivers::source"]);
    assert_eq!(world.events(), ["stop in"]);
    assert_eq!(world.send("out").await, ["c#6", "a#4", "y#2"]);
}

#[tokio::test]
async fn connectors_join_pipelines() {
    let text = "
receivers: {source: {name: in}}
exporters: {sink/x: {name: x}, sink/y: {name: y}}
connectors: {bridge: {name: over}}
service:
  pipelines:
    traces: {receivers: [source], exporters: [bridge]}
    traces/two: {receivers: [bridge], exporters: [sink/x]}
    traces/three: {receivers: [bridge, source], exporters: [sink/y]}
";
    let (world, mut graph) = world();
    apply(&mut graph, &world, text).await.unwrap();
    let mut events = world.send("in").await;
    events.sort();
    assert_eq!(events, ["over#3", "x#1", "y#2", "y#2"]);
    let less = text.replace("[bridge, source]", "[source]");
    apply(&mut graph, &world, &less).await.unwrap();
    let mut events = world.send("in").await;
    events.sort();
    assert_eq!(events, ["over#5", "x#1", "y#2"], "a connector with other pipelines is another");
    graph.stop().await;
    let mut events = world.events();
    // Exporters end together.
    events[2..].sort();
    assert_eq!(events, ["stop in", "stop over", "stop x", "stop y"]);
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    for exclusive in [false, true] {
        let (world, mut graph) = world();
        let plain = PLAIN.replace("{name: x}", &format!("{{name: x, exclusive: {exclusive}}}"));
        apply(&mut graph, &world, &plain).await.unwrap();
        world.broken.lock().push("in2".to_owned());
        let other = plain
            .replace("name: in}", "name: in2}")
            .replace("name: a}", "name: a2}")
            .replace("name: x", "name: x2");
        let error = apply(&mut graph, &world, &other).await.unwrap_err();
        assert_eq!(error, "receivers::source: as the test wants");
        let events = world.send("in").await;
        let names: Vec<&str> = events.iter().filter_map(|event| event.split('#').next()).collect();
        assert_eq!(names, ["a", "b", "x", "y"], "{exclusive}");
        if !exclusive {
            assert_eq!(events, ["a#4", "b#3", "x#1", "y#2"], "the very same, with all they hold");
        }
        world.broken.lock().clear();
        apply(&mut graph, &world, &other).await.unwrap();
        let events = world.send("in2").await;
        let names: Vec<&str> = events.iter().filter_map(|event| event.split('#').next()).collect();
        assert_eq!(names, ["a2", "b", "x2", "y"], "{exclusive}");
        graph.stop().await;
    }
}

#[tokio::test]
async fn what_starts_has_the_connections_of_its_configuration() {
    let (world, mut graph) = world();
    apply(&mut graph, &world, PLAIN).await.unwrap();
    let other = PLAIN.replace("name: in}", "name: in2}");
    apply_with(&mut graph, &world, &other, 32).await.unwrap();
    assert_eq!(world.connections_max.load(Ordering::Relaxed), 32);
    world.broken.lock().push("in3".to_owned());
    let broken = PLAIN.replace("name: in}", "name: in3}");
    apply_with(&mut graph, &world, &broken, 16).await.unwrap_err();
    assert_eq!(world.connections_max.load(Ordering::Relaxed), 32, "it is as it was");
    graph.stop().await;
}

/// One processor of a pipeline cannot be started, after another was taken over.
#[tokio::test]
async fn a_pipeline_that_fails_half_way_keeps_its_parts() {
    let (world, mut graph) = world();
    apply(&mut graph, &world, PLAIN).await.unwrap();
    world.broken.lock().push("a2".to_owned());
    let other = PLAIN.replace("{name: a}", "{name: a2}");
    let error = apply(&mut graph, &world, &other).await.unwrap_err();
    assert_eq!(error, "processors::mark/a of traces: as the test wants");
    assert_eq!(world.send("in").await, ["a#4", "b#3", "x#1", "y#2"]);
}

/// Ports and files go from one component to another.
#[tokio::test]
async fn places_go_from_one_to_the_other() {
    let text = |receivers: &str, exporters: &str, used: [&str; 2]| {
        let [from, to] = used;
        format!(
            "
receivers: {{{receivers}}}
exporters: {{{exporters}}}
service: {{pipelines: {{traces: {{receivers: [{from}], exporters: [{to}]}}}}}}
"
        )
    };
    let sink = "sink: {name: x, exclusive: true, place: file}";
    let (world, mut graph) = world();
    let both = "source/a: {name: a, place: p1}, source/b: {name: b, place: p2}";
    let plain = text(both, sink, ["source/a, source/b", "sink"]);
    apply(&mut graph, &world, &plain).await.unwrap();

    let swapped = "source/a: {name: a, place: p2}, source/b: {name: b, place: p1}";
    let swapped = text(swapped, sink, ["source/a, source/b", "sink"]);
    apply(&mut graph, &world, &swapped).await.unwrap();

    let renamed = "source/c: {name: c, place: p1}";
    let other_sink = "sink/y: {name: y, exclusive: true, place: file}";
    let renamed = text(renamed, other_sink, ["source/c", "sink/y"]);
    let changed = apply(&mut graph, &world, &renamed).await.unwrap();
    assert_eq!(changed.started, ["exporters::sink/y", "receivers::source/c"]);
    let mut stopped = changed.stopped;
    stopped.sort();
    assert_eq!(stopped, ["exporters::sink", "receivers::source/a", "receivers::source/b"]);
    assert_eq!(world.send("c").await.len(), 1);

    // One that comes after those which have the places of old cannot be started.
    world.broken.lock().push("z".to_owned());
    let broken = "source/d: {name: d, place: p1}, source/z: {name: z, place: p2}";
    let broken = text(broken, sink, ["source/d, source/z", "sink"]);
    let error = apply(&mut graph, &world, &broken).await.unwrap_err();
    assert_eq!(error, "receivers::source/z: as the test wants");
    let events = world.send("c").await;
    assert!(matches!(&events[..], [one] if one.starts_with("y#")), "{events:?}");
    graph.stop().await;
    assert!(world.places.lock().is_empty());
}

/// What cannot run twice in one place gives it free before another takes it, also in a circle, and
/// has it again when the reload fails.
#[tokio::test]
async fn places_of_those_that_cannot_share_them_are_swapped() {
    let text = |extensions: [&str; 2], sinks: [&str; 2]| {
        let part = |place: &str| format!("{{name: {place}, exclusive: true, place: {place}}}");
        let [guard_a, guard_b, sink_a, sink_b] =
            [extensions[0], extensions[1], sinks[0], sinks[1]].map(part);
        format!(
            "
receivers: {{source: {{name: in}}}}
extensions: {{guard/a: {guard_a}, guard/b: {guard_b}}}
exporters: {{sink/a: {sink_a}, sink/b: {sink_b}}}
service:
  extensions: [guard/a, guard/b]
  pipelines: {{traces: {{receivers: [source], exporters: [sink/a, sink/b]}}}}
"
        )
    };
    let sent = |events: Vec<String>| {
        let names = events.iter().filter_map(|event| event.split('#').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let (world, mut graph) = world();
    apply(&mut graph, &world, &text(["p", "q"], ["f", "g"])).await.unwrap();

    let changed = apply(&mut graph, &world, &text(["q", "p"], ["g", "f"])).await.unwrap();
    assert_eq!(changed.started.len(), 4, "{changed:?}");
    assert!(changed.stopped.is_empty(), "{changed:?}");
    assert_eq!(sent(world.send("in").await), ["g", "f"]);

    let renamed =
        text(["q", "p"], ["g", "f"]).replace("guard/a", "guard/c").replace("sink/a", "sink/c");
    let changed = apply(&mut graph, &world, &renamed).await.unwrap();
    assert_eq!(changed.started, ["extensions::guard/c", "exporters::sink/c"]);
    assert_eq!(changed.stopped, ["extensions::guard/a", "exporters::sink/a"]);

    world.broken.lock().push("out".to_owned());
    let broken = text(["p", "q"], ["f", "g"]).replace("name: in}", "name: out}");
    let error = apply(&mut graph, &world, &broken).await.unwrap_err();
    assert_eq!(error, "receivers::source: as the test wants");
    assert_eq!(sent(world.send("in").await), ["g", "f"]);
    graph.stop().await;
    assert!(world.places.lock().is_empty());
}

/// A port goes from a receiver to an extension, back, and from one to the other at once; who has
/// nothing to do with it stays, and all have their ports again when the reload fails.
#[tokio::test]
async fn ports_go_from_receivers_to_extensions_and_back() {
    let text = |receivers: [u16; 2], extensions: [u16; 2]| {
        let [source_a, source_b] = receivers;
        let [guard_a, guard_b] = extensions;
        format!(
            "
receivers: {{source/a: {{name: a, port: {source_a}}}, source/b: {{name: b, port: {source_b}}}}}
extensions: {{guard/a: {{name: g, port: {guard_a}}}, guard/b: {{name: h, port: {guard_b}}}}}
exporters: {{sink: {{name: x}}}}
service:
  extensions: [guard/a, guard/b]
  pipelines: {{traces: {{receivers: [source/a, source/b], exporters: [sink]}}}}
"
        )
    };
    let (world, mut graph) = world();
    apply(&mut graph, &world, &text([1, 2], [3, 4])).await.unwrap();
    for (receivers, extensions, stopped) in [
        ([9, 2], [1, 4], &["stop a", "stop g"][..]),
        ([1, 2], [9, 4], &["stop a", "stop g"]),
        ([9, 2], [1, 4], &["stop a", "stop g"]),
        ([2, 1], [9, 4], &["stop a", "stop b", "stop g"]),
        ([4, 1], [2, 9], &["stop a", "stop g", "stop h"]),
    ] {
        world.events();
        apply(&mut graph, &world, &text(receivers, extensions)).await.unwrap();
        let mut events = world.events();
        events.sort();
        assert_eq!(events, stopped, "{receivers:?} {extensions:?}");
    }
    world.broken.lock().push("y".to_owned());
    let broken = text([2, 9], [4, 1]).replace("{name: x}", "{name: y}");
    let error = apply(&mut graph, &world, &broken).await.unwrap_err();
    assert_eq!(error, "exporters::sink: as the test wants");
    let ports = |graph: &Graph| {
        let addresses = graph.addresses().into_iter();
        let mut ports: Vec<_> = addresses.map(|(_, id, _, at)| format!("{id} at {at}")).collect();
        ports.sort();
        ports
    };
    let before = ["guard/a at 127.0.0.1:2", "guard/b at 127.0.0.1:9"];
    let before = [&before[..], &["source/a at 127.0.0.1:4", "source/b at 127.0.0.1:1"]].concat();
    assert_eq!(ports(&graph), before);
    graph.stop().await;
    assert!(world.places.lock().is_empty());
}

/// However many parts stand one behind the other and take their time.
#[tokio::test(start_paused = true)]
async fn an_end_is_in_time() {
    let text = "
receivers: {source: {name: in, slow: true}}
extensions: {guard/a: {name: g, slow: true}, guard/b: {name: h, slow: true}}
processors: {mark: {name: m, slow: true}}
connectors: {bridge/a: {name: b, slow: true}, bridge/b: {name: c, slow: true}}
exporters: {sink: {name: x, slow: true}}
service:
  extensions: [guard/a, guard/b]
  pipelines:
    traces: {receivers: [source], processors: [mark], exporters: [bridge/a]}
    traces/a: {receivers: [bridge/a], processors: [mark], exporters: [bridge/b]}
    traces/b: {receivers: [bridge/b], processors: [mark], exporters: [sink]}
";
    let (world, mut graph) = world();
    apply(&mut graph, &world, text).await.unwrap();
    let begun = Instant::now();
    graph.stop().await;
    // Who comes when the time is up has a second.
    let most = STOP_TIMEOUT_ALL + 7 * STOP_LEAST;
    assert!(begun.elapsed() <= most, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn pipelines_end_together() {
    let mut text = "
receivers: {source: {name: in}}
processors: {mark: {name: m, slow: true}, mark/b: {name: b, slow: true}}
exporters: {sink: {name: x}}
service:
  pipelines:
"
    .to_owned();
    for name in ["a", "b", "c", "d"] {
        text += &format!(
            "    traces/{name}: {{receivers: [source], processors: [mark, mark/b], exporters: [sink]}}\n"
        );
    }
    let (world, mut graph) = world();
    apply(&mut graph, &world, &text).await.unwrap();
    let begun = Instant::now();
    graph.stop().await;
    assert!(begun.elapsed() <= STOP_TIMEOUT + STOP_LEAST, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_never_ran_leaves_nothing_behind() {
    let (world, mut graph) = world();
    world.broken.lock().push("in".to_owned());
    let error = apply(&mut graph, &world, PLAIN).await.unwrap_err();
    assert_eq!(error, "receivers::source: as the test wants");
    let mut events = world.events();
    events.sort();
    assert_eq!(events, ["stop a", "stop b", "stop x", "stop y"]);
}

#[tokio::test]
async fn settings_are_reported_all_at_once() {
    let text = PLAIN.replace("{name: a}", "{nam: a}").replace("{name: y}", "{name: y, colour: 1}");
    let (document, mut diagnostics) = document(&text);
    Plans::read(&document, &registry(&Arc::default()), &mut diagnostics);
    let report = diagnostics.render(false);
    for part in ["nam", "name", "colour"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(diagnostics.iter().count() >= 3, "{report}");
}
