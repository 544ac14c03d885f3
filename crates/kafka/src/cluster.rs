//! A cluster: its brokers, the leaders of its partitions, and connections to them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Connect, Connection};
use crate::error::{Code, Error};
use crate::protocol::Request;
use crate::protocol::fetch::Fetch;
use crate::protocol::group::{Heartbeat, JoinGroup, LeaveGroup, SyncGroup};
use crate::protocol::metadata::{Broker, FindCoordinator, Metadata, MetadataAnswer};
use crate::protocol::offsets::{ListOffsets, OffsetCommit, OffsetFetch};
use crate::protocol::produce::Produce;
use crate::protocol::session::{ApiVersions, SaslAuthenticate, SaslHandshake};
use crate::sasl::{Mechanism, Sasl, Scram, plain};

/// How to reach a cluster.
#[derive(Clone)]
pub struct ClusterSettings {
    /// Addresses of brokers to begin with: `host:port`, port 9092 where there is none.
    pub brokers: Vec<String>,
    /// What brokers call us in their logs and quotas.
    pub client_id: String,
    /// Who we are.
    pub sasl: Option<Sasl>,
    /// How long an answer may take, besides what it is asked to wait. Default 10 s.
    pub request_timeout: Duration,
    /// How long a connection may take, TLS and SASL included. Default 10 s.
    pub connect_timeout: Duration,
    /// How old metadata may become. Default 10 min.
    pub refresh_interval: Duration,
    /// How often metadata is asked for again when it does not help. Default 3.
    pub retries_max: u32,
    /// How long to wait before. Default 250 ms.
    pub retry_backoff: Duration,
    /// Whether brokers may make topics that are missing, if they are set to. Default true.
    pub may_create_topics: bool,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            brokers: vec!["localhost:9092".to_owned()],
            client_id: "spanfall".to_owned(),
            sasl: None,
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            refresh_interval: Duration::from_secs(600),
            retries_max: 3,
            retry_backoff: Duration::from_millis(250),
            may_create_topics: true,
        }
    }
}

impl fmt::Debug for ClusterSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSettings").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

/// What a connection is for. Each has its own, so that a fetch that waits holds up nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Questions,
    Produce,
    Fetch,
    Group,
}

/// A topic as it was last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicView {
    /// Each partition's leader, -1 where there is none.
    pub leaders: BTreeMap<i32, i32>,
}

#[derive(Default)]
struct View {
    brokers: HashMap<i32, Broker>,
    topics: HashMap<String, (Instant, TopicView)>,
}

type Place = Arc<Mutex<Option<Arc<Connection>>>>;

/// A cluster. Connections are made when they are needed, and made anew when they broke.
pub struct Cluster {
    settings: ClusterSettings,
    connect: Arc<dyn Connect>,
    view: RwLock<View>,
    places: Mutex<HashMap<(i32, Purpose), Place>>,
    /// Which of the brokers to begin with is asked next.
    turn: AtomicUsize,
}

/// A host and a port.
///
/// # Errors
/// Text that is no address.
pub fn parse_address(address: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{address:?} is no address like host:9092");
    let (host, port) = match address.rsplit_once(':') {
        // The colons of a bare IPv6 address are its own.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| wrong())?)
        }
        _ => (address, 9092),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_name = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    if is_name { Ok((host.to_owned(), port)) } else { Err(wrong()) }
}

impl Cluster {
    /// A cluster that nobody has asked yet.
    pub fn new(settings: ClusterSettings, connect: Arc<dyn Connect>) -> Self {
        Self {
            settings,
            connect,
            view: RwLock::default(),
            places: Mutex::default(),
            turn: AtomicUsize::new(rand::random_range(0..1024)),
        }
    }

    /// How it is reached.
    pub fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// A topic's partitions and leaders, asked for if they are not known, or not since long.
    ///
    /// # Errors
    /// No broker answers, or the topic is missing after all retries.
    pub async fn topic(&self, name: &str) -> Result<TopicView, Error> {
        let now = Instant::now();
        if let Some((seen, view)) = self.view.read().topics.get(name)
            && now.duration_since(*seen) < self.settings.refresh_interval
        {
            return Ok(view.clone());
        }
        let mut retries = 0;
        loop {
            let answer = self.refresh(Some(vec![name.to_owned()])).await;
            let error = match answer {
                Ok(answer) => match answer.topics.into_iter().find(|topic| topic.name == name) {
                    Some(topic) if topic.code == Code::NONE => {
                        if let Some((_, view)) = self.view.read().topics.get(name) {
                            return Ok(view.clone());
                        }
                        Error::refused(format!("topic {name}"), Code::UNKNOWN_TOPIC_OR_PARTITION)
                    }
                    Some(topic) => Error::refused(format!("topic {name}"), topic.code),
                    None => {
                        Error::refused(format!("topic {name}"), Code::UNKNOWN_TOPIC_OR_PARTITION)
                    }
                },
                Err(error) => error,
            };
            let is_passing = error.code().is_none_or(Code::asks_for_metadata);
            if !is_passing || retries >= self.settings.retries_max {
                return Err(error);
            }
            retries += 1;
            sleep(self.settings.retry_backoff).await;
        }
    }

