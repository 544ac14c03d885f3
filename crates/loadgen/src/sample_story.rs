//! What happens in the sample trace: a customer places an order.

use model::kind::{CLIENT, INTERNAL, SERVER};

use crate::sample::Val::{Bytes, Flag, Int, List, Map, Number, Text};
use crate::sample::{Actor, Attributes, Story};
use crate::sample_order::place_order;

pub(crate) static FRONTEND: Actor = Actor {
    name: "frontend",
    version: "3.2.0",
    pod: "frontend-6d4cf56db6-x2k4q",
    language: "nodejs",
};
pub(crate) static CATALOG: Actor =
    Actor { name: "catalog", version: "1.9.4", pod: "catalog-7f9c6b5d8-bq7wz", language: "python" };
pub(crate) static CART: Actor =
    Actor { name: "cart", version: "2.0.1", pod: "cart-5c7d9f-9hvlm", language: "go" };
pub(crate) static CHECKOUT: Actor =
    Actor { name: "checkout", version: "4.1.2", pod: "checkout-84b5c4-kk2pf", language: "java" };
pub(crate) static STOCK: Actor =
    Actor { name: "stock", version: "1.3.0", pod: "stock-66f8d7-4tzcn", language: "go" };
pub(crate) static PAYMENT: Actor =
    Actor { name: "payment", version: "2.8.0-rc1", pod: "payment-5b9d77-rw6sx", language: "java" };
pub(crate) static EMAIL: Actor =
    Actor { name: "email", version: "1.1.7", pod: "email-7d5f6c-hz8gb", language: "python" };

/// Tells all of it; times are microseconds since the start.
pub(crate) fn tell(story: &mut Story) {
    let (root, scene) = story.scene(None, &FRONTEND, SERVER, "POST /checkout", (0, 960_000));
    scene.with(&[
        ("http.request.method", Text("POST")),
        ("http.route", Text("/checkout")),
        ("url.scheme", Text("https")),
        ("url.path", Text("/checkout")),
        ("http.response.status_code", Int(200)),
        ("server.address", Text("shop.example")),
        ("server.port", Int(443)),
        ("client.address", Text("203.0.113.42")),
        ("user_agent.original", Text("Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0")),
        ("network.protocol.version", Text("2")),
        ("user.id", Text("u204817")),
        ("session.id", Text("5f0c9a1e77d24c0b")),
    ]);
    validate(story, root);
    list_products(story, root);
    load_cart(story, root);
    place_order(story, root);
}

/// Attributes of every type, in each other.
fn validate(story: &mut Story, root: usize) {
    let (_, scene) = story.scene(Some(root), &FRONTEND, INTERNAL, "validate_form", (1_000, 4_000));
    scene.with(&[
        ("code.function.name", Text("forms.validate")),
        ("form.valid", Flag(true)),
        ("form.score", Number(0.97)),
        ("form.fields", List(&[Text("name"), Text("address"), Text("card")])),
        (
            "form.address",
            Map(&[
                ("country", Text("DE")),
                ("lines", List(&[Text("Hauptstraße 5"), Text("10115 Berlin")])),
                ("geo", Map(&[("lat", Number(52.53)), ("lon", Number(13.38))])),
            ]),
        ),
    ]);
}

/// N+1: a query for the list, then one for each product's price.
fn list_products(story: &mut Story, root: usize) {
    let (client, scene) = story.scene(Some(root), &FRONTEND, CLIENT, "GET", (5_000, 62_000));
    scene.with(&[
        ("http.request.method", Text("GET")),
        ("url.full", Text("http://catalog:8080/products?cart=8841")),
        ("server.address", Text("catalog")),
        ("server.port", Int(8080)),
        ("http.response.status_code", Int(200)),
    ]);
    let (server, scene) =
        story.scene(Some(client), &CATALOG, SERVER, "GET /products", (6_200, 60_500));
    scene.with(&[
        ("http.request.method", Text("GET")),
        ("http.route", Text("/products")),
        ("url.path", Text("/products")),
        ("http.response.status_code", Int(200)),
    ]);
    let (_, scene) = story.scene(Some(server), &CATALOG, CLIENT, "GET", (7_000, 7_400));
    scene
        .with(&[
            ("db.system.name", Text("redis")),
            ("db.operation.name", Text("GET")),
            ("db.query.text", Text("GET products:8841")),
        ])
        .event(7_350, "cache.miss", &[("cache.key", Text("products:8841"))]);
    let (_, scene) =
        story.scene(Some(server), &CATALOG, CLIENT, "SELECT products", (8_000, 12_000));
    scene.with(POSTGRES).with(&[
        ("db.namespace", Text("catalog")),
        ("db.operation.name", Text("SELECT")),
        ("db.query.text", Text("SELECT id, name FROM products WHERE cart = $1")),
        ("db.response.returned_rows", Int(10)),
    ]);
    for row in 0..10 {
        let start_us = 12_500 + row * 4_300;
        let times = (start_us, start_us + 3_600);
        let (_, scene) = story.scene(Some(server), &CATALOG, CLIENT, "SELECT prices", times);
        scene.with(POSTGRES).with(&[
            ("db.namespace", Text("catalog")),
            ("db.operation.name", Text("SELECT")),
            ("db.query.text", Text("SELECT amount FROM prices WHERE product = $1")),
            ("db.response.returned_rows", Int(1)),
        ]);
    }
    let times = (55_600, 60_000);
    let (_, scene) = story.scene(Some(server), &CATALOG, INTERNAL, "encode_products", times);
    scene.with(&[("code.function.name", Text("catalog.encode")), ("items", Int(10))]);
}

fn load_cart(story: &mut Story, root: usize) {
    let (client, scene) = story.scene(Some(root), &FRONTEND, CLIENT, "GET", (6_000, 30_000));
    scene.with(&[
        ("http.request.method", Text("GET")),
        ("url.full", Text("http://cart:8080/carts/8841")),
        ("server.address", Text("cart")),
        ("http.response.status_code", Int(200)),
    ]);
    let (server, scene) =
        story.scene(Some(client), &CART, SERVER, "GET /carts/{id}", (7_000, 28_500));
    scene.with(&[
        ("http.request.method", Text("GET")),
        ("http.route", Text("/carts/{id}")),
        ("url.path", Text("/carts/8841")),
        ("http.response.status_code", Int(200)),
    ]);
    let (_, scene) = story.scene(Some(server), &CART, CLIENT, "HGETALL", (8_000, 9_000));
    scene.with(&[
        ("db.system.name", Text("redis")),
        ("db.operation.name", Text("HGETALL")),
        ("db.query.text", Text("HGETALL cart:8841")),
        ("cart.digest", Bytes(&[0xde, 0xad, 0xbe, 0xef, 0x00, 0x7f, 0x80, 0xff])),
    ]);
    let (_, scene) = story.scene(Some(server), &CART, INTERNAL, "merge_carts", (9_500, 28_000));
    scene.with(&[("code.function.name", Text("cart.Merge")), ("items", Int(10))]);
}

pub(crate) const POSTGRES: Attributes = &[
    ("db.system.name", Text("postgresql")),
    ("server.address", Text("pg-0")),
    ("server.port", Int(5432)),
];
