//! The receiver `otlp_json_file` on real files, which grow, are renamed, copied and emptied.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline::Refusal;
use pipeline::receivers::ByteBudget;
use prost::Message;
use tempfile::TempDir;

use crate::receivers_support::{Receiver, diagnosed, request};
use crate::support::{Behaviour, until};

/// A folder of files, and one for a storage.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.at("storage")).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds to a file, making it if it is not there.
    fn add(&self, name: &str, text: &str) {
        append(&self.at(name), text);
    }

    /// A receiver of some files with more settings.
    async fn receiver(&self, pattern: &str, more: &str) -> Receiver {
        self.receiver_with(pattern, more, ByteBudget::default()).await
    }

    async fn receiver_with(&self, pattern: &str, more: &str, budget: ByteBudget) -> Receiver {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        let settings = format!(
            "otlp_json_file: {{include: ['{}'], poll_interval: 2ms{more}}}",
            self.at(pattern).display()
        );
        let storage = self.at("storage");
        let extensions = format!("{{file_storage: {{directory: '{}'}}}}", storage.display());
        Receiver::with(&settings, &extensions, budget).await
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A line of so many spans, named from a number on.
fn line(first: usize, spans: usize) -> String {
    model::json::encode(&request(first, spans).encode_to_vec()).unwrap() + "\n"
}

fn expected(spans: std::ops::Range<usize>) -> Vec<String> {
    spans.map(|index| format!("span {index}")).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| name[5..].parse::<usize>().unwrap());
    names
}

/// Waits for so many spans, and that they are those from zero on, each once.
async fn taken(receiver: &Receiver, spans: usize) {
    let count = || receiver.consumer.taken().iter().sum::<usize>();
    until(&format!("{spans} spans"), || count() >= spans).await;
    assert_eq!(sorted(receiver.names()), expected(0..spans));
}

fn open_files(receiver: &Receiver) -> u64 {
    let samples = receiver.house.telemetry.collect();
    let found = samples.iter().find(|one| one.name == "otelcol_fileconsumer_open_files");
    found.map_or(0, |one| one.value as u64)
}

const BEGIN: &str = "start_at: beginning";
const STORED: &str = "start_at: beginning, storage: file_storage";

#[tokio::test]
async fn files_are_followed_as_they_grow() {
    let place = Place::new();
    place.add("a.json", &line(0, 2));
    place.add("a.txt", &line(90, 1));
    let receiver = place.receiver("*.json", BEGIN).await;
    taken(&receiver, 2).await;
    place.add("a.json", &line(2, 1));
    taken(&receiver, 3).await;
    place.add("b.json", &(line(3, 1) + &line(4, 1)));
    taken(&receiver, 5).await;
    // A line that comes in pieces, and one that ends as other systems end them.
    let whole = line(5, 1);
    let (one, other) = whole.split_at(whole.len() / 2);
    place.add("b.json", one);
    place.add("a.json", &line(6, 1).replace('\n', "\r\n\n  \n"));
    until("the other file's", || receiver.names().len() == 6).await;
    place.add("b.json", other);
    taken(&receiver, 7).await;
    until("counted", || receiver.spans("file") == [7, 0, 0]).await;
    assert_eq!(receiver.failed("file", "undecodable"), 0);
    receiver.stop().await;
}

#[tokio::test]
async fn from_the_end_on() {
    let place = Place::new();
    place.add("old.json", &line(90, 3));
    place.add("half.json", &(line(93, 1) + "{\"resourceSpans\":["));
    // Files are looked at before the receiver has started, or soon after.
    let receiver = place.receiver("*.json", "").await;
    until("both are open", || open_files(&receiver) == 2).await;
    // The rest of a line that was only half there is not taken, as a whole is not.
    place.add("half.json", &("]}\n".to_owned() + &line(0, 1)));
    place.add("old.json", &line(1, 1));
    place.add("new.json", &line(2, 1));
    taken(&receiver, 3).await;
    assert_eq!(receiver.failed("file", "undecodable"), 0);
}

