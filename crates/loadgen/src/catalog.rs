//! The services with their instances, scopes and operations.

use model::encode_key_value;
use model::wire::{put_bytes_field, put_bytes_unless_empty, put_message};

use crate::names::{DIVISIONS, LANGUAGES, Language, SERVICES, Tier};
use crate::operation::{OperationId, Operations};
use crate::piece::{Draft, PieceId};
use crate::rng::Rng;
use crate::service_operations::{Builder, Side};

/// Scopes that a service may have.
pub(crate) const SCOPES: usize = 3;
/// The most services that there are names for.
pub(crate) const SERVICES_MAX: usize = SERVICES.len() * DIVISIONS.len();
/// A factor of 1 in [`Instance::slowness`].
pub(crate) const SLOWNESS_ONE: u32 = 64;

/// A request from outside or another service, seen from both sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) client: OperationId,
    pub(crate) server: OperationId,
}

/// A deployment.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) tier: Tier,
    pub(crate) first_instance: u16,
    pub(crate) instances: u16,
    /// Services that it calls.
    pub(crate) dependencies: Vec<u16>,
    /// What starts traces; only of edge services.
    pub(crate) entries: Vec<OperationId>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) functions: Vec<OperationId>,
    pub(crate) queries: Vec<OperationId>,
    pub(crate) commands: Vec<OperationId>,
    /// Sending to it and its taking; only of workers.
    pub(crate) topic: Option<Endpoint>,
}

/// A pod of a service.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// The `Resource` field of `ResourceSpans`.
    pub(crate) resource: Vec<u8>,
    /// The `InstrumentationScope` fields of `ScopeSpans`.
    pub(crate) scopes: [Vec<u8>; SCOPES],
    /// By how much it is slower than others, in units of [`SLOWNESS_ONE`].
    pub(crate) slowness: u32,
}

/// Everything that the seed decides before the first trace.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pub(crate) services: Vec<Service>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) operations: Operations,
    /// The `schema_url` field of `ResourceSpans`.
    pub(crate) schema_url: Vec<u8>,
    /// Events of spans that did not fail.
    pub(crate) events: Vec<PieceId>,
    /// Attributes that few spans have.
    pub(crate) rare: Vec<PieceId>,
}

impl Catalog {
    pub(crate) fn new(rng: &mut Rng, services: usize) -> Self {
        let mut schema_url = Vec::new();
        put_bytes_field(&mut schema_url, 3, b"https://opentelemetry.io/schemas/1.37.0");
        let mut catalog = Self {
            services: Vec::new(),
            instances: Vec::new(),
            operations: Operations::new(),
            schema_url,
            events: Vec::new(),
            rare: Vec::new(),
        };
        for index in 0..services.clamp(1, SERVICES_MAX) {
            catalog.add_service(rng, index);
        }
        catalog.connect(rng);
        catalog.events = events().iter().map(|it| catalog.operations.pieces.add(it)).collect();
        catalog.rare = rare().iter().map(|it| catalog.operations.pieces.add(it)).collect();
        catalog
    }

    fn add_service(&mut self, rng: &mut Rng, index: usize) {
        let (base, noun, tier) = SERVICES[index % SERVICES.len()];
        let name = format!("{base}{}", DIVISIONS[index / SERVICES.len()]);
        let language = &LANGUAGES[index % LANGUAGES.len()];
        let first_instance = self.instances.len() as u16;
        let instances = 2 + rng.below(2) as u16;
        let minor = rng.below(9);
        let versions = [0, 1].map(|step| format!("1.{}.{}", minor + step, rng.below(9)));
        let replica_set = word(rng, 9);
        let new_is_slow = rng.chance_of_1024(200);
        let service_slowness = SLOWNESS_ONE / 2 + rng.below(SLOWNESS_ONE);
        for instance in 0..instances {
            // The first pod is not rolled out yet.
            let old = instance == 0;
            let version = &versions[usize::from(!old)];
            let pod = format!("{name}-{replica_set}-{}", word(rng, 5));
            let slowness =
                if new_is_slow && !old { service_slowness * 2 } else { service_slowness };
            self.instances.push(Instance {
                resource: resource(rng, &name, version, &pod, language),
                scopes: scopes(base, version, language),
                slowness,
            });
        }

        let mut builder = Builder::new(&mut self.operations, &name, base, noun, language);
        // By turns and not by chance, so that the mix of spans depends little on the seed.
        let uses_http = (index / LANGUAGES.len()).is_multiple_of(2);
        let entries = if tier == Tier::Edge { builder.entries() } else { Vec::new() };
        let endpoints = if uses_http { builder.http() } else { builder.grpc() };
        let topic = (tier == Tier::Worker).then(|| Endpoint {
            client: builder.messaging(Side::Producer),
            server: builder.messaging(Side::Consumer),
        });
        let service = Service {
            tier,
            first_instance,
            instances,
            dependencies: Vec::new(),
            entries,
            endpoints,
            functions: builder.functions(),
            queries: builder.queries(),
            commands: builder.commands(),
            topic,
        };
        self.services.push(service);
    }