    /// The next question after a topic goes to a broker.
    pub fn forget(&self, topic: &str) {
        self.view.write().topics.remove(topic);
    }

    /// Asks for topics, `None` is all, and keeps what is said.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn refresh(&self, topics: Option<Vec<String>>) -> Result<MetadataAnswer, Error> {
        let may_create = self.settings.may_create_topics && topics.is_some();
        let request = Metadata { topics, may_create };
        let answer = self.ask_any(&request).await?;
        let mut view = self.view.write();
        if !answer.brokers.is_empty() {
            view.brokers =
                answer.brokers.iter().map(|broker| (broker.id, broker.clone())).collect();
        }
        let now = Instant::now();
        for topic in &answer.topics {
            if topic.code != Code::NONE {
                view.topics.remove(&topic.name);
                continue;
            }
            let leaders = topic.partitions.iter().map(|one| (one.index, one.leader)).collect();
            view.topics.insert(topic.name.clone(), (now, TopicView { leaders }));
        }
        Ok(answer)
    }

    /// Asks whichever broker answers.
    async fn ask_any<R: Request>(&self, request: &R) -> Result<R::Answer, Error> {
        let timeout = self.settings.request_timeout;
        let mut last = None;
        // First those to begin with, whose addresses people know; then those they told of.
        let count = self.settings.brokers.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for at in 0..count {
            let index = (turn + at) % count;
            let Some(address) = self.settings.brokers.get(index) else { continue };
            // Their numbers are not known; below -1 there are none.
            let number = -2 - i32::try_from(index).unwrap_or_default();
            let asked = async {
                let (host, port) = parse_address(address)
                    .map_err(|reason| Error::Connection { broker: address.clone(), reason })?;
                let broker = Broker { id: number, host, port };
                self.connection(&broker, Purpose::Questions).await?.ask(request, timeout).await
            };
            match asked.await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        let known: Vec<_> = self.view.read().brokers.values().cloned().collect();
        for broker in known {
            let asked = async {
                self.connection(&broker, Purpose::Questions).await?.ask(request, timeout).await
            };
            if let Ok(answer) = asked.await {
                return Ok(answer);
            }
        }
        Err(last.unwrap_or_else(|| Error::Connection {
            broker: "no broker".to_owned(),
            reason: "there is none to begin with".to_owned(),
        }))
    }

    /// The coordinator of a group.
    ///
    /// # Errors
    /// No broker answers, or the group has none now.
    pub(crate) async fn coordinator(&self, group: &str) -> Result<Broker, Error> {
        let (code, broker) = self.ask_any(&FindCoordinator { group }).await?;
        code.check().map_err(|code| Error::refused(format!("group {group}"), code))?;
        Ok(broker)
    }

    /// A connection to a broker by its number.
    pub(crate) async fn to(&self, number: i32, purpose: Purpose) -> Result<Arc<Connection>, Error> {
        let broker = self.view.read().brokers.get(&number).cloned();
        let broker = broker.ok_or_else(|| Error::Connection {
            broker: format!("broker {number}"),
            reason: "it is not up".to_owned(),
        })?;
        self.connection(&broker, purpose).await
    }

    pub(crate) async fn connection(
        &self,
        broker: &Broker,
        purpose: Purpose,
    ) -> Result<Arc<Connection>, Error> {
        let place = {
            let mut places = self.places.lock().await;
            // Those of brokers that have gone; nobody holds their places.
            if places.len() > 1000 {
                places.retain(|_, place| Arc::strong_count(place) > 1);
            }
            places.entry((broker.id, purpose)).or_default().clone()
        };
        let mut place = place.lock().await;
        let address = format!("{}:{}", broker.host, broker.port);
        if let Some(connection) = &*place
            && connection.is_open()
            && connection.broker() == address
        {
            return Ok(Arc::clone(connection));
        }
        let limit = self.settings.connect_timeout;
        let made = timeout(limit, self.open(broker, &address)).await;
        let made = made.unwrap_or_else(|_| {
            Err(Error::Timeout { broker: address.clone(), seconds: limit.as_secs() })
        });
        let connection = Arc::new(made?);
        *place = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn open(&self, broker: &Broker, address: &str) -> Result<Connection, Error> {
        let stream = self.connect.connect(&broker.host, broker.port).await;
        let stream = stream.map_err(|error| Error::connection(address, &error))?;
        let client_id = self.settings.client_id.clone();
        let connection = Connection::new(stream, address.to_owned(), client_id);
        let limit = self.settings.connect_timeout;
        let (code, versions) = connection.ask(&ApiVersions, limit).await?;
        code.check().map_err(|code| Error::refused(format!("{address}: its versions"), code))?;
        let speaks = |api: &'static str, key: i16, version: i16| {
            let found = versions.iter().find(|one| one.key == key);
            if found.is_some_and(|one| (one.min..=one.max).contains(&version)) {
                Ok(())
            } else {
                Err(Error::Version { broker: address.to_owned(), api, version })
            }
        };
        for (api, key, version) in SPOKEN {
            speaks(api, key, version)?;
        }
        if let Some(sasl) = &self.settings.sasl {
            authenticate(&connection, sasl, limit).await?;
        }
        Ok(connection)
    }
}

