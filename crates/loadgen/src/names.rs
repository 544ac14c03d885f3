//! The vocabulary of the shop: services, languages and their instrumentations.

/// Where a service stands in the call graph; it calls only what stands further down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Takes requests from outside.
    Edge,
    Core,
    Support,
    /// Calls databases only.
    Leaf,
    /// Takes messages.
    Worker,
}

/// Services, by the noun that they are about. The first twenty are a small shop by themselves;
/// one to three of them make sense as well.
pub(crate) const SERVICES: [(&str, &str, Tier); 40] = [
    ("frontend", "page", Tier::Edge),
    ("checkout", "order", Tier::Core),
    ("cart", "cart", Tier::Core),
    ("catalog", "product", Tier::Core),
    ("payment", "charge", Tier::Support),
    ("currency", "rate", Tier::Leaf),
    ("email", "mail", Tier::Worker),
    ("gateway", "call", Tier::Edge),
    ("shipping", "quote", Tier::Support),
    ("stock", "item", Tier::Support),
    ("pricing", "price", Tier::Support),
    ("search", "hit", Tier::Core),
    ("users", "user", Tier::Support),
    ("auth", "token", Tier::Leaf),
    ("reviews", "review", Tier::Core),
    ("fraud", "risk", Tier::Leaf),
    ("ledger", "entry", Tier::Worker),
    ("advice", "tip", Tier::Core),
    ("geo", "place", Tier::Leaf),
    ("indexer", "doc", Tier::Worker),
    ("mobile", "view", Tier::Edge),
    ("ads", "ad", Tier::Core),
    ("wishes", "wish", Tier::Core),
    ("returns", "return", Tier::Core),
    ("invoices", "invoice", Tier::Support),
    ("tax", "tax", Tier::Leaf),
    ("media", "image", Tier::Leaf),
    ("promo", "coupon", Tier::Support),
    ("loyalty", "point", Tier::Support),
    ("depot", "parcel", Tier::Support),
    ("supply", "offer", Tier::Support),
    ("billing", "bill", Tier::Core),
    ("audit", "trail", Tier::Worker),
    ("reports", "report", Tier::Worker),
    ("sessions", "session", Tier::Leaf),
    ("flags", "flag", Tier::Leaf),
    ("chat", "message", Tier::Core),
    ("partner", "feed", Tier::Edge),
    ("consent", "consent", Tier::Leaf),
    ("webhook", "hook", Tier::Worker),
];

/// What is put behind a name when the forty are used up.
pub(crate) const DIVISIONS: [&str; 5] = ["", "-eu", "-us", "-asia", "-b2b"];

