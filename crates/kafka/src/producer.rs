//! Records on their way into a topic, until its brokers say that they have them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::cluster::{Cluster, Purpose};
use crate::error::{Code, Error};
use crate::partitioner::Partitioner;
use crate::protocol::produce::Produce;
use crate::records::{Compression, NewRecord, encode};

/// How records are written.
#[derive(Debug, Clone)]
pub struct ProducerSettings {
    /// Who must have them: 0 nobody, 1 the leader, -1 all replicas that are in sync. With 0 no
    /// broker says whether it has them.
    pub acks: i16,
    /// Of a batch.
    pub compression: Compression,
    /// Largest batch, before compression. Default 1,000,000.
    pub message_bytes_max: usize,
    /// Most records in a batch; 0 is without bound.
    pub batch_records_max: usize,
    /// How partitions are chosen.
    pub partitioner: Partitioner,
    /// How long replicas may take. Default 10 s.
    pub timeout: Duration,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            acks: 1,
            compression: Compression::None,
            message_bytes_max: 1_000_000,
            batch_records_max: 0,
            partitioner: Partitioner::default(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Writes records. One for all who write with the same settings.
pub struct Producer {
    cluster: Arc<Cluster>,
    settings: ProducerSettings,
    turn: AtomicUsize,
}

/// A record that no broker says to have.
#[derive(Debug, Clone)]
pub struct Unsent {
    /// Its place among those given.
    pub index: usize,
    /// Why.
    pub error: Error,
}

impl Unsent {
    /// Whether it will never be taken.
    pub fn is_permanent(&self) -> bool {
        self.error.code().is_some_and(Code::refuses_record)
    }
}

/// Records of one partition, by their places.
struct Group {
    partition: i32,
    indices: Vec<usize>,
}

impl Producer {
    /// Writes nothing yet.
    pub fn new(cluster: Arc<Cluster>, settings: ProducerSettings) -> Self {
        Self { cluster, settings, turn: AtomicUsize::new(rand::random_range(0..1024)) }
    }

    /// Its cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Writes records to a topic, and gives those that no broker says to have. When a partition's
    /// leader has changed the new one is asked, as often as the cluster's settings say. Dropping it
    /// leaves open which records were written.
    pub async fn send(&self, topic: &str, records: &[NewRecord]) -> Vec<Unsent> {
        let mut unsent = Vec::new();
        let mut left: Vec<usize> = (0..records.len()).collect();
        let mut retries = 0;
        loop {
            let failed = self.attempt(topic, records, &left).await;
            let again = |one: &Unsent| {
                // A connection that was closed while it was idle is found out by using it.
                one.error
                    .code()
                    .map_or(matches!(one.error, Error::Connection { .. }), Code::asks_for_metadata)
            };
            let (retried, given_up): (Vec<_>, Vec<_>) = failed.into_iter().partition(again);
            unsent.extend(given_up);
            if retried.is_empty() {
                return unsent;
            }
            self.cluster.forget(topic);
            if retries >= self.cluster.settings().retries_max {
                unsent.extend(retried);
                return unsent;
            }
            left = retried.into_iter().map(|one| one.index).collect();
            retries += 1;
            sleep(self.cluster.settings().retry_backoff).await;
        }
    }

    async fn attempt(&self, topic: &str, records: &[NewRecord], which: &[usize]) -> Vec<Unsent> {
        let view = match self.cluster.topic(topic).await {
            Ok(view) => view,
            Err(error) => return failed(which, &error),
        };
        let partitions: Vec<_> = view.leaders.iter().map(|(one, leader)| (*one, *leader)).collect();
        if partitions.is_empty() {
            let none = Error::refused(format!("topic {topic}"), Code::LEADER_NOT_AVAILABLE);
            return failed(which, &none);
        }
        let mut unsent = Vec::new();
        // For each leader, for each of its partitions, batches in their order.
        let mut leaders: BTreeMap<i32, BTreeMap<i32, Vec<Group>>> = BTreeMap::new();
        for (place, indices) in self.by_partition(records, which, partitions.len()) {
            let Some((partition, leader)) = partitions.get(place).copied() else { continue };
            let groups = self.batches(records, partition, indices);
            leaders.entry(leader).or_default().insert(partition, groups);
        }
        let all = leaders
            .into_iter()
            .map(|(leader, partitions)| self.to_leader(topic, records, leader, partitions));
        join_all(all).await.into_iter().for_each(|one| unsent.extend(one));
        unsent
    }

    fn by_partition(
        &self,
        records: &[NewRecord],
        which: &[usize],
        count: usize,
    ) -> BTreeMap<usize, Vec<usize>> {
        let mut partitions: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for index in which {
            let Some(record) = records.get(*index) else { continue };
            let key = record.key.as_deref();
            let place = self.settings.partitioner.choose(key, count, &self.turn);
            partitions.entry(place).or_default().push(*index);
        }
        partitions
    }

    /// Cuts a partition's records into batches within the bounds. A record that is larger alone has
    /// one of its own, and the broker decides.
    fn batches(&self, records: &[NewRecord], partition: i32, indices: Vec<usize>) -> Vec<Group> {
        let most = match self.settings.batch_records_max {
            0 => usize::MAX,
            most => most,
        };
        let mut groups: Vec<Group> = Vec::new();
        let mut bytes = 0;
        for index in indices {
            let Some(record) = records.get(index) else { continue };
            let own = record.bytes();
            match groups.last_mut() {
                Some(group)
                    if group.indices.len() < most
                        && bytes + own <= self.settings.message_bytes_max =>
                {
                    group.indices.push(index);
                    bytes += own;
                }
                _ => {
                    groups.push(Group { partition, indices: vec![index] });
                    bytes = record.batch_bytes();
                }
            }
        }
        groups
    }

    /// Sends a leader its batches, of each partition one at a time, as brokers want it.
    async fn to_leader(
        &self,
        topic: &str,
        records: &[NewRecord],
        leader: i32,
        partitions: BTreeMap<i32, Vec<Group>>,
    ) -> Vec<Unsent> {
        let mut unsent = Vec::new();
        let mut queues: Vec<_> = partitions.into_values().map(Vec::into_iter).collect();
        loop {
            let round: Vec<_> = queues.iter_mut().filter_map(Iterator::next).collect();
            if round.is_empty() {
                return unsent;
            }
            unsent.extend(self.round(topic, records, leader, &round).await);
        }
    }

    async fn round(
        &self,
        topic: &str,
        records: &[NewRecord],
        leader: i32,
        round: &[Group],
    ) -> Vec<Unsent> {
        let everything = || round.iter().flat_map(|group| group.indices.iter().copied());
        let answer = match self.request(topic, records, leader, round).await {
            Ok(answer) => answer,
            Err(error) => return failed(&everything().collect::<Vec<_>>(), &error),
        };
        let mut unsent = Vec::new();
        for group in round {
            let code = answer.get(&group.partition).copied();
            // A leader that does not speak of a partition does not have its records.
            let code = code.unwrap_or(Code::REQUEST_TIMED_OUT);
            if let Err(code) = code.check() {
                let what = format!("topic {topic}, partition {}", group.partition);
                unsent.extend(failed(&group.indices, &Error::refused(what, code)));
            }
        }
        unsent
    }

    async fn request(
        &self,
        topic: &str,
        records: &[NewRecord],
        leader: i32,
        round: &[Group],
    ) -> Result<BTreeMap<i32, Code>, Error> {
        if leader < 0 {
            return Err(Error::refused(format!("topic {topic}"), Code::LEADER_NOT_AVAILABLE));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(now.as_millis()).unwrap_or_default();
        let mut batches: Vec<(i32, Bytes)> = Vec::with_capacity(round.len());
        for group in round {
            let own = group.indices.iter().filter_map(|index| records.get(*index));
            let batch = batch(own.collect(), self.settings.compression, unix_ms).await;
            let batch = batch.map_err(|error| Error::Connection {
                broker: format!("topic {topic}"),
                reason: format!("a batch cannot be written: {error}"),
            })?;
            batches.push((group.partition, batch));
        }
        let timeout = self.settings.timeout;
        let request = Produce {
            acks: self.settings.acks,
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            topics: vec![(topic, batches)],
        };
        let connection = self.cluster.to(leader, Purpose::Produce).await?;
        let limit = timeout + self.cluster.settings().request_timeout;
        if self.settings.acks == 0 {
            connection.tell(&request, limit).await?;
            return Ok(round.iter().map(|group| (group.partition, Code::NONE)).collect());
        }
        let answer = connection.ask(&request, limit).await?;
        let own = answer.into_iter().filter(|one| one.topic == topic);
        Ok(own.map(|one| (one.partition, one.code)).collect())
    }
}

/// Up to this many bytes are compressed where others wait: a millisecond or two.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// A batch of some records.
async fn batch(
    records: Vec<&NewRecord>,
    compression: Compression,
    unix_ms: i64,
) -> std::io::Result<Bytes> {
    let bytes: usize = records.iter().map(|record| record.bytes()).sum();
    if compression == Compression::None || bytes <= INLINE_BYTES_MAX {
        return encode(records.into_iter(), compression, unix_ms);
    }
    let records: Vec<NewRecord> = records.into_iter().cloned().collect();
    let work = move || encode(records.iter(), compression, unix_ms);
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

fn failed(which: &[usize], error: &Error) -> Vec<Unsent> {
    which.iter().map(|index| Unsent { index: *index, error: error.clone() }).collect()
}
