//! Records of a group's topics, handed to a [`Handler`], and committed when it has handled them.
//!
//! A record is committed only after the handler said so of it and of all before it in its
//! partition. Nothing is fetched from a broker while records of its last answer are being handled,
//! so that a handler that waits holds up the broker and memory stays bounded: by one answer of each
//! broker, and a few of its batches decompressed. When the group changes, records on their way are
//! handled to their end, for a while, and committed before others take over; what is not comes
//! again, to whoever has the partition then.

mod reading;
mod state;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Purpose};
use crate::error::{Code, Error};
use crate::member::{Generation, GroupSettings, Member};
use crate::protocol::offsets::ListOffsets;
use crate::records::{Record, RecordError};

pub use state::{ConsumerState, PartitionView};

use reading::Position;
use state::Mark;

/// How long records on their way may take to their end when the group changes.
const ENDING_MAX: Duration = Duration::from_secs(10);
/// The wait after an error, and the longest after several.
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How often topics that are missing are looked for.
const MISSING_INTERVAL: Duration = Duration::from_secs(2);

/// Which topics are read.
#[derive(Clone)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// Those whose name is to somebody's liking; Kafka's own are left out.
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

/// How records are read.
#[derive(Clone)]
pub struct ConsumerSettings {
    /// Which.
    pub topics: Topics,
    /// For which group.
    pub group: GroupSettings,
    /// Where the group has not begun: at the first record that is still there, or the next that
    /// will be.
    pub from_earliest: bool,
    /// What makes a broker answer at once. Default 1 byte.
    pub fetch_bytes_min: i32,
    /// About the longest answer. Default 50 MiB.
    pub fetch_bytes_max: i32,
    /// About the most of a partition in it. Default 1 MiB.
    pub partition_bytes_max: i32,
    /// How long a broker may wait for the least. Default 250 ms.
    pub fetch_wait_max: Duration,
    /// How often it is committed; `None` is after each answer's records. Default 1 s.
    pub commit_interval: Option<Duration>,
}

impl ConsumerSettings {
    /// The defaults, for some topics.
    pub fn new(topics: Topics, group: GroupSettings) -> Self {
        Self {
            topics,
            group,
            from_earliest: false,
            fetch_bytes_min: 1,
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            fetch_wait_max: Duration::from_millis(250),
            commit_interval: Some(Duration::from_secs(1)),
        }
    }
}

/// Where a record stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It need not come again.
    Done,
    /// It has to, after a while; its partition waits.
    Again(Duration),
    /// It was not handled, because all comes to an end.
    Ended,
}

/// Who handles records.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles a record. `ending` tells that it will not be waited for much longer. It may be
    /// dropped then; the record comes again.
    async fn handle(&self, place: Place, record: Record, ending: &CancellationToken) -> Handled;

    /// Hears of a batch that cannot be read; `place` is where it begins.
    fn unreadable(&self, place: &Place, error: &RecordError) -> Handled;

    /// Hears of what went wrong, and that it is tried again; `None` when all is well again.
    fn trouble(&self, error: Option<&Error>);
}

/// Reads records until it is told to stop.
pub struct Consumer {
    cluster: Arc<Cluster>,
    settings: ConsumerSettings,
    handler: Arc<dyn Handler>,
    state: Arc<ConsumerState>,
    /// How many partitions topics had when they were first seen: those that came later are read
    /// from their beginning, because nobody knows when they came.
    first_seen: Mutex<HashMap<String, usize>>,
}

/// Why a generation ended.
enum End {
    /// The group changes, or the topics have.
    Rebalance,
    /// The coordinator does not know us any more.
    Lost,
    /// Something else.
    Failed(Error),
}

impl Consumer {
    /// Reads nothing yet.
    pub fn new(
        cluster: Arc<Cluster>,
        settings: ConsumerSettings,
        handler: Arc<dyn Handler>,
    ) -> Self {
        let state = Arc::default();
        Self { cluster, settings, handler, state, first_seen: Mutex::default() }
    }

    /// What it tells of itself.
    pub fn state(&self) -> &Arc<ConsumerState> {
        &self.state
    }

    /// Reads until `stop`, whatever goes wrong. Then records on their way are handled to their end,
    /// for ten seconds at most, and committed, and the group is left. Dropping it loses nothing: what
    /// was not committed comes again.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut member = Member::new(Arc::clone(&self.cluster), self.settings.group.clone());
        let mut backoff = BACKOFF;
        while !stop.is_cancelled() {
            let generations = self.state.generations.load(Ordering::Relaxed);
            let end = self.generation(&mut member, stop).await;
            if self.state.generations.load(Ordering::Relaxed) > generations {
                backoff = BACKOFF;
            }
            match end {
                End::Rebalance => {}
                End::Lost => member.reset(),
                End::Failed(error) if !stop.is_cancelled() => {
                    self.handler.trouble(Some(&error));
                    tokio::select! {
                        () = sleep(backoff) => {}
                        () = stop.cancelled() => {}
                    }
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                End::Failed(_) => {}
            }
        }
        member.leave().await;
    }

