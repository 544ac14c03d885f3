//! Tests of the whole binary, each with servers, folders and ports of its own.

mod access;
mod architecture;
mod browser;
mod cli;
mod collector;
mod crash;
mod damage;
// Small filesystems are mounted by `unshare`.
#[cfg(target_os = "linux")]
mod disk_full;
mod faults;
mod http;
mod jaeger;
mod late;
mod legacy_clients;
mod lifecycle;
mod openapi;
mod otlp;
mod process;
mod prometheus;
mod query;
mod query_clients;
mod quick_start;
mod sdk;
mod server;
mod start;
mod tempo;
mod tools;
mod tutorials;
mod zipkin;
