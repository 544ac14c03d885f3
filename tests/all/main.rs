//! Tests of the whole binary, each with servers, folders and ports of its own.

mod browser;
mod http;
mod otlp;
mod process;
mod sdk;
mod server;
mod tools;