    /// Gives each service two to four others to call, all further down, so that no call returns.
    fn connect(&mut self, rng: &mut Rng) {
        for caller in 0..self.services.len() {
            let tier = self.services[caller].tier;
            let candidates: Vec<u16> = (0..self.services.len())
                .filter(|&callee| {
                    let below = self.services[callee].tier;
                    below > tier && below != Tier::Worker && tier != Tier::Worker
                        || tier == Tier::Worker && below == Tier::Support
                })
                .map(|callee| callee as u16)
                .collect();
            if candidates.is_empty() {
                continue;
            }
            let mut dependencies: Vec<u16> =
                (0..2 + rng.below(3)).map(|_| *rng.pick(&candidates)).collect();
            dependencies.sort_unstable();
            dependencies.dedup();
            self.services[caller].dependencies = dependencies;
        }
        self.find_callers(rng);
    }

    /// Nobody runs a service that nobody calls.
    fn find_callers(&mut self, rng: &mut Rng) {
        for callee in 0..self.services.len() {
            let tier = self.services[callee].tier;
            let is_called =
                self.services.iter().any(|it| it.dependencies.contains(&(callee as u16)));
            let callers: Vec<usize> =
                (0..self.services.len()).filter(|&it| self.services[it].tier < tier).collect();
            if !is_called && tier != Tier::Worker && !callers.is_empty() {
                let caller = *rng.pick(&callers);
                self.services[caller].dependencies.push(callee as u16);
            }
        }
    }
}

fn word(rng: &mut Rng, length: usize) -> String {
    // Kubernetes leaves out what might spell a word.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length).map(|_| char::from(*rng.pick(LETTERS))).collect()
}

fn resource(rng: &mut Rng, name: &str, version: &str, pod: &str, language: &Language) -> Vec<u8> {
    let (a, b) = (rng.next(), rng.next());
    let instance = format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    );
    let host = format!("node-{}", rng.below(8));
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        for (key, value) in [
            ("service.name", name),
            ("service.version", version),
            ("service.namespace", "shop"),
            ("service.instance.id", &instance),
            ("deployment.environment.name", "prod"),
            ("k8s.pod.name", pod),
            ("host.name", &host),
            ("telemetry.sdk.language", language.name),
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.version", language.sdk_version),
        ] {
            encode_key_value(out, 1, key.as_bytes(), |out| {
                put_bytes_field(out, 1, value.as_bytes());
            });
        }
    });
    out
}

fn scopes(base: &str, version: &str, language: &Language) -> [Vec<u8>; SCOPES] {
    let own = format!("shop.{base}");
    [language.rpc_scope, language.client_scope, (own.as_str(), version)].map(|(name, version)| {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_bytes_unless_empty(out, 1, name.as_bytes());
            put_bytes_unless_empty(out, 2, version.as_bytes());
        });
        out
    })
}

fn events() -> [Draft; 5] {
    [
        Draft::event("cache.miss", |it| it.text("cache.key", "p:######")),
        Draft::event("retry", |it| {
            it.int_between("attempt", 1, 3).int_between("delay_ms", 128, 900)
        }),
        Draft::event("pool.wait", |it| it.int_between("waiting", 1, 40)),
        Draft::event("gc.pause", |it| it.int_between("pause_us", 128, 9000)),
        Draft::event("feature_flag.evaluation", |it| {
            it.text("feature_flag.key", "new-checkout").text("feature_flag.result.variant", "on")
        }),
    ]
}

/// The first entry makes half, the second a quarter, the others share the rest.
fn rare() -> Vec<Draft> {
    let mut all: Vec<Draft> = Vec::new();
    let mut add = |write: &dyn Fn(&mut Draft) -> &mut Draft| {
        let mut draft = Draft::of_span();
        write(&mut draft);
        all.push(draft);
    };
    add(&|it| it.text("order.id", "ORD-@@@@@@@@"));
    add(&|it| it.text("session.id", "^^^^^^^^^^^^^^^^^^^^^^^^"));
    add(&|it| it.text("coupon.code", "SAVE-~~~~~~"));
    add(&|it| it.list("experiments", &["new-checkout", "fast-search"]));
    add(&|it| it.int_between("http.request.resend_count", 1, 3));
    add(&|it| it.text("db.operation.parameter.id", "########"));
    add(&|it| it.amount("refund.amount", 500));
    add(&|it| it.text("gift.message.language", "de"));
    add(&|it| it.flag("debug.sampled", true));
    add(&|it| it.text("http.request.header.x-request-id", "~~~~~~~~~~~~~~~~"));
    add(&|it| it.text("cloud.availability_zone", "eu-west-1#"));
    add(&|it| it.int_between("lock.wait_us", 16_384, 900_000));
    all
}