#[tokio::test]
async fn renamed_files_are_read_to_their_end_and_once() {
    for pattern in ["a.json", "a.json*"] {
        let place = Place::new();
        place.add("a.json", &line(0, 1));
        let receiver = place.receiver(pattern, BEGIN).await;
        taken(&receiver, 1).await;
        let mut writer = OpenOptions::new().append(true).open(place.at("a.json")).unwrap();
        writer.write_all(line(1, 1).as_bytes()).unwrap();
        fs::rename(place.at("a.json"), place.at("a.json.1")).unwrap();
        writer.write_all(line(2, 1).as_bytes()).unwrap();
        place.add("a.json", &line(3, 1));
        taken(&receiver, 4).await;
        // Who writes has not noticed yet.
        writer.write_all(line(4, 1).as_bytes()).unwrap();
        place.add("a.json", &line(5, 1));
        taken(&receiver, 6).await;
    }
}

#[tokio::test]
async fn a_copy_goes_on_where_the_original_was() {
    let place = Place::new();
    place.add("a.json", &line(0, 2));
    let receiver = place.receiver("a.json*", BEGIN).await;
    taken(&receiver, 2).await;
    place.add("a.json", &line(2, 1));
    taken(&receiver, 3).await;
    // As rotation does it for those who do not open their files anew.
    fs::copy(place.at("a.json"), place.at("a.json.1")).unwrap();
    let writer = OpenOptions::new().append(true).open(place.at("a.json")).unwrap();
    writer.set_len(0).unwrap();
    (&writer).write_all(line(3, 1).as_bytes()).unwrap();
    taken(&receiver, 4).await;
    place.add("a.json.1", &line(4, 1));
    taken(&receiver, 5).await;
}

#[tokio::test]
async fn a_file_written_anew_is_read_anew() {
    let place = Place::new();
    place.add("a.json", &line(0, 1));
    let receiver = place.receiver("a.json", BEGIN).await;
    taken(&receiver, 1).await;
    // Longer than before, in the same place.
    fs::write(place.at("a.json"), line(1, 1) + &line(2, 1)).unwrap();
    taken(&receiver, 3).await;
    // As long as before.
    fs::write(place.at("a.json"), line(3, 1) + &line(4, 1)).unwrap();
    taken(&receiver, 5).await;
}

#[tokio::test]
async fn a_restart_loses_and_repeats_nothing() {
    let place = Place::new();
    place.add("a.json", &(line(0, 1) + &line(1, 1)));
    place.add("b.json", &line(2, 1));
    let receiver = place.receiver("*.json*", STORED).await;
    taken(&receiver, 3).await;
    let first = receiver.stop().await;
    assert_eq!(first.taken().len(), 3);
    // While it is down: one grows and is renamed, one is copied, one is new.
    place.add("a.json", &line(0, 1).replace("span 0", "span 10"));
    fs::rename(place.at("a.json"), place.at("a.json.1")).unwrap();
    fs::copy(place.at("b.json"), place.at("c.json")).unwrap();
    place.add("d.json", &line(11, 1));
    let receiver = place.receiver("*.json*", STORED).await;
    until("what is new", || receiver.names().len() >= 2).await;
    place.add("c.json", &line(12, 1));
    until("what is added", || receiver.names().len() >= 3).await;
    assert_eq!(sorted(receiver.names()), expected(10..13));
    receiver.stop().await;
    let receiver = place.receiver("*.json*", STORED).await;
    place.add("d.json", &line(13, 1));
    until("the last", || !receiver.names().is_empty()).await;
    assert_eq!(receiver.names(), expected(13..14));
}

#[tokio::test]
async fn what_came_while_it_was_down_is_read_from_its_beginning() {
    let place = Place::new();
    let stored = "start_at: end, storage: file_storage";
    place.add("a.json", &line(90, 1));
    let receiver = place.receiver("*.json", stored).await;
    let kept = place.at("storage/receiver_otlp_json_file/positions.json");
    until("places are kept", || kept.exists()).await;
    receiver.stop().await;
    place.add("a.json", &line(0, 1));
    place.add("b.json", &line(1, 1));
    let receiver = place.receiver("*.json", stored).await;
    taken(&receiver, 2).await;
    receiver.stop().await;
    // Other patterns are as good as a first run.
    place.add("b.txt", &line(91, 1));
    let receiver = place.receiver("*", stored).await;
    until("places are kept", || fs::read_to_string(&kept).unwrap().contains("/*\"")).await;
    place.add("b.txt", &line(0, 1));
    place.add("a.json", &line(1, 1));
    taken(&receiver, 2).await;
}

