//! Two services of a shop: `sdk-app frontend URL-OF-BACKEND` and `sdk-app backend`, traced by the
//! official Rust SDK with its OTLP exporter as it comes. `SDK_APP_EXPORTER=grpc` or `http` chooses
//! the exporter; the `OTEL_…` variables do the rest. Ends when stdin does.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let backend = std::env::args().nth(2);
    // The gRPC client lives in a runtime; the HTTP client must not be made inside one.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exporter = match std::env::var("SDK_APP_EXPORTER")?.as_str() {
        "grpc" => {
            let _inside = runtime.enter();
            SpanExporter::builder().with_tonic().build()?
        }
        _ => SpanExporter::builder().with_http().build()?,
    };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let scope = InstrumentationScope::builder("shop.rs").with_version("1.2.3").build();
    let tracer = provider.tracer_with_scope(scope);

    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = answer(&stream, &tracer, backend.as_deref()) {
                eprintln!("a request failed: {error}");
            }
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    provider.shutdown()?;
    Ok(())
}

/// One request of one connection, as a SERVER span below the caller's.
fn answer(stream: &TcpStream, tracer: &SdkTracer, backend: Option<&str>) -> Result<(), Failure> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().ok_or("no request")??;
    let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let parent = TraceContextPropagator::new().extract(&headers);
    let route = format!("/{}/:order", path.split('/').nth(1).unwrap_or_default());
    let span = tracer
        .span_builder(format!("GET {route}"))
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("http.request.method", "GET"),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", 200),
        ])
        .start_with_context(tracer, &parent);
    let context = parent.with_span(span);
    let body = match backend {
        Some(backend) => {
            call(tracer, &context, &format!("{backend}{}", path.replace("checkout", "stock")))?
        }
        None => query(tracer, &context),
    };
    context.span().end();
    let mut out = stream;
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

fn call(tracer: &SdkTracer, parent: &Context, url: &str) -> Result<String, Failure> {
    let span = tracer
        .span_builder("GET")
        .with_kind(SpanKind::Client)
        .with_attributes([KeyValue::new("url.full", url.to_owned())])
        .start_with_context(tracer, parent);
    let context = parent.with_span(span);
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut headers);
    let mut request = ureq::get(url);
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    let mut body = String::new();
    request.call()?.body_mut().as_reader().read_to_string(&mut body)?;
    context.span().end();
    Ok(body)
}

fn query(tracer: &SdkTracer, parent: &Context) -> String {
    let span = tracer
        .span_builder("SELECT stock")
        .with_kind(SpanKind::Client)
        .with_attributes([
            KeyValue::new("db.system.name", "postgresql"),
            KeyValue::new("db.response.returned_rows", 1),
        ])
        .start_with_context(tracer, parent);
    let context = parent.with_span(span);
    context.span().add_event("row", vec![KeyValue::new("stock", 84)]);
    context.span().set_status(Status::error("slow"));
    context.span().end();
    "{\"stock\":84}".to_owned()
}
