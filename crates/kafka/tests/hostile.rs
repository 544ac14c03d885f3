//! Brokers that do not do as they should, each played by a socket.

use std::sync::Arc;
use std::time::Duration;

use kafka::records::NewRecord;
use kafka::{Cluster, ClusterSettings, Error, Producer, ProducerSettings, Tcp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request: its kind, its number and the rest.
async fn heard(stream: &mut TcpStream) -> Option<(i16, i32)> {
    let length = stream.read_i32().await.ok()?;
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await.ok()?;
    let kind = i16::from_be_bytes([bytes[0], bytes[1]]);
    Some((kind, i32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])))
}

/// An answer with a number.
fn answer(number: i32, content: &[u8]) -> Vec<u8> {
    let length = content.len() as i32 + 4;
    [&length.to_be_bytes()[..], &number.to_be_bytes(), content].concat()
}

/// All kinds of requests in all versions.
fn versions() -> Vec<u8> {
    let one = |kind: i16| [kind.to_be_bytes(), 0i16.to_be_bytes(), 20i16.to_be_bytes()].concat();
    let all: Vec<u8> = (0..40).flat_map(one).collect();
    [&0i16.to_be_bytes()[..], &40i32.to_be_bytes(), &all].concat()
}

/// What a broker says to a request of a kind; nothing closes the connection.
type Says = fn(i16, i32) -> Option<Vec<u8>>;

async fn cluster(says: Says) -> Arc<Cluster> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some((kind, number)) = heard(&mut stream).await {
                    let Some(bytes) = says(kind, number) else { return };
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let settings = ClusterSettings {
        brokers: vec![address],
        request_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(300),
        retries_max: 1,
        retry_backoff: Duration::from_millis(1),
        ..ClusterSettings::default()
    };
    Arc::new(Cluster::new(settings, Arc::new(Tcp)))
}

fn friendly(kind: i16, number: i32) -> Option<Vec<u8>> {
    (kind == 18).then(|| answer(number, &versions()))
}

#[tokio::test]
async fn what_a_broker_does_wrong_is_an_error_in_time() {
    let cases: [(&str, Says, &str); 9] = [
        ("closes at once", |_, _| None, "closed"),
        ("announces 2 GiB", |_, _| Some(vec![0x7f, 0xff, 0xff, 0xff, 0]), "impossible answer"),
        ("announces less than nothing", |_, _| Some(vec![0xff; 8]), "impossible answer"),
        ("announces nothing", |_, _| Some(vec![0; 4]), "answers what was not asked"),
        ("answers another", |_, number| Some(answer(number + 1, &versions())), "was not asked"),
        ("never answers", |_, _| Some(Vec::new()), "no answer within"),
        (
            "begins an answer",
            |_, number| Some(answer(number, &versions())[..9].to_vec()),
            "no answer within",
        ),
        (
            "is too old",
            |_, number| Some(answer(number, &[0; 6])),
            "does not speak version 7 of Produce",
        ),
        (
            "says nonsense of its topics",
            |kind, number| friendly(kind, number).or_else(|| Some(answer(number, &[0x7f; 30]))),
            "not an answer of Kafka's",
        ),
    ];
    for (name, says, expected) in cases {
        let cluster = cluster(says).await;
        let asked = cluster.refresh(Some(vec!["topic".to_owned()]));
        let asked = tokio::time::timeout(Duration::from_secs(10), asked).await;
        let error = asked.unwrap_or_else(|_| panic!("{name}: no end")).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn records_without_a_brokers_word_are_unsent() {
    let cluster = cluster(friendly).await;
    let producer = Producer::new(cluster, ProducerSettings::default());
    let record =
        |value: &'static [u8]| NewRecord { key: None, value: value.into(), headers: Vec::new() };
    let unsent = producer.send("topic", &[record(b"a"), record(b"b")]).await;
    let mut indices: Vec<_> = unsent.iter().map(|one| one.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, [0, 1]);
    assert!(unsent.iter().all(|one| !one.is_permanent()));
    assert!(matches!(unsent[0].error, Error::Connection { .. }), "{:?}", unsent[0]);
}