#[tokio::test]
async fn a_storage_in_use_or_damaged_is_named() {
    let place = Place::new();
    let receiver = place.receiver("*.json", STORED).await;
    let storage = place.at("storage/receiver_otlp_json_file");
    let mut other = crate::components::House::new();
    let settings = format!(
        "otlp_json_file: {{include: ['{}'], storage: file_storage}}",
        place.at("*.json").display()
    );
    let extensions =
        format!("{{file_storage: {{directory: '{}'}}}}", place.at("storage").display());
    let config = Receiver::config(&settings, &extensions);
    let error = other.apply(&config).await.unwrap_err();
    assert!(error.contains("in use by another process"), "{error}");
    receiver.stop().await;
    fs::write(storage.join("positions.json"), "{").unwrap();
    let error = other.apply(&config).await.unwrap_err();
    assert!(error.contains("positions.json") && error.contains("damaged"), "{error}");
    fs::remove_file(storage.join("positions.json")).unwrap();
    other.apply(&config).await.unwrap();
}

#[tokio::test]
async fn a_pipeline_that_refuses_for_now_is_waited_for() {
    let place = Place::new();
    place.add("a.json", &(line(0, 2) + &line(2, 1)));
    let retry_after = Duration::from_millis(1);
    let receiver = place.receiver("a.json", STORED).await;
    receiver.stop().await;
    fs::remove_file(place.at("storage/receiver_otlp_json_file/positions.json")).unwrap();

    // It ends while the pipeline refuses, and begins again: nothing is lost.
    let consumer = crate::support::Recorder::new();
    let reason = || "full".to_owned();
    consumer.behave(Behaviour::Refuse(Refusal::Exhausted { reason: reason(), retry_after }));
    let settings = format!(
        "otlp_json_file: {{include: ['{}'], poll_interval: 2ms, {STORED}}}",
        place.at("a.json").display()
    );
    let extensions =
        format!("{{file_storage: {{directory: '{}'}}}}", place.at("storage").display());
    let config = Receiver::config(&settings, &extensions);
    let mut house = crate::components::House::with(consumer.clone(), ByteBudget::default());
    house.apply(&config).await.unwrap();
    until("asked twice", || consumer.calls() >= 2).await;
    assert_eq!(house.graph.stop().await, 0);
    assert!(consumer.taken().is_empty());

    consumer.behave(Behaviour::Refuse(Refusal::Unavailable { reason: reason(), retry_after }));
    house.apply(&config).await.unwrap();
    let asked = consumer.calls();
    until("asked twice more", || consumer.calls() >= asked + 2).await;
    consumer.behave(Behaviour::Accept);
    until("all are taken", || consumer.taken() == [2, 1]).await;
    until("counted", || house.counted("otelcol_receiver_accepted_spans", "file", None) == 3.0)
        .await;
    assert_eq!(house.counted("otelcol_receiver_refused_spans", "file", None), 0.0);
}

#[tokio::test]
async fn what_was_taken_is_kept_while_the_pipeline_refuses() {
    let place = Place::new();
    let (first, second) = (line(0, 1), line(1, 1));
    let receiver = place.receiver("a.json", STORED).await;
    receiver.consumer.behave(Behaviour::Wait);
    place.add("a.json", &(first.clone() + &second));
    until("the first is with it", || receiver.consumer.calls() == 1).await;
    let retry_after = Duration::from_secs(60);
    receiver
        .consumer
        .behave(Behaviour::Refuse(Refusal::Unavailable { reason: "down".into(), retry_after }));
    receiver.consumer.release(1);
    let kept = place.at("storage/receiver_otlp_json_file/positions.json");
    let offset = format!("\"offset\":{},", first.len());
    until("its place is kept", || {
        fs::read_to_string(&kept).is_ok_and(|text| text.contains(&offset))
    })
    .await;
    // As a kill would leave it.
    let other = Place::new();
    let folder = other.at("storage/receiver_otlp_json_file");
    fs::create_dir(&folder).unwrap();
    fs::copy(&kept, folder.join("positions.json")).unwrap();
    fs::hard_link(place.at("a.json"), other.at("a.json")).unwrap();
    let again = other.receiver("a.json", STORED).await;
    until("the second", || !again.names().is_empty()).await;
    assert_eq!(again.names(), expected(1..2));
}

