//! The second half of the sample trace: the order is placed, paid and told of.

use model::kind::{CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER};

use crate::sample::Val::{Int, List, Number, Text};
use crate::sample::{Attributes, Story};
use crate::sample_story::{CHECKOUT, EMAIL, FRONTEND, PAYMENT, POSTGRES, STOCK};

/// From the call of the frontend to the mail.
pub(crate) fn place_order(story: &mut Story, root: usize) {
    let times = (64_000, 955_000);
    let (client, scene) = story.scene(Some(root), &FRONTEND, CLIENT, "shop.Checkout/Place", times);
    scene.with(GRPC).with(&[("rpc.method", Text("Place")), ("server.address", Text("checkout"))]);
    let times = (65_500, 953_000);
    let (server, scene) =
        story.scene(Some(client), &CHECKOUT, SERVER, "shop.Checkout/Place", times);
    scene.with(GRPC).with(&[
        ("rpc.method", Text("Place")),
        ("order.id", Text("ORD-20418")),
        ("thread.id", Int(41)),
        ("thread.name", Text("grpc-default-executor-3")),
    ]);
    let (_, scene) =
        story.scene(Some(server), &CHECKOUT, INTERNAL, "price_order", (66_000, 72_000));
    scene.with(&[("code.function.name", Text("shop.Pricing.total")), ("total", Number(219.90))]);
    reserve_stock(story, server);
    // Nothing says what happens until the payment: a gap of 118 ms.
    pay(story, server);
    let times = (562_000, 905_000);
    let (_, scene) = story.scene(Some(server), &CHECKOUT, CLIENT, "SELECT orders", times);
    scene.with(POSTGRES).with(&[
        ("db.namespace", Text("orders")),
        ("db.operation.name", Text("SELECT")),
        (
            "db.query.text",
            Text("SELECT * FROM orders WHERE customer = $1 ORDER BY created DESC FOR UPDATE"),
        ),
        ("db.response.returned_rows", Int(1)),
    ]);
    notify(story, server);
    // Started without being waited for: ends after its parent.
    let times = (930_000, 1_020_000);
    let (_, scene) = story.scene(Some(server), &CHECKOUT, INTERNAL, "write_audit_async", times);
    scene.with(&[
        ("code.function.name", Text("shop.Audit.write")),
        ("thread.name", Text("audit-1")),
    ]);
}

/// Two tries fail, the third succeeds.
fn reserve_stock(story: &mut Story, parent: usize) {
    for (attempt, times) in
        [(73_000, 123_000), (148_000, 198_500), (250_000, 292_000)].into_iter().enumerate()
    {
        let (start_us, end_us) = times;
        let (client, scene) =
            story.scene(Some(parent), &CHECKOUT, CLIENT, "shop.Stock/Reserve", times);
        scene
            .with(GRPC)
            .with(&[("rpc.method", Text("Reserve")), ("server.address", Text("stock"))]);
        let failed = attempt < 2;
        if failed {
            scene
                .with(&[
                    ("rpc.grpc.status_code", Int(4)),
                    ("error.type", Text("DEADLINE_EXCEEDED")),
                ])
                .fails("deadline exceeded after 50 ms")
                .event(end_us, "retry", if attempt == 0 { RETRY_IN_25_MS } else { RETRY_IN_50_MS });
        }
        match attempt {
            1 => scene.with(&[("rpc.resend_count", Int(1))]),
            2 => scene.with(&[("rpc.resend_count", Int(2)), ("rpc.grpc.status_code", Int(0))]),
            _ => continue,
        };
        let times = (start_us + 1_000, end_us - 1_000);
        let (server, scene) =
            story.scene(Some(client), &STOCK, SERVER, "shop.Stock/Reserve", times);
        scene.with(GRPC).with(&[("rpc.method", Text("Reserve"))]);
        if failed {
            scene.with(&[("error.type", Text("CANCELLED"))]).fails("context canceled");
        }
        let times = (start_us + 2_000, end_us - 2_000);
        let (_, scene) = story.scene(Some(server), &STOCK, CLIENT, "UPDATE items", times);
        scene
            .with(POSTGRES)
            .with(&[
                ("db.namespace", Text("stock")),
                ("db.operation.name", Text("UPDATE")),
                ("db.query.text", Text("UPDATE items SET free = free - $2 WHERE sku = $1")),
            ])
            .event(start_us + 30_000, "lock.acquired", &[("lock.wait_ms", Int(28))]);
    }
}

