//! Receivers and exporters over real TCP on the loopback interface.

/// As the binary has it, so that heap profiles can be taken.
#[global_allocator]
static ALLOCATOR: pipeline::extensions::SampledAlloc<std::alloc::System> =
    pipeline::extensions::SampledAlloc::new(std::alloc::System);

mod broker;
mod components;
mod connections;
mod cors;
mod departed;
mod drain;
mod exporters_jaeger;
mod exporters_others;
mod exporters_otlp;
mod exporters_persistent;
mod exporters_sender;
mod exporters_tls;
mod exporters_zipkin;
mod extensions_pages;
mod grpc;
mod grpc_errors;
mod http_client;
mod http_status;
mod kafka;
mod limits;
mod raw;
mod receivers_file;
mod receivers_jaeger;
mod receivers_support;
mod receivers_zipkin;
mod support;
mod telemetry;
mod unix;