/// What a broker must speak. Static members need a little more, which their first request finds.
const SPOKEN: [(&str, i16, i16); 11] = [
    (Produce::NAME, Produce::KEY, 7),
    (Fetch::NAME, Fetch::KEY, 10),
    (ListOffsets::NAME, ListOffsets::KEY, 4),
    (Metadata::NAME, Metadata::KEY, 7),
    (OffsetCommit::NAME, OffsetCommit::KEY, 6),
    (OffsetFetch::NAME, OffsetFetch::KEY, 5),
    (FindCoordinator::NAME, FindCoordinator::KEY, 2),
    (JoinGroup::NAME, JoinGroup::KEY, 3),
    (Heartbeat::NAME, Heartbeat::KEY, 2),
    (LeaveGroup::NAME, LeaveGroup::KEY, 2),
    (SyncGroup::NAME, SyncGroup::KEY, 2),
];

async fn authenticate(connection: &Connection, sasl: &Sasl, limit: Duration) -> Result<(), Error> {
    let failed =
        |reason: String| Error::Authentication { broker: connection.broker().to_owned(), reason };
    let mechanism = sasl.mechanism.name();
    let (code, has) = connection.ask(&SaslHandshake { mechanism }, limit).await?;
    code.check().map_err(|code| failed(format!("{mechanism}: {code}; it has {has:?}")))?;
    let step = async |bytes: Vec<u8>| {
        let answer = connection.ask(&SaslAuthenticate { bytes }, limit).await?;
        match answer.code.check() {
            Ok(()) => Ok(answer.bytes),
            Err(code) => Err(failed(answer.reason.unwrap_or_else(|| code.to_string()))),
        }
    };
    if sasl.mechanism == Mechanism::Plain {
        return step(plain(sasl)).await.map(drop);
    }
    let Some(scram) = Scram::new(sasl) else { return Ok(()) };
    let challenge = step(scram.first()).await?;
    // Thousands of rounds, which others should not wait for.
    let proof = tokio::task::spawn_blocking(move || scram.prove(&challenge)).await;
    let proof = proof.map_err(|error| failed(error.to_string()))?;
    let proof = proof.map_err(|reason| failed(reason.to_owned()))?;
    let last = step(proof.message.clone()).await?;
    if proof.holds(&last) {
        Ok(())
    } else {
        Err(failed("it does not prove that it knows the password".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (address, expected) in [
            ("kafka:9093", Some(("kafka", 9093))),
            ("kafka", Some(("kafka", 9092))),
            ("10.0.0.1:9092", Some(("10.0.0.1", 9092))),
            ("[::1]:9093", Some(("::1", 9093))),
            ("::1", Some(("::1", 9092))),
            ("kafka:x", None),
            ("kafka:99999", None),
            ("", None),
            (":9092", None),
            ("PLAINTEXT://kafka:9092", None),
        ] {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(parse_address(address).ok(), expected, "{address}");
        }
    }
}
