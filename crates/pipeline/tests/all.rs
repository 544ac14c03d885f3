//! Receivers and exporters over real TCP on the loopback interface.

mod components;
mod connections;
mod cors;
mod departed;
mod drain;
mod exporters_others;
mod exporters_otlp;
mod exporters_persistent;
mod exporters_sender;
mod exporters_tls;
mod grpc;
mod grpc_errors;
mod http_client;
mod http_status;
mod limits;
mod raw;
mod support;