/// The first provider is down, the second takes the money.
fn pay(story: &mut Story, parent: usize) {
    let (client, scene) = story.scene(Some(parent), &CHECKOUT, CLIENT, "POST", (410_000, 480_000));
    scene.with(CHARGE).with(FAILED).fails("");
    let (server, scene) =
        story.scene(Some(client), &PAYMENT, SERVER, "POST /charges", (411_000, 478_500));
    scene
        .with(&[("http.request.method", Text("POST")), ("http.route", Text("/charges"))])
        .with(FAILED)
        .fails("payment provider unavailable")
        .event(477_800, "exception", EXCEPTION);
    let (_, scene) = story.scene(Some(server), &PAYMENT, CLIENT, "POST", (412_000, 477_000));
    scene
        .with(&[
            ("http.request.method", Text("POST")),
            ("url.full", Text("https://psp-one.example/v2/charges")),
            ("server.address", Text("psp-one.example")),
            ("http.response.status_code", Int(503)),
            ("error.type", Text("503")),
        ])
        .fails("");

    let (client, scene) = story.scene(Some(parent), &CHECKOUT, CLIENT, "POST", (500_000, 560_000));
    scene
        .with(CHARGE)
        .with(&[("http.response.status_code", Int(201)), ("http.request.resend_count", Int(1))]);
    let (server, scene) =
        story.scene(Some(client), &PAYMENT, SERVER, "POST /charges", (501_000, 558_000));
    scene.with(&[
        ("http.request.method", Text("POST")),
        ("http.route", Text("/charges")),
        ("http.response.status_code", Int(201)),
    ]);
    let (_, scene) =
        story.scene(Some(server), &PAYMENT, INTERNAL, "check_fraud", (502_000, 505_000));
    scene.with(&[("fraud.score", Number(0.03)), ("fraud.rules", List(&[Int(4), Int(17)]))]);
    let (_, scene) = story.scene(Some(server), &PAYMENT, CLIENT, "POST", (505_500, 541_000));
    scene.with(&[
        ("http.request.method", Text("POST")),
        ("url.full", Text("https://psp-two.example/charge")),
        ("server.address", Text("psp-two.example")),
        ("http.response.status_code", Int(200)),
    ]);
    let (_, scene) =
        story.scene(Some(server), &PAYMENT, CLIENT, "INSERT charges", (542_000, 556_000));
    scene.with(POSTGRES).with(&[
        ("db.namespace", Text("payment")),
        ("db.operation.name", Text("INSERT")),
        ("db.query.text", Text("INSERT INTO charges VALUES ($1, $2, $3)")),
    ]);
}

/// A message; its consumer works for a batch that another order's message began.
fn notify(story: &mut Story, parent: usize) {
    let (producer, scene) =
        story.scene(Some(parent), &CHECKOUT, PRODUCER, "send orders", (906_000, 911_000));
    scene.with(KAFKA).with(&[("messaging.operation.type", Text("send"))]);
    let (consumer, scene) =
        story.scene(Some(producer), &EMAIL, CONSUMER, "process orders", (985_000, 1_240_000));
    scene
        .with(KAFKA)
        .with(&[
            ("messaging.operation.type", Text("process")),
            ("messaging.consumer.group.name", Text("email")),
            ("messaging.batch.message_count", Int(2)),
        ])
        .link(&[("messaging.kafka.offset", Int(710_331))]);
    let (_, scene) =
        story.scene(Some(consumer), &EMAIL, INTERNAL, "render_mail", (990_000, 1_050_000));
    scene.with(&[("template", Text("order-confirmed")), ("language", Text("de"))]);
    let (_, scene) = story.scene(Some(consumer), &EMAIL, CLIENT, "POST", (1_060_000, 1_235_000));
    scene.with(&[
        ("http.request.method", Text("POST")),
        ("url.full", Text("https://mail.example/send")),
        ("server.address", Text("mail.example")),
        ("http.response.status_code", Int(202)),
    ]);
}

const GRPC: Attributes = &[("rpc.system", Text("grpc")), ("network.transport", Text("tcp"))];

const KAFKA: Attributes = &[
    ("messaging.system", Text("kafka")),
    ("messaging.destination.name", Text("orders")),
    ("messaging.destination.partition.id", Text("3")),
];

const CHARGE: Attributes = &[
    ("http.request.method", Text("POST")),
    ("url.full", Text("http://payment:8080/charges")),
    ("server.address", Text("payment")),
    ("server.port", Int(8080)),
];

const FAILED: Attributes = &[("http.response.status_code", Int(500)), ("error.type", Text("500"))];

const EXCEPTION: Attributes = &[
    ("exception.type", Text("shop.payment.ProviderUnavailableException")),
    ("exception.message", Text("psp-one answered 503 Service Unavailable")),
    (
        "exception.stacktrace",
        Text(
            "shop.payment.ProviderUnavailableException: psp-one answered 503 Service Unavailable\n\
             \tat shop.payment.PspOne.charge(PspOne.java:94)\n\
             \tat shop.payment.Charges.create(Charges.java:57)\n\
             \tat shop.payment.ChargeResource.post(ChargeResource.java:33)\n\
             \tat jakarta.servlet.http.HttpServlet.service(HttpServlet.java:590)\n\
             Caused by: java.io.IOException: unexpected status 503\n\
             \tat shop.http.Client.expect(Client.java:121)\n\
             \t... 12 more\n",
        ),
    ),
];

const RETRY_IN_25_MS: Attributes = &[("delay_ms", Int(25))];
const RETRY_IN_50_MS: Attributes = &[("delay_ms", Int(50))];
