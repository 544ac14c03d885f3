//! Browsers: preflights and the requests themselves.

use http::Method;
use pipeline::receivers::otlp::HttpSettings;
use pipeline::receivers::{ByteBudget, CorsSettings};

use crate::http_client::{Answer, JSON, build, send};
use crate::support::{Server, json};

const LOCAL: &str = "http://localhost:3000";

async fn preflight(server: &Server, origin: &str, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("origin", origin), ("access-control-request-method", "POST")];
    headers.extend_from_slice(more);
    send(server.addr, build(Method::OPTIONS, "/v1/traces", &headers, "")).await
}

#[tokio::test]
async fn a_preflight_from_a_local_page() {
    let server = Server::http().await;
    let asked = "content-type,x-tenant";
    let answer = preflight(
        &server,
        LOCAL,
        &[
            ("access-control-request-headers", asked),
            ("access-control-request-private-network", "true"),
        ],
    )
    .await;
    for (header, value) in [
        ("access-control-allow-origin", LOCAL),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", asked),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-private-network", "true"),
        ("access-control-max-age", "7200"),
        ("vary", "origin, access-control-request-method, access-control-request-headers"),
        ("content-type", ""),
    ] {
        assert_eq!(answer.header(header), value, "{header}");
    }
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(
        preflight(&server, LOCAL, &[]).await.header("access-control-allow-headers"),
        "content-type"
    );
}

#[tokio::test]
async fn requests_by_origin() {
    let server = Server::http().await;
    for (origin, allowed) in [
        (LOCAL, true),
        ("http://localhost", true),
        ("https://127.0.0.1:8443", true),
        ("http://[::1]:5173", true),
        ("https://shop.example", false),
        ("http://localhost.evil.example", false),
        ("null", false),
    ] {
        let expected = if allowed { origin } else { "" };
        let answer = preflight(&server, origin, &[]).await;
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
        assert_eq!(answer.status, if allowed { 204 } else { 403 }, "{origin}");

        let headers = [("origin", origin), ("content-type", JSON)];
        let request = build(Method::POST, "/v1/traces", &headers, json(1, 0));
        let answer = send(server.addr, request).await;
        assert_eq!(answer.status, 200, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
    }
}

#[tokio::test]
async fn a_page_can_read_errors() {
    let server = Server::http().await;
    let headers = [("origin", LOCAL), ("content-type", JSON)];
    let answer = send(server.addr, build(Method::POST, "/v1/traces", &headers, "{")).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("access-control-allow-origin"), LOCAL);
    assert_eq!(answer.header("access-control-expose-headers"), "retry-after");
    assert_eq!(answer.header("vary"), "origin");
}

#[tokio::test]
async fn origins_are_configurable() {
    let cors = CorsSettings {
        allowed_origins: vec!["https://*.shop.example".to_owned()],
        ..CorsSettings::default()
    };
    let settings = HttpSettings { cors, ..HttpSettings::default() };
    let server = Server::http_with(settings, ByteBudget::default()).await;
    assert_eq!(preflight(&server, "https://www.shop.example", &[]).await.status, 204);
    assert_eq!(preflight(&server, LOCAL, &[]).await.status, 403);
}