/// A language's SDK and instrumentations.
pub(crate) struct Language {
    pub(crate) name: &'static str,
    pub(crate) sdk_version: &'static str,
    /// Name and version of the scope that makes HTTP and RPC spans.
    pub(crate) rpc_scope: (&'static str, &'static str),
    /// The one that makes database and messaging spans.
    pub(crate) client_scope: (&'static str, &'static str),
    /// The SDK sends W3C flags with every span.
    pub(crate) sends_flags: bool,
    /// Spans say which thread they ran on.
    pub(crate) has_threads: bool,
    /// Type, message and stack trace of exceptions: of a database, of a remote call, of own code.
    pub(crate) exceptions: [(&'static str, &'static str, &'static str); 3],
}

pub(crate) const LANGUAGES: [Language; 4] = [
    Language {
        name: "java",
        sdk_version: "1.54.1",
        rpc_scope: ("io.opentelemetry.tomcat-10.0", "2.20.1"),
        client_scope: ("io.opentelemetry.jdbc", "2.20.1"),
        sends_flags: true,
        has_threads: true,
        exceptions: [
            (
                "org.postgresql.util.PSQLException",
                "ERROR: canceling statement due to lock timeout",
                "org.postgresql.util.PSQLException: ERROR: canceling statement due to lock \
                 timeout\n\tat org.postgresql.core.v3.QueryExecutorImpl.receiveErrorResponse\
                 (QueryExecutorImpl.java:2725)\n\tat org.postgresql.jdbc.PgPreparedStatement.\
                 executeQuery(PgPreparedStatement.java:137)\n\tat shop.Repository.load\
                 (Repository.java:88)\n",
            ),
            (
                "java.net.SocketTimeoutException",
                "Read timed out",
                "java.net.SocketTimeoutException: Read timed out\n\tat java.base/sun.nio.ch.\
                 NioSocketImpl.timedRead(NioSocketImpl.java:278)\n\tat okhttp3.internal.http1.\
                 Http1ExchangeCodec.readHeaders(Http1ExchangeCodec.kt:180)\n",
            ),
            (
                "java.lang.IllegalStateException",
                "quantity must be positive",
                "java.lang.IllegalStateException: quantity must be positive\n\tat shop.Rules.\
                 check(Rules.java:41)\n\tat shop.Handler.handle(Handler.java:112)\n",
            ),
        ],
    },
    Language {
        name: "go",
        sdk_version: "1.38.0",
        rpc_scope: ("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "0.63.0"),
        client_scope: ("github.com/XSAM/otelsql", "0.40.0"),
        sends_flags: true,
        has_threads: false,
        exceptions: [
            (
                "*pgconn.PgError",
                "ERROR: deadlock detected (SQLSTATE 40P01)",
                "goroutine 4711 [running]:\nmain.(*repository).load(0xc000412000)\n\t\
                 /src/repository.go:74 +0x1d\nmain.(*handler).handle(0xc0003f2000)\n\t\
                 /src/handler.go:51 +0x8a\n",
            ),
            (
                "*url.Error",
                "context deadline exceeded",
                "goroutine 812 [running]:\nmain.(*client).call(0xc00011e000)\n\t\
                 /src/client.go:120 +0x5f\n",
            ),
            (
                "*errors.errorString",
                "no route for warehouse",
                "goroutine 93 [running]:\nmain.plan(...)\n\t/src/plan.go:33 +0x2c\n",
            ),
        ],
    },
    Language {
        name: "python",
        sdk_version: "1.37.0",
        rpc_scope: ("opentelemetry.instrumentation.fastapi", "0.58b0"),
        client_scope: ("opentelemetry.instrumentation.psycopg", "0.58b0"),
        sends_flags: true,
        has_threads: true,
        exceptions: [
            (
                "psycopg.errors.QueryCanceled",
                "canceling statement due to statement timeout",
                "Traceback (most recent call last):\n  File \"/app/repository.py\", line 61, in \
                 load\n    cursor.execute(query, parameters)\npsycopg.errors.QueryCanceled: \
                 canceling statement due to statement timeout\n",
            ),
            (
                "httpx.ConnectError",
                "[Errno 111] Connection refused",
                "Traceback (most recent call last):\n  File \"/app/client.py\", line 27, in \
                 call\n    response = client.send(request)\nhttpx.ConnectError: [Errno 111] \
                 Connection refused\n",
            ),
            (
                "KeyError",
                "'currency'",
                "Traceback (most recent call last):\n  File \"/app/rules.py\", line 19, in \
                 apply\n    code = item['currency']\nKeyError: 'currency'\n",
            ),
        ],
    },
    Language {
        name: "nodejs",
        sdk_version: "2.1.0",
        rpc_scope: ("@opentelemetry/instrumentation-http", "0.205.0"),
        // One package for all of it: such services have two scopes, not three.
        client_scope: ("@opentelemetry/instrumentation-http", "0.205.0"),
        sends_flags: false,
        has_threads: false,
        exceptions: [
            (
                "DatabaseError",
                "remaining connection slots are reserved",
                "DatabaseError: remaining connection slots are reserved\n    at Parser.\
                 parseErrorMessage (/app/node_modules/pg-protocol/dist/parser.js:285:98)\n    at \
                 async load (/app/src/repository.js:44:18)\n",
            ),
            (
                "Error",
                "connect ECONNREFUSED",
                "Error: connect ECONNREFUSED\n    at TCPConnectWrap.afterConnect [as oncomplete] \
                 (node:net:1611:16)\n",
            ),
            (
                "TypeError",
                "Cannot read properties of undefined (reading 'price')",
                "TypeError: Cannot read properties of undefined (reading 'price')\n    at apply \
                 (/app/src/rules.js:12:22)\n    at handle (/app/src/handler.js:73:9)\n",
            ),
        ],
    },
];

/// What own code does, as it is named in spans.
pub(crate) const VERBS: [&str; 8] =
    ["validate", "load", "render", "authorize", "merge", "price", "rank", "encode"];
