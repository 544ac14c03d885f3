//! A member of a group: joining, signs of life, commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::assignment::{
    Strategy, TopicPartition, assignment, read_assignment, read_subscription, spread, subscription,
};
use crate::cluster::{Cluster, Purpose};
use crate::connection::Connection;
use crate::error::{Code, Error};
use crate::protocol::group::{Heartbeat, JoinGroup, Joined, LeaveGroup, SyncGroup};
use crate::protocol::metadata::Broker;
use crate::protocol::offsets::{OffsetCommit, OffsetFetch};

/// A group, and how one is a member of it.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// Its name.
    pub group: String,
    /// A lasting name of this member: who comes back with it within the session's timeout has its
    /// partitions as before. Needs Kafka 2.3.
    pub instance: Option<String>,
    /// How long the group waits for a sign of life. Default 10 s.
    pub session_timeout: Duration,
    /// How often there is one. Default 3 s.
    pub heartbeat_interval: Duration,
    /// How long members may take to join anew when the group changes. Default 60 s.
    pub rebalance_timeout: Duration,
    /// How partitions may be spread, by preference.
    pub strategies: Vec<Strategy>,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            group: "spanfall".to_owned(),
            instance: None,
            session_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(60),
            strategies: vec![Strategy::Range, Strategy::RoundRobin],
        }
    }
}

/// A member, of no generation or the last one.
pub(crate) struct Member {
    cluster: Arc<Cluster>,
    settings: GroupSettings,
    /// By which the coordinator knows it; empty before it does.
    id: String,
}

/// A place in the group until it changes.
pub(crate) struct Generation {
    number: i32,
    member: String,
    coordinator: Broker,
    pub(crate) assigned: Vec<TopicPartition>,
}