    /// The topics that there are, and how many partitions each has.
    async fn topics(&self) -> Result<BTreeMap<String, usize>, Error> {
        let answer = match &self.settings.topics {
            Topics::Named(names) => self.cluster.refresh(Some(names.clone())).await?,
            Topics::Matching(_) => self.cluster.refresh(None).await?,
        };
        let is_wanted = |name: &str, is_internal: bool| match &self.settings.topics {
            Topics::Named(names) => names.iter().any(|own| own == name),
            Topics::Matching(matches) => !is_internal && matches(name),
        };
        let mut found = BTreeMap::new();
        for topic in answer.topics {
            if !is_wanted(&topic.name, topic.is_internal) {
                continue;
            }
            match topic.code {
                Code::NONE => {
                    found.insert(topic.name, topic.partitions.len());
                }
                // It may come.
                code if code.asks_for_metadata() => {}
                code => return Err(Error::refused(format!("topic {}", topic.name), code)),
            }
        }
        Ok(found)
    }

    /// Remembers how many partitions topics had at first; a named topic that is missing had none.
    fn remember(&self, topics: &BTreeMap<String, usize>) {
        let mut seen = self.first_seen.lock();
        let is_first = seen.is_empty();
        if let Topics::Named(names) = &self.settings.topics {
            for name in names {
                let count = topics.get(name).copied().unwrap_or_default();
                seen.entry(name.clone()).or_insert(count);
            }
        }
        for (name, count) in topics {
            // A topic that joins those that match is new.
            seen.entry(name.clone()).or_insert(if is_first { *count } else { 0 });
        }
    }