#[tokio::test]
async fn what_will_never_be_taken_is_counted_and_passed() {
    let place = Place::new();
    let receiver = place.receiver("*.json", BEGIN).await;
    for (step, behaviour) in [
        Behaviour::Refuse(Refusal::Invalid { reason: "bad".into() }),
        Behaviour::Refuse(Refusal::Internal { reason: "broken".into() }),
        Behaviour::Panic,
    ]
    .into_iter()
    .enumerate()
    {
        receiver.consumer.behave(behaviour);
        place.add("a.json", &line(90, 2));
        until("counted", || receiver.spans("file") == [0, 2 * (step as u64 + 1), 0]).await;
    }
    receiver.consumer.behave(Behaviour::Accept);
    place.add("a.json", &line(0, 1));
    taken(&receiver, 1).await;
    assert_eq!(receiver.house.graph.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn bad_lines_are_counted_and_the_others_taken() {
    let place = Place::new();
    let invalid = line(90, 2).replace(&"07".repeat(16), &"00".repeat(16));
    let logs = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{}]}]}]}\n";
    place.add("a.json", &line(0, 1));
    place.add("a.json", "this is no JSON\n");
    place.add("a.json", "{\"resourceSpans\":5}\n\n");
    place.add("a.json", logs);
    place.add("a.json", &invalid);
    append(&place.at("a.json"), "\u{0}\n");
    place.add("a.json", &line(1, 1));
    let receiver = place.receiver("a.json", BEGIN).await;
    taken(&receiver, 2).await;
    assert_eq!(receiver.failed("file", "undecodable"), 3);
    until("counted", || receiver.spans("file") == [2, 0, 2]).await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_left_out_as_a_whole() {
    let place = Place::new();
    let (short, long) = (line(0, 1), line(50, 10));
    let limit = short.len() + 10;
    assert!(long.len() > limit);
    let receiver = place.receiver("a.json", &format!("{BEGIN}, max_log_size: {limit}")).await;
    place.add("a.json", &(short + &long + &line(1, 1)));
    taken(&receiver, 2).await;
    // One that grows.
    for _ in 0..3 {
        place.add("a.json", &"x".repeat(limit));
    }
    until("counted", || receiver.failed("file", "oversize") == 2).await;
    place.add("a.json", &("x".to_owned() + "\n" + &line(2, 1)));
    taken(&receiver, 3).await;
    assert_eq!(receiver.failed("file", "oversize"), 2);
}

#[tokio::test]
async fn a_last_line_without_its_end_is_taken_if_it_is_whole() {
    let place = Place::new();
    let receiver = place.receiver("*.json", &format!("{BEGIN}, force_flush_period: 10ms")).await;
    place.add("a.json", line(0, 1).trim_end());
    taken(&receiver, 1).await;
    // Its end, and half of the next: which is not taken for a whole one.
    let next = line(1, 1);
    place.add("a.json", &("\n".to_owned() + &next[..40]));
    // By the time that another is taken, which came later, the half has been looked at.
    place.add("b.json", line(2, 1).trim_end());
    until("the later one", || receiver.names().len() == 2).await;
    assert_eq!(receiver.failed("file", "undecodable"), 0);
    place.add("a.json", &next[40..]);
    taken(&receiver, 3).await;
    assert_eq!(receiver.failed("file", "undecodable"), 0);
}

