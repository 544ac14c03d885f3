//! A backend that answers every request over gRPC with the same status.

use std::net::SocketAddr;

use model::wire::{put_bytes_field, put_message, put_varint_field};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

/// The backend; it ends with this.
pub struct Refuser {
    /// Where it is.
    pub address: String,
    _end: oneshot::Sender<()>,
}

struct Always(Status);

#[tonic::async_trait]
impl TraceService for Always {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Err(self.0.clone())
    }
}

impl Refuser {
    /// One that says this, with a `RetryInfo` of no time if it asks to come again.
    pub fn start(code: Code, again: bool) -> Self {
        let mut details = Vec::new();
        if again {
            put_varint_field(&mut details, 1, code as u64);
            put_message(&mut details, 3, |any| {
                put_bytes_field(any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
                put_bytes_field(any, 2, b"");
            });
        }
        let status = Status::with_details(code, "not now", details.into());
        let (end, ended) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
                let incoming = TcpIncoming::bind(any).expect("a port");
                let address = incoming.local_addr().expect("its address");
                tell.send(address.to_string()).expect("somebody who asks");
                let service = TraceServiceServer::new(Always(status));
                let service = service.accept_compressed(CompressionEncoding::Gzip);
                let server = Server::builder().add_service(service);
                tokio::select! {
                    served = server.serve_with_incoming(incoming) => served.expect("a server"),
                    _ = ended => {}
                }
            });
        });
        Self { address: told.recv().expect("an address"), _end: end }
    }
}
