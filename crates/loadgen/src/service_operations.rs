//! The operations of a service, with attributes by OpenTelemetry's semantic conventions 1.37.

use model::kind;

use crate::catalog::Endpoint;
use crate::latency::Spread;
use crate::names::{Language, VERBS};
use crate::operation::{Failure, Head, OperationId, Operations};
use crate::piece::{Draft, PieceId};

/// Scopes by what makes the spans; see `catalog::scopes`.
const RPC: u8 = 0;
const CLIENT: u8 = 1;
const OWN: u8 = 2;

const MICROSECOND: u32 = 1_000;

const AGENTS: [&str; 3] = ["Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (iPhone)", "ShopApp/7.3"];

/// The end of a message queue that a span is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Producer,
    Consumer,
}

/// Makes the operations of one service.
pub(crate) struct Builder<'a> {
    operations: &'a mut Operations,
    /// What other services know it by.
    host: &'a str,
    base: &'a str,
    noun: &'a str,
    language: &'a Language,
    /// Of a database, of a remote call, of own code.
    exceptions: [PieceId; 3],
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        operations: &'a mut Operations,
        host: &'a str,
        base: &'a str,
        noun: &'a str,
        language: &'a Language,
    ) -> Self {
        let exceptions = language.exceptions.map(|(class, message, stack)| {
            operations.pieces.add(&Draft::event("exception", |it| {
                it.text("exception.type", class)
                    .text("exception.message", message)
                    .text("exception.stacktrace", stack)
            }))
        });
        Self { operations, host, base, noun, language, exceptions }
    }

    /// Requests of users.
    pub(crate) fn entries(&mut self) -> Vec<OperationId> {
        let (noun, host, language) = (self.noun, self.host, self.language);
        let routes = [
            ("GET", format!("/{noun}s/{{id}}"), format!("/{noun}s/######")),
            ("GET", format!("/{noun}s"), format!("/{noun}s")),
            ("POST", format!("/{noun}s"), format!("/{noun}s")),
            ("PUT", format!("/{noun}s/{{id}}"), format!("/{noun}s/######")),
            ("GET", "/search".to_owned(), "/search".to_owned()),
            ("GET", "/account".to_owned(), "/account".to_owned()),
        ];
        let mut entries = Vec::new();
        for (method, route, path) in routes {
            let name = format!("{method} {route}");
            let head = self.head(&name, kind::SERVER, RPC, Spread::Narrow, 900);
            let head = Head { is_root: true, ..head };
            let failure = self.failure(2, "");
            entries.push(self.operations.add(&head, 3, &failure, |it, variant| {
                let agent = AGENTS[usize::from(variant.unwrap_or(0))];
                // The third client asks for what is not there.
                let status = match variant {
                    None => 500,
                    Some(2) if method == "GET" => 404,
                    Some(_) => 200,
                };
                it.text("http.request.method", method)
                    .text("url.scheme", "https")
                    .text("url.path", &path)
                    .text("http.route", &route)
                    .int("http.response.status_code", status)
                    .text("server.address", &format!("{host}.shop.example"))
                    .int("server.port", 443)
                    .text("user_agent.original", agent)
                    .text("client.address", "1##.2##.1##.1##")
                    .text("network.protocol.version", "2")
                    .text("user.id", "u@@@@@@");
                error_type(it, variant, "500");
                common(it, language);
            }));
        }
        entries
    }

    /// Requests of other services over HTTP.
    pub(crate) fn http(&mut self) -> Vec<Endpoint> {
        let (noun, host, language) = (self.noun, self.host, self.language);
        let one = (format!("/{noun}s/{{id}}"), format!("/{noun}s/######"));
        let all = (format!("/{noun}s"), format!("/{noun}s"));
        let mut endpoints = Vec::new();
        for (method, (route, path), own_us) in
            [("GET", &one, 400), ("GET", &all, 900), ("POST", &all, 700), ("DELETE", &one, 500)]
        {
            let head = self.head(method, kind::CLIENT, RPC, Spread::Wide, 350);
            let failure = self.failure(1, "");
            let client = self.operations.add(&head, 2, &failure, |it, variant| {
                it.text("http.request.method", method)
                    .text("url.full", &format!("http://{host}{path}"))
                    .text("server.address", host)
                    .int("server.port", 80)
                    .int("http.response.status_code", status(variant));
                error_type(it, variant, "500");
                common(it, language);
                it.int("pool", 1 + u32::from(variant.unwrap_or(0)))
                    .int_between("bytes", 128, 16_000);
            });
            let name = format!("{method} {route}");
            let head = self.head(&name, kind::SERVER, RPC, Spread::Narrow, own_us);
            let failure = self.failure(2, "");
            let server = self.operations.add(&head, 2, &failure, |it, variant| {
                it.text("http.request.method", method)
                    .text("url.scheme", "http")
                    .text("url.path", path)
                    .text("http.route", route)
                    .int("http.response.status_code", status(variant))
                    .text("server.address", host)
                    .text("client.address", "10.2.1##.1##")
                    .text("user.id", "u@@@@@@");
                error_type(it, variant, "500");
                common(it, language);
            });
            endpoints.push(Endpoint { client, server });
        }
        endpoints
    }

    /// Requests of other services over gRPC.
    pub(crate) fn grpc(&mut self) -> Vec<Endpoint> {
        let (host, language) = (self.host, self.language);
        let service = format!("shop.{}", capital(self.base));
        let noun = capital(self.noun);
        let mut endpoints = Vec::new();
        for (verb, own_us) in [("Get", 250), ("List", 700), ("Create", 500), ("Check", 200)] {
            let method = format!("{verb}{noun}");
            let name = format!("{service}/{method}");
            let attributes = |it: &mut Draft, variant: Option<u8>| {
                it.text("rpc.system", "grpc")
                    .text("rpc.service", &service)
                    .text("rpc.method", &method)
                    .int("rpc.grpc.status_code", if variant.is_none() { 13 } else { 0 })
                    .text("server.address", host)
                    .int("server.port", 9090);
                error_type(it, variant, "INTERNAL");
                common(it, language);
                it.int_between("bytes", 128, 16_000);
            };
            let head = self.head(&name, kind::CLIENT, RPC, Spread::Wide, 200);
            let failure = self.failure(1, "13 INTERNAL");
            let client = self.operations.add(&head, 2, &failure, |it, variant| {
                attributes(it, variant);
                it.int("attempt", 1 + u32::from(variant.unwrap_or(0)));
            });
            let head = self.head(&name, kind::SERVER, RPC, Spread::Narrow, own_us);
            let failure = self.failure(2, "internal error");
            let server = self.operations.add(&head, 2, &failure, |it, variant| {
                attributes(it, variant);
                it.text("user.id", "u@@@@@@");
            });
            endpoints.push(Endpoint { client, server });
        }
        endpoints
    }

    /// Own code.
    pub(crate) fn functions(&mut self) -> Vec<OperationId> {
        let (noun, language) = (self.noun, self.language);
        let turn = self.operations.list.len();
        let mut functions = Vec::new();
        for index in 0..4 {
            let verb = VERBS[(turn + index * 3) % VERBS.len()];
            let name = format!("{verb}_{noun}");
            let function = format!("{}.{verb}", self.base);
            let own_us = [60, 350, 1_200, 150][index];
            let head = self.head(&name, kind::INTERNAL, OWN, Spread::Narrow, own_us);
            let failure = self.failure(2, language.exceptions[2].1);
            functions.push(self.operations.add(&head, 2, &failure, |it, variant| {
                it.text("code.function.name", &function);
                error_type(it, variant, language.exceptions[2].0);
                common(it, language);
                it.int_between("items", 1, 90)
                    .flag("cached", variant == Some(1))
                    .text("sku", "#####")
                    .text("tier", if variant == Some(0) { "free" } else { "gold" })
                    .int_between("quantity", 1, 9)
                    .int_between("rules", 1, 30)
                    .int_between("mem_kb", 128, 9_000);
            }));
        }
        functions
    }

    /// Calls of its PostgreSQL database.
    pub(crate) fn queries(&mut self) -> Vec<OperationId> {
        let (noun, language) = (self.noun, self.language);
        let database = format!("{}_db", self.base);
        let table = format!("{noun}s");
        let mut queries = Vec::new();
        for (verb, query, own_us) in [
            ("SELECT", format!("SELECT * FROM {table} WHERE id = $1"), 800),
            ("SELECT", format!("SELECT id, state FROM {table} WHERE owner = $1"), 3_500),
            ("INSERT", format!("INSERT INTO {table} VALUES ($1, $2, $3)"), 1_500),
            ("UPDATE", format!("UPDATE {table} SET state = $2 WHERE id = $1"), 2_000),
        ] {
            let name = format!("{verb} {table}");
            let head = self.head(&name, kind::CLIENT, CLIENT, Spread::Wide, own_us);
            let failure = self.failure(0, language.exceptions[0].1);
            queries.push(self.operations.add(&head, 2, &failure, |it, variant| {
                it.text("db.system.name", "postgresql")
                    .text("db.namespace", &database)
                    .text("db.query.text", &query)
                    .text("db.operation.name", verb)
                    .text("db.collection.name", &table)
                    .text("server.address", if variant == Some(0) { "pg-0" } else { "pg-1" })
                    .int_between("db.response.returned_rows", 1, 100);
                error_type(it, variant, "57014");
                common(it, language);
            }));
        }
        queries
    }

    /// Calls of the shared Redis.
    pub(crate) fn commands(&mut self) -> Vec<OperationId> {
        let (noun, language) = (self.noun, self.language);
        let mut commands = Vec::new();
        for (verb, arguments) in [("GET", ""), ("SETEX", " 300 ?")] {
            let head = self.head(verb, kind::CLIENT, CLIENT, Spread::Narrow, 180);
            let failure = self.failure(1, "LOADING dataset in memory");
            commands.push(self.operations.add(&head, 2, &failure, |it, variant| {
                it.text("db.system.name", "redis")
                    .text("db.namespace", "0")
                    .text("db.operation.name", verb)
                    .text("db.query.text", &format!("{verb} {noun}:######{arguments}"))
                    .text("server.address", "redis")
                    .int("server.port", 6379);
                error_type(it, variant, "LOADING");
                common(it, language);
                it.flag("hit", variant == Some(0))
                    .int_between("slot", 128, 16_383)
                    .int_between("bytes", 128, 4_000);
            }));
        }
        commands
    }

    /// Messages of its topic.
    pub(crate) fn messaging(&mut self, side: Side) -> OperationId {
        let language = self.language;
        let topic = format!("{}s", self.noun);
        let (verb, kind, own_us) = match side {
            Side::Producer => ("send", kind::PRODUCER, 600),
            Side::Consumer => ("process", kind::CONSUMER, 2_500),
        };
        let name = format!("{verb} {topic}");
        let head = self.head(&name, kind, CLIENT, Spread::Wide, own_us);
        let failure = self.failure(2, "message refused");
        let group = self.host;
        self.operations.add(&head, 2, &failure, |it, variant| {
            it.text("messaging.system", "kafka")
                .text("messaging.operation.type", verb)
                .text("messaging.destination.name", &topic)
                .text("messaging.destination.partition.id", "#")
                .int_between("messaging.message.body.size", 128, 16_000);
            if side == Side::Consumer {
                it.text("messaging.consumer.group.name", group).int_between(
                    "messaging.kafka.offset",
                    2_097_152,
                    200_000_000,
                );
            }
            error_type(it, variant, "MessageRefused");
            common(it, language);
            it.amount("amount", 500);
        })
    }

    fn head<'b>(
        &self,
        name: &'b str,
        kind: i32,
        scope: u8,
        spread: Spread,
        own_us: u32,
    ) -> Head<'b> {
        // A language whose instrumentation is one package has one scope for both.
        let scope = if scope == CLIENT && self.language.client_scope == self.language.rpc_scope {
            RPC
        } else {
            scope
        };
        Head {
            name,
            kind,
            is_root: false,
            sends_flags: self.language.sends_flags,
            scope,
            spread,
            median_nano: own_us * MICROSECOND,
        }
    }

    fn failure<'b>(&self, exception: usize, message: &'b str) -> Failure<'b> {
        Failure { message, exception: self.exceptions[exception] }
    }
}

/// What every span has: baggage of the request and where it ran.
fn common(it: &mut Draft, language: &Language) {
    it.text("tenant", "t@@").text("region", "eu");
    if language.has_threads {
        it.int_between("thread.id", 1, 120).text("thread.name", "exec-1#");
    } else {
        it.int_between("worker", 1, 16).flag("canary", false);
    }
}

fn status(variant: Option<u8>) -> u32 {
    if variant.is_none() { 500 } else { 200 }
}

fn error_type(it: &mut Draft, variant: Option<u8>, value: &str) {
    if variant.is_none() {
        it.text("error.type", value);
    }
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}