    /// Takes part in one generation of the group.
    async fn generation(&self, member: &mut Member, stop: &CancellationToken) -> End {
        let joined = async {
            let topics = self.topics().await?;
            self.remember(&topics);
            let wanted = match &self.settings.topics {
                Topics::Named(names) => names.iter().cloned().collect::<BTreeSet<_>>(),
                Topics::Matching(_) => topics.keys().cloned().collect(),
            };
            let generation = member.join(&wanted).await?;
            let positions = self.positions(member, &generation).await?;
            Ok::<_, Error>((topics, generation, positions))
        };
        let joined = tokio::select! {
            joined = joined => joined,
            () = stop.cancelled() => return End::Rebalance,
        };
        let (topics, generation, positions) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                return match error.code() {
                    Some(Code::REBALANCE_IN_PROGRESS) => End::Rebalance,
                    Some(Code::UNKNOWN_MEMBER_ID | Code::ILLEGAL_GENERATION) => End::Lost,
                    _ => End::Failed(error),
                };
            }
        };
        self.handler.trouble(None);
        self.state.generations.fetch_add(1, Ordering::Relaxed);
        let count = positions.len() as u64;
        self.state.partitions_begun.fetch_add(count, Ordering::Relaxed);
        let end = self.take_part(member, &generation, &topics, positions, stop).await;
        self.state.partitions_ended.fetch_add(count, Ordering::Relaxed);
        self.state.partitions.lock().clear();
        end
    }

    /// Where each partition is read on.
    async fn positions(
        &self,
        member: &Member,
        generation: &Generation,
    ) -> Result<Vec<Position>, Error> {
        let committed = member.committed(generation).await?;
        let committed: HashMap<_, _> = committed.into_iter().collect();
        let mut positions = Vec::new();
        let mut marks = BTreeMap::new();
        for (topic, partition) in &generation.assigned {
            let known = committed.get(&(topic.clone(), *partition)).copied().unwrap_or(-1);
            let next = match known {
                0.. => known,
                _ => self.initial(topic, *partition).await?,
            };
            let topic: Arc<str> = Arc::from(topic.as_str());
            // Where reading begins is committed at once: who starts again before the first record
            // goes on from here, and not from where the end is then.
            let mark = Mark { next, end: next, committed: known };
            marks.insert((Arc::clone(&topic), *partition), mark);
            positions.push(Position {
                topic,
                partition: *partition,
                next,
                paused_until: None,
                is_blocked: false,
            });
        }
        *self.state.partitions.lock() = marks;
        Ok(positions)
    }

    /// Where a partition is begun.
    async fn initial(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        let count = self.first_seen.lock().get(topic).copied();
        let is_new =
            count.is_some_and(|count| usize::try_from(partition).is_ok_and(|at| at >= count));
        self.edge(topic, partition, self.settings.from_earliest || is_new).await
    }

    /// A partition's first or next offset.
    async fn edge(&self, topic: &str, partition: i32, earliest: bool) -> Result<i64, Error> {
        let view = self.cluster.topic(topic).await?;
        let leader = view.leaders.get(&partition).copied().unwrap_or(-1);
        let what = || format!("topic {topic}, partition {partition}");
        if leader < 0 {
            self.cluster.forget(topic);
            return Err(Error::refused(what(), Code::LEADER_NOT_AVAILABLE));
        }
        let request = ListOffsets { earliest, topics: vec![(topic, vec![partition])] };
        let asked = async {
            let connection = self.cluster.to(leader, Purpose::Questions).await?;
            connection.ask(&request, self.cluster.settings().request_timeout).await
        };
        let answer = asked.await.inspect_err(|_| self.cluster.forget(topic))?;
        let found = answer.into_iter().find(|one| one.partition == partition);
        let (code, offset) =
            found.map_or((Code::LEADER_NOT_AVAILABLE, -1), |one| (one.code, one.offset));
        code.check().map_err(|code| {
            self.cluster.forget(topic);
            Error::refused(what(), code)
        })?;
        Ok(offset.max(0))
    }

    /// Reads the partitions of a generation until it ends.
    async fn take_part(
        &self,
        member: &Member,
        generation: &Generation,
        topics: &BTreeMap<String, usize>,
        positions: Vec<Position>,
        stop: &CancellationToken,
    ) -> End {
        // Nothing new is begun.
        let ending = stop.child_token();
        // Nothing goes on: signs of life end last.
        let over = CancellationToken::new();
        let reading = async {
            let late = async {
                ending.cancelled().await;
                sleep(ENDING_MAX).await;
            };
            tokio::select! {
                () = self.read(member, generation, positions, &ending) => {}
                () = late => {}
            }
            over.cancel();
        };
        let beating = self.beat(member, generation, &ending, &over);
        let committing = self.commit_at_times(member, generation, &over);
        let watching = self.watch(topics, &ending);
        let ((), end, (), ()) = tokio::join!(reading, beating, committing, watching);
        if !matches!(end, End::Lost) {
            self.commit(member, generation).await;
        }
        end
    }

    /// Signs of life. Ends the generation when the group says so.
    async fn beat(
        &self,
        member: &Member,
        generation: &Generation,
        ending: &CancellationToken,
        over: &CancellationToken,
    ) -> End {
        let mut heard = Instant::now();
        let mut end = End::Rebalance;
        loop {
            tokio::select! {
                () = sleep(self.settings.group.heartbeat_interval) => {}
                () = over.cancelled() => return end,
            }
            let beat = tokio::select! {
                beat = member.beat(generation) => beat,
                () = over.cancelled() => return end,
            };
            let Err(error) = beat else {
                heard = Instant::now();
                continue;
            };
            match error.code() {
                Some(Code::REBALANCE_IN_PROGRESS) => heard = Instant::now(),
                Some(Code::UNKNOWN_MEMBER_ID | Code::ILLEGAL_GENERATION) => end = End::Lost,
                Some(code) if code.asks_for_coordinator() => end = End::Failed(error),
                Some(_) => end = End::Failed(error),
                // A coordinator that cannot be reached may be back in time.
                None if heard.elapsed() < self.settings.group.session_timeout => {
                    tracing::debug!(%error, "a sign of life did not reach the group");
                    continue;
                }
                None => end = End::Failed(error),
            }
            ending.cancel();
        }
    }

    async fn commit_at_times(
        &self,
        member: &Member,
        generation: &Generation,
        over: &CancellationToken,
    ) {
        let Some(interval) = self.settings.commit_interval else { return };
        // Where reading begins, at once.
        self.commit(member, generation).await;
        loop {
            tokio::select! {
                () = sleep(interval.max(Duration::from_millis(1))) => {}
                () = over.cancelled() => return,
            }
            self.commit(member, generation).await;
        }
    }

    async fn commit(&self, member: &Member, generation: &Generation) {
        let offsets = self.state.uncommitted();
        match member.commit(generation, &offsets).await {
            Ok(()) => self.state.committed(&offsets),
            Err(error) if self.state.commit_failed(&error) => {
                tracing::warn!(%error, "offsets cannot be committed: all would come again");
            }
            Err(error) => {
                tracing::debug!(%error, "offsets were not committed; it is tried again");
            }
        }
    }

    /// Ends the generation when topics or partitions come or go.
    async fn watch(&self, topics: &BTreeMap<String, usize>, ending: &CancellationToken) {
        let is_missing = match &self.settings.topics {
            Topics::Named(names) => names.iter().any(|name| !topics.contains_key(name)),
            Topics::Matching(_) => topics.is_empty(),
        };
        let often = self.cluster.settings().refresh_interval.max(Duration::from_millis(100));
        let interval = if is_missing { often.min(MISSING_INTERVAL) } else { often };
        loop {
            tokio::select! {
                () = sleep(interval) => {}
                () = ending.cancelled() => return,
            }
            let now = tokio::select! {
                now = self.topics() => now,
                () = ending.cancelled() => return,
            };
            if now.is_ok_and(|now| now != *topics) {
                ending.cancel();
                return;
            }
        }
    }
}
