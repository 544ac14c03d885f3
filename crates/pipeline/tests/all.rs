//! The receivers over real TCP on the loopback interface.

mod connections;
mod cors;
mod drain;
mod grpc;
mod grpc_errors;
mod http_client;
mod http_status;
mod limits;
mod raw;
mod support;
