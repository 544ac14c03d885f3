//! A full disk: nothing is taken, nothing that was is lost, and it goes on by itself.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::TraceId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tempfile::TempDir;

use crate::http;
use crate::otlp::one_span;
use crate::process::Process;
use crate::server::{Addresses, Server, serve};

/// More than the 64 MiB that the store keeps free for sealing.
const DISK_MIB: u64 = 160;

/// The command inside a mount namespace of its own, with a small filesystem at `folder`; gone with
/// the process.
pub fn on_small_disk(folder: &Path, command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    // As root without a user namespace, which some systems refuse.
    outer.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
    let script = format!("mount -t tmpfs -o size={DISK_MIB}m spanfall \"$0\" && exec \"$@\"");
    outer.args(["sh", "-c", &script]).arg(folder);
    inside(outer, command)
}

/// The command inside the mount namespace of another process.
fn beside(holder: &Process, command: &Command) -> Command {
    let mut outer = Command::new("nsenter");
    outer.arg(format!("--target={}", holder.id())).arg("--mount");
    if !rustix::process::geteuid().is_root() {
        outer.args(["--user", "--preserve-credentials"]);
    }
    inside(outer, command)
}

/// The command as what another one runs.
fn inside(mut inside: Command, command: &Command) -> Command {
    inside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside
}

/// Takes all room that is left.
pub fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file that fills the disk");
    let chunk = vec![0; 1 << 20];
    let written = (0..=DISK_MIB).take_while(|_| file.write_all(&chunk).is_ok()).count();
    assert!(written < DISK_MIB as usize, "{} is not the small disk", path.display());
}

fn export_over_grpc(server: &Server, request: &[u8]) -> Result<(), tonic::Status> {
    let request = ExportTraceServiceRequest::decode(request).expect("an own request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let url = format!("http://{}", server.at.otlp_grpc);
        let mut client = TraceServiceClient::connect(url).await.expect("a connection");
        client.export(request).await.map(|_| ())
    })
}

fn is_stored(server: &Server, id: u128) {
    server.api(&format!("/traces/{}", TraceId::from_number(id))).ok();
}

#[test]
fn a_full_disk_refuses_and_then_goes_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("a mount point");
    let server = Server::run(on_small_disk(&disk, &serve(&disk.join("data"))));
    // The disk as the server sees it.
    let root = PathBuf::from(format!("/proc/{}/root", server.process.id()));
    let disk = root.join(disk.strip_prefix("/").expect("an absolute path"));
    (1..=20).for_each(|id| drop(server.export(&one_span(id)).ok()));
    export_over_grpc(&server, &one_span(21)).expect("taken over gRPC");

    let filler = disk.join("filler");
    fill(&filler);
    let health = server.wait_for_health(503);
    assert!(health["problems"].to_string().contains("free"), "{health}");

    let refused = server.export(&one_span(100));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    assert_eq!(refused.header("content-type"), "application/x-protobuf");
    // `google.rpc.Status`: the message is field 2.
    let status = tonic_status(&refused.body);
    assert!(status.1.contains("free") && status.1.contains("data"), "{status:?}");

    let url = format!("http://{}/v1/traces", server.at.otlp_http);
    let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"000000000000000000000000000000aa","spanId":"00000000000000bb","name":"x"}]}]}]}"#;
    let refused = http::request("POST", &url, &[("content-type", "application/json")], Some(json));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.json()["message"].as_str().is_some_and(|text| text.contains("free")));

    let refused = export_over_grpc(&server, &one_span(101)).expect_err("a full disk");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    assert!(!refused.details().is_empty(), "RetryInfo is missing: {refused:?}");

    // Reading goes on.
    (1..=21).for_each(|id| is_stored(&server, id));
    for refused in [100, 101] {
        let id = TraceId::from_number(refused);
        assert_eq!(server.api(&format!("/traces/{id}")).status, 404);
    }

    std::fs::remove_file(&filler).expect("making room");
    server.wait_for_health(200);
    (200..=210).for_each(|id| drop(server.export(&one_span(id)).ok()));
    let stored = (1..=21).chain(200..=210);
    stored.clone().for_each(|id| is_stored(&server, id));

    // What lies on the disk is whole: another server reads a copy of it.
    let copy = folder.path().join("copy");
    let copied = Command::new("cp").arg("-r").arg(disk.join("data")).arg(&copy).status();
    assert!(copied.expect("cp").success());
    drop(server);
    let server = Server::on(&copy);
    assert!(!server.process.output().contains("the log was cut"), "{}", server.process.output());
    stored.for_each(|id| is_stored(&server, id));
}

/// Killed, and started on the disk that is full by then: the log is read, reading goes on, and
/// what it refuses it takes once there is room.
#[test]
fn a_start_on_a_full_disk() {
    let folder = TempDir::new().expect("a temporary folder");
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("a mount point");
    // The disk outlives the server with this one, which ends with the test.
    let mut script = Command::new("sh");
    script.args(["-c", "echo mounted; cat"]);
    let mut holder = Process::start(&mut on_small_disk(&disk, &script));
    holder.wait_for("that the disk is there", |text| text.contains("mounted").then_some(()));
    let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
    let seen = root.join(disk.strip_prefix("/").expect("an absolute path"));

    let mut server = Server::run(beside(&holder, &serve(&disk.join("data"))));
    (1..=20).for_each(|id| drop(server.export(&one_span(id)).ok()));
    let filler = seen.join("filler");
    fill(&filler);
    server.process.kill();

    let mut process = Process::start(&mut beside(&holder, &serve(&disk.join("data"))));
    let at = process.wait_for("where it listens", Addresses::read);
    let server = Server::at(process, at);
    crate::process::wait_until("that health names the disk", || {
        let health = server.wait_for_health(503);
        health["problems"].to_string().contains("free").then_some(())
    });
    (1..=20).for_each(|id| is_stored(&server, id));
    let page = server.json("/traces?limit=1000");
    assert_eq!(page["traces"].as_array().map(Vec::len), Some(20));
    let refused = server.export(&one_span(100));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(server.api(&format!("/traces/{}", TraceId::from_number(100))).status, 404);

    std::fs::remove_file(&filler).expect("making room");
    server.wait_for_health(200);
    server.export(&one_span(100)).ok();
    (1..=20).chain([100]).for_each(|id| is_stored(&server, id));
}

/// Code and message of a `google.rpc.Status`.
fn tonic_status(body: &[u8]) -> (u64, String) {
    use model::wire::{Field, Reader};
    let mut reader = Reader::new(body);
    let (mut code, mut message) = (0, String::new());
    while let Some((number, field)) = reader.next_field().expect("protobuf") {
        match (number, field) {
            (1, Field::Varint(value)) => code = value,
            (2, Field::Bytes(bytes)) => message = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    (code, message)
}
