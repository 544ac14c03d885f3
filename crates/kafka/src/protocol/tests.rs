//! Any bytes: an answer is read or refused, without a panic and without memory for what is not
//! there.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::Request;
use super::fetch::Fetch;
use super::group::{Heartbeat, JoinGroup, LeaveGroup, SyncGroup};
use super::metadata::{FindCoordinator, Metadata};
use super::offsets::{ListOffsets, OffsetCommit, OffsetFetch};
use super::produce::Produce;
use super::session::{ApiVersions, SaslAuthenticate, SaslHandshake};
use crate::assignment::{read_assignment, read_subscription};
use crate::records::{Batches, Compression, NewRecord, encode};
use crate::wire::{Reader, Writer};

fn read<R: Request>(request: &R, bytes: &Bytes) {
    let mut reader = Reader::new(bytes.clone());
    let _ = request.read(&mut reader);
    assert!(reader.remaining() <= bytes.len());
}

fn read_all(bytes: &Bytes) {
    let (group, member, instance) = ("g", "m", Some("i"));
    read(&ApiVersions, bytes);
    read(&SaslHandshake { mechanism: "PLAIN" }, bytes);
    read(&SaslAuthenticate { bytes: Vec::new() }, bytes);
    read(&Metadata { topics: None, may_create: false }, bytes);
    read(&FindCoordinator { group }, bytes);
    read(&Produce { acks: 1, timeout_ms: 1, topics: Vec::new() }, bytes);
    read(&ListOffsets { earliest: true, topics: Vec::new() }, bytes);
    read(&OffsetFetch { group, topics: Vec::new() }, bytes);
    for instance in [None, instance] {
        let topics = Vec::new();
        read(&OffsetCommit { group, generation: 1, member, instance, topics }, bytes);
        let join = JoinGroup {
            group,
            session_timeout_ms: 1,
            rebalance_timeout_ms: 1,
            member,
            instance,
            strategies: Vec::new(),
        };
        read(&join, bytes);
        let assignments = Vec::new();
        read(&SyncGroup { group, generation: 1, member, instance, assignments }, bytes);
        read(&Heartbeat { group, generation: 1, member, instance }, bytes);
    }
    read(&LeaveGroup { group, member }, bytes);
    let fetch = Fetch {
        wait_ms_max: 1,
        bytes_min: 1,
        bytes_max: 1,
        partition_bytes_max: 1,
        topics: Vec::new(),
    };
    read(&fetch, bytes);
    let _ = read_subscription(bytes.clone());
    let _ = read_assignment(bytes.clone());
    read_records(bytes);
}

fn read_records(bytes: &Bytes) {
    for batch in Batches::new(bytes.clone()) {
        // A reader gets on, whatever a batch says of itself.
        assert!(batch.next_offset > batch.base_offset || batch.base_offset == i64::MAX);
        let Ok(records) = batch.content.and_then(|content| content.records()) else { continue };
        for record in records.flatten() {
            let _ = record.headers(10);
        }
    }
}

/// Numbers as lengths and counts are, among bytes.
fn pieces() -> impl Strategy<Value = Bytes> {
    let number = prop_oneof![-2..8i32, Just(i32::MAX), Just(i32::MIN), Just(1 << 20)];
    let piece = prop_oneof![
        4 => number.prop_map(|number| number.to_be_bytes().to_vec()),
        2 => (-2..5i16).prop_map(|number| number.to_be_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..9),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat().into())
}

/// A batch with a right checksum around a changed rest.
fn batches() -> impl Strategy<Value = Bytes> {
    let compression = prop_oneof![
        Just(Compression::None),
        Just(Compression::Gzip),
        Just(Compression::Snappy),
        Just(Compression::Lz4),
        Just(Compression::Zstd),
    ];
    let changes = vec((21..200usize, any::<u8>()), 0..4);
    (compression, vec(any::<u8>(), 0..300), changes).prop_map(|(compression, value, changes)| {
        let headers = vec![("name".to_owned(), Bytes::from_static(b"value"))];
        let record = NewRecord { key: None, value: value.into(), headers };
        let batch = encode([&record, &record].into_iter(), compression, 1).unwrap();
        let mut bytes = batch.to_vec();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        let checksum = crc32c::crc32c(&bytes[21..]).to_be_bytes();
        bytes[17..21].copy_from_slice(&checksum);
        bytes.into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_answer_is_read_or_refused(bytes in pieces()) {
        read_all(&bytes);
    }

    #[test]
    fn any_batch_is_read_or_refused(bytes in batches()) {
        read_records(&bytes);
    }
}

/// An answer as a broker of Kafka 4.1 gave it would end right behind its last field; one byte less
/// is cut off.
#[test]
fn an_answer_that_is_cut_off_is_refused() {
    let mut out = Writer::default();
    out.i32(0);
    out.list([1, 2].into_iter(), |out, id| {
        out.i32(id);
        out.text("host");
        out.i32(9092);
        out.text_or_null(None);
    });
    out.text_or_null(Some("cluster"));
    out.i32(1);
    out.list([()].into_iter(), |out, ()| {
        out.i16(0);
        out.text("topic");
        out.bool(false);
        out.list([0, 1].into_iter(), |out, index| {
            out.i16(0);
            out.i32(index);
            out.i32(2);
            out.i32(7);
            for _ in 0..3 {
                out.list([2].into_iter(), Writer::i32);
            }
        });
    });
    let whole = out.bytes.freeze();
    let request = Metadata { topics: None, may_create: false };
    let mut reader = Reader::new(whole.clone());
    let answer = request.read(&mut reader).unwrap();
    assert_eq!(reader.remaining(), 0);
    assert_eq!((answer.brokers.len(), answer.topics[0].partitions[1].leader), (2, 2));
    for length in 0..whole.len() {
        let cut = whole.slice(..length);
        assert!(request.read(&mut Reader::new(cut)).is_err(), "{length}");
    }
}
