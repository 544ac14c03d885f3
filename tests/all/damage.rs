//! Files that are not as they were written: the rest still serves, and it is said.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use model::TraceId;
use tempfile::TempDir;

use crate::crash::fill_a_head;
use crate::http::Answer;
use crate::otlp::{one_span, spans};
use crate::process::{run, wait_until};
use crate::server::Server;

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn append_to_log(data_dir: &Path, bytes: &[u8]) {
    let log = files(&data_dir.join("log")).pop().expect("a log segment");
    let mut log = OpenOptions::new().append(true).open(log).expect("the log");
    log.write_all(bytes).expect("writing to the log");
}

#[test]
fn a_torn_tail_of_the_log_is_cut_and_reported() {
    let noise: Vec<u8> =
        (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // A record that announces 100 bytes of which few came, as after loss of power.
    let mut torn = 100u32.to_le_bytes().to_vec();
    torn.extend_from_slice(&noise[..40]);
    // Room that was allocated and never written.
    let zeros = vec![0; 5000];
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let mut sent: Vec<u128> = Vec::new();
    for (number, tail) in [noise, torn, zeros].iter().enumerate() {
        let mut server = Server::on(&data_dir);
        for _ in 0..5 {
            let id = 1000 + sent.len() as u128;
            server.export(&one_span(id)).ok();
            sent.push(id);
        }
        server.process.kill();
        append_to_log(&data_dir, tail);

        let server = Server::on(&data_dir);
        let output = server.process.output();
        assert!(output.contains("the log was cut"), "tail {number}: {output}");
        sent.iter().for_each(|id| is_there(&server, *id));
        assert!(data_dir.join("damaged").exists(), "the tail is kept");
        // What was torn is no loss of what anyone was told is safe.
        assert_eq!(server.json("/status")["damaged_log_count"], [1, 1, 2][number]);
        for path in ["/services", "/operations", "/attributes", "/traces"] {
            assert_eq!(server.json(path)["partial"], true, "{path}");
        }
        // What comes after the cut is found after another kill.
        let id = 1000 + sent.len() as u128;
        server.export(&one_span(id)).ok();
        sent.push(id);
    }
    let server = Server::on(&data_dir);
    assert!(!server.process.output().contains("the log was cut"), "{}", server.process.output());
    sent.iter().for_each(|id| is_there(&server, *id));
}

#[test]
fn a_damaged_block_is_set_aside_and_the_rest_serves() {
    let folder = TempDir::new().expect("a temporary folder");
    let data_dir = folder.path().join("data");
    let mut server = Server::on(&data_dir);
    let in_block = fill_a_head(&server, 1);
    wait_until("a sealed block", || {
        let status = server.json("/status");
        (status["block_count"] != 0).then_some(())
    });
    let in_head = 1 << 100;
    server.export(&one_span(in_head)).ok();
    server.process.kill();

    let blocks = files(&data_dir.join("blocks"));
    let largest = |path: &&PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let victim = blocks.iter().max_by_key(largest).expect("a file of a block");
    let mut bytes = std::fs::read(victim).expect("reading a block");
    bytes.iter_mut().step_by(1024).for_each(|byte| *byte ^= 0x55);
    std::fs::write(victim, bytes).expect("writing a block");

    let server = Server::on(&data_dir);
    is_there(&server, in_head);
    let said = |answer: &Answer| {
        answer.header("spanfall-partial") == "true"
            || (answer.status == 404 && answer.text().contains("damaged block"))
    };
    let lost: Vec<TraceId> = in_block
        .keys()
        .filter(|id| {
            let answer = server.api(&format!("/traces/{id}"));
            assert!(answer.status == 200 || said(&answer), "{id}: {answer:?}");
            answer.status != 200 || spans(&answer.json()).len() != in_block[*id].len()
        })
        .copied()
        .collect();
    assert!(!lost.is_empty(), "a block of {} traces is damaged", in_block.len());
    assert_eq!(server.json("/status")["damaged_block_count"], 1);
    let output = server.process.output();
    assert!(output.contains("damaged block set aside"), "{output}");
    assert!(!files(&data_dir.join("damaged")).is_empty(), "the block is kept");
    // Said for as long as something is missing, not only to who met it first.
    for id in lost.iter().take(10) {
        let answer = server.api(&format!("/traces/{id}"));
        assert!(said(&answer), "{id}: {answer:?}");
    }
    let page = server.json("/traces?limit=5");
    assert_eq!(page["partial"], true, "{page}");
    assert!(page.to_string().contains(&TraceId::from_number(in_head).to_string()), "{page}");
    assert_eq!(server.json("/series")["partial"], true);
    let found = run(&mut server.client(&["search", "--limit", "1"]), b"");
    assert!(found.stderr.contains("damaged block"), "{found:?}");
    // Taking spans goes on.
    server.wait_for_health(200);
    server.export(&one_span(in_head + 1)).ok();
    is_there(&server, in_head + 1);
}

/// Asserts that the only span of a trace is served, whatever is missing elsewhere.
fn is_there(server: &Server, trace_id: u128) {
    let trace = server.json(&format!("/traces/{}", TraceId::from_number(trace_id)));
    assert_eq!(spans(&trace).len(), 1, "{trace}");
}