fn ms(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

impl Member {
    pub(crate) fn new(cluster: Arc<Cluster>, settings: GroupSettings) -> Self {
        Self { cluster, settings, id: String::new() }
    }

    /// The coordinator does not know it any more.
    pub(crate) fn reset(&mut self) {
        self.id.clear();
    }

    async fn coordinator(&self) -> Result<(Broker, Arc<Connection>), Error> {
        let broker = self.cluster.coordinator(&self.settings.group).await?;
        let connection = self.cluster.connection(&broker, Purpose::Group).await?;
        Ok((broker, connection))
    }

    fn refused(&self, code: Code) -> Error {
        Error::refused(format!("group {}", self.settings.group), code)
    }

    /// Takes part in the group's next generation, and spreads the partitions if it falls to it.
    pub(crate) async fn join(&mut self, topics: &BTreeSet<String>) -> Result<Generation, Error> {
        let (broker, connection) = self.coordinator().await?;
        let joined = self.ask_to_join(&connection, topics).await?;
        let assignments =
            if joined.leader == joined.member { self.spread(&joined).await? } else { Vec::new() };
        let request = SyncGroup {
            group: &self.settings.group,
            generation: joined.generation,
            member: &joined.member,
            instance: self.settings.instance.as_deref(),
            assignments,
        };
        // The coordinator waits for the leader.
        let limit = self.settings.rebalance_timeout + self.cluster.settings().request_timeout;
        let (code, own) = connection.ask(&request, limit).await?;
        code.check().map_err(|code| self.lost(code))?;
        let assigned = read_assignment(own).map_err(|error| Error::wire("the leader", error))?;
        Ok(Generation {
            number: joined.generation,
            member: joined.member,
            coordinator: broker,
            assigned,
        })
    }

    async fn ask_to_join(
        &mut self,
        connection: &Connection,
        topics: &BTreeSet<String>,
    ) -> Result<Joined, Error> {
        let mut tries = 0;
        loop {
            let metadata = subscription(topics.iter());
            let strategies = &self.settings.strategies;
            let request = JoinGroup {
                group: &self.settings.group,
                session_timeout_ms: ms(self.settings.session_timeout),
                rebalance_timeout_ms: ms(self.settings.rebalance_timeout),
                member: &self.id,
                instance: self.settings.instance.as_deref(),
                strategies: strategies.iter().map(|one| (one.name(), metadata.clone())).collect(),
            };
            let limit = self.settings.rebalance_timeout + self.cluster.settings().request_timeout;
            let joined = connection.ask(&request, limit).await?;
            // A static member is told its name first, and asks with it again.
            if joined.code == Code::MEMBER_ID_REQUIRED && tries < 3 {
                tries += 1;
                self.id = joined.member;
                continue;
            }
            joined.code.check().map_err(|code| self.lost(code))?;
            self.id.clone_from(&joined.member);
            return Ok(joined);
        }
    }

    /// A refusal, after which it may have to be somebody new.
    fn lost(&mut self, code: Code) -> Error {
        if matches!(code, Code::UNKNOWN_MEMBER_ID | Code::FENCED_INSTANCE_ID) {
            self.reset();
        }
        self.refused(code)
    }

    async fn spread(&self, joined: &Joined) -> Result<Vec<(String, bytes::Bytes)>, Error> {
        let strategy = Strategy::from_name(&joined.strategy)
            .ok_or_else(|| self.refused(Code::INCONSISTENT_GROUP_PROTOCOL))?;
        let mut members = BTreeMap::new();
        for (member, metadata) in &joined.members {
            let topics = read_subscription(metadata.clone());
            let topics = topics.map_err(|error| Error::wire("a member of the group", error))?;
            members.insert(member.clone(), topics);
        }
        let all: BTreeSet<String> = members.values().flatten().cloned().collect();
        let answer = self.cluster.refresh(Some(all.into_iter().collect())).await?;
        let mut topics = BTreeMap::new();
        for topic in answer.topics.into_iter().filter(|topic| topic.code == Code::NONE) {
            let mut partitions: Vec<_> = topic.partitions.iter().map(|one| one.index).collect();
            partitions.sort_unstable();
            topics.insert(topic.name, partitions);
        }
        let spread = spread(strategy, &members, &topics);
        Ok(spread.into_iter().map(|(member, own)| (member, assignment(&own))).collect())
    }

    /// Says that it is alive. An error is the group's word that something has changed, or that
    /// there is no connection.
    pub(crate) async fn beat(&self, generation: &Generation) -> Result<(), Error> {
        let connection = self.cluster.connection(&generation.coordinator, Purpose::Group).await?;
        let request = Heartbeat {
            group: &self.settings.group,
            generation: generation.number,
            member: &generation.member,
            instance: self.settings.instance.as_deref(),
        };
        let code = connection.ask(&request, self.cluster.settings().request_timeout).await?;
        code.check().map_err(|code| self.refused(code))
    }

    /// How far the group has come; -1 where it has not begun.
    pub(crate) async fn committed(
        &self,
        generation: &Generation,
    ) -> Result<Vec<(TopicPartition, i64)>, Error> {
        if generation.assigned.is_empty() {
            return Ok(Vec::new());
        }
        let connection = self.cluster.connection(&generation.coordinator, Purpose::Group).await?;
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &generation.assigned {
            topics.entry(topic).or_default().push(*partition);
        }
        let request =
            OffsetFetch { group: &self.settings.group, topics: topics.into_iter().collect() };
        let limit = self.cluster.settings().request_timeout;
        let (code, offsets) = connection.ask(&request, limit).await?;
        code.check().map_err(|code| self.refused(code))?;
        let mut found = Vec::new();
        for one in offsets {
            one.code.check().map_err(|code| self.refused(code))?;
            found.push(((one.topic, one.partition), one.offset));
        }
        Ok(found)
    }

    /// Says how far it has come.
    pub(crate) async fn commit(
        &self,
        generation: &Generation,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let connection = self.cluster.connection(&generation.coordinator, Purpose::Group).await?;
        let mut topics: BTreeMap<&str, Vec<(i32, i64)>> = BTreeMap::new();
        for ((topic, partition), offset) in offsets {
            topics.entry(topic).or_default().push((*partition, *offset));
        }
        let request = OffsetCommit {
            group: &self.settings.group,
            generation: generation.number,
            member: &generation.member,
            instance: self.settings.instance.as_deref(),
            topics: topics.into_iter().collect(),
        };
        let answer = connection.ask(&request, self.cluster.settings().request_timeout).await?;
        let bad = answer.iter().find(|(_, _, code)| *code != Code::NONE);
        bad.map_or(Ok(()), |(_, _, code)| Err(self.refused(*code)))
    }

    /// Gives its partitions to the others at once. A static member does not: it will be back.
    pub(crate) async fn leave(&mut self) {
        if self.id.is_empty() || self.settings.instance.is_some() {
            return;
        }
        let left = async {
            let (_, connection) = self.coordinator().await?;
            let request = LeaveGroup { group: &self.settings.group, member: &self.id };
            connection.ask(&request, self.cluster.settings().request_timeout).await
        };
        if let Err(error) = left.await {
            tracing::debug!(%error, "the group was not told that a member leaves");
        }
        self.reset();
    }
}