#[tokio::test]
async fn a_large_file_fits_through_a_small_budget() {
    let place = Place::new();
    let mut file = File::create(place.at("a.json")).unwrap();
    let mut spans = 0;
    while file.metadata().unwrap().len() < 12 << 20 {
        file.write_all(line(spans, 100).as_bytes()).unwrap();
        spans += 100;
    }
    let budget = ByteBudget::new(4 << 20);
    let receiver = place.receiver_with("a.json", BEGIN, budget.clone()).await;
    taken(&receiver, spans).await;
    assert_eq!(receiver.failed("file", "busy"), 0);
    receiver.stop().await;
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn replayed_files_are_read_over_and_over() {
    let place = Place::new();
    place.add("a.json", &line(0, 1));
    let receiver = place.receiver("a.json", "replay_file: true").await;
    until("three times", || receiver.names().len() >= 3).await;
    place.add("a.json", &line(1, 1));
    until("what was added", || receiver.names().contains(&"span 1".to_owned())).await;
}

#[tokio::test]
async fn what_is_excluded_or_old_is_left() {
    let place = Place::new();
    place.add("a.json", &line(0, 1));
    place.add("b.json", &line(90, 1));
    place.add("old.json", &line(91, 1));
    let old = File::options().append(true).open(place.at("old.json")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(7200)).unwrap();
    let exclude = place.at("b*");
    let more = format!("{BEGIN}, exclude: ['{}'], exclude_older_than: 1h", exclude.display());
    let receiver = place.receiver("*.json", &more).await;
    taken(&receiver, 1).await;
    place.add("a.json", &line(1, 1));
    taken(&receiver, 2).await;
}

#[tokio::test]
async fn more_files_than_may_be_open() {
    let place = Place::new();
    let receiver = place.receiver("*.json", &format!("{BEGIN}, max_concurrent_files: 2")).await;
    for round in 0..3 {
        for file in 0..10 {
            place.add(&format!("{file}.json"), &line(round * 10 + file, 1));
        }
        taken(&receiver, (round + 1) * 10).await;
        assert!((1..=2).contains(&open_files(&receiver)));
    }
}

#[tokio::test]
async fn both_names_and_a_reload() {
    let place = Place::new();
    place.add("a.json", &line(0, 1));
    let settings = |interval: &str| {
        format!(
            "otlpjsonfile/x: {{include: ['{}'], poll_interval: {interval}, {STORED}}}",
            place.at("*.json").display()
        )
    };
    let extensions =
        format!("{{file_storage: {{directory: '{}'}}}}", place.at("storage").display());
    let mut receiver = Receiver::with(&settings("2ms"), &extensions, ByteBudget::default()).await;
    taken(&receiver, 1).await;
    let config = Receiver::config(&settings("3ms"), &extensions);
    receiver.house.apply(&config).await.unwrap();
    place.add("a.json", &line(1, 1));
    taken(&receiver, 2).await;
    let consumer = Arc::clone(&receiver.consumer);
    receiver.stop().await;
    assert_eq!(consumer.taken(), [1, 1]);
}

#[test]
fn settings() {
    for settings in [
        "otlp_json_file: {include: ['/var/log/*.json']}",
        "otlpjsonfile: {include: [/a, '/b/**/*.{json,jsonl}'], exclude: ['/b/c/*'], start_at: beginning}",
        "otlp_json_file: {include: [/a], poll_interval: 1s, max_log_size: 4MiB, fingerprint_size: 1kb, max_concurrent_files: 100, force_flush_period: 0s, encoding: utf-8, include_file_name: false, replay_file: true}",
    ] {
        let told = diagnosed(settings);
        assert!(!told.contains("error"), "{settings}: {told}");
    }
    for (settings, says) in [
        ("otlp_json_file:", "include"),
        ("otlp_json_file: {include: []}", "must have a pattern"),
        ("otlp_json_file: {include: ['/a[b']}", "bracket that is not closed"),
        ("otlp_json_file: {include: [/a], start_at: middle}", "unsupported value \"middle\""),
        ("otlp_json_file: {include: [/a], poll_interval: 0s}", "poll_interval"),
        ("otlp_json_file: {include: [/a], max_log_size: 0}", "max_log_size"),
        ("otlp_json_file: {include: [/a], fingerprint_size: 1}", "fingerprint_size"),
        ("otlp_json_file: {include: [/a], encoding: utf-16}", "JSON is UTF-8"),
        ("otlp_json_file: {include: [/a], compression: gzip}", "files are read as they are"),
        ("otlp_json_file: {include: [/a], delete_after_read: true}", "never removed"),
        ("otlp_json_file: {include: [/a], header: {pattern: x}}", "a document of its own"),
        (
            "otlp_json_file: {include: [/a], multiline: {line_start_pattern: x}}",
            "a document is a line",
        ),
        (
            "otlp_json_file: {include: [/a], storage: file_storage}",
            "\"file_storage\" is not among service::extensions",
        ),
        ("otlp_json_file: {includes: [/a]}", "includes"),
    ] {
        let told = diagnosed(settings);
        assert!(told.contains(says), "{settings}: {told}");
    }
}
