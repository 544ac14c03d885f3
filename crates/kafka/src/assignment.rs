//! How the leader of a group spreads partitions over its members, and the bytes in which members
//! and leader say it (Kafka's "consumer" protocol of groups).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::wire::{Reader, WireError, Writer};

/// How partitions are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Of each topic a run of partitions to each member.
    Range,
    /// Partitions of all topics in turn.
    RoundRobin,
}

impl Strategy {
    /// By its name among members.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Range, Self::RoundRobin].into_iter().find(|strategy| strategy.name() == name)
    }

    /// Its name among members.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }
}

/// A partition by its topic and number.
pub(crate) type TopicPartition = (String, i32);

/// What a member says of itself: its topics.
pub(crate) fn subscription<'a>(topics: impl ExactSizeIterator<Item = &'a String>) -> Bytes {
    let mut out = Writer::default();
    out.i16(0);
    out.list(topics, |out, topic| out.text(topic));
    out.i32(-1);
    out.bytes.freeze()
}

/// The topics of a member.
pub(crate) fn read_subscription(bytes: Bytes) -> Result<BTreeSet<String>, WireError> {
    let mut reader = Reader::new(bytes);
    // Later versions say more, behind it.
    let _version = reader.i16()?;
    Ok(reader.list(Reader::text)?.into_iter().collect())
}

/// What the leader says to a member: its partitions.
pub(crate) fn assignment(partitions: &[TopicPartition]) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let mut out = Writer::default();
    out.i16(0);
    out.list(topics.into_iter(), |out, (topic, partitions)| {
        out.text(topic);
        out.list(partitions.into_iter(), Writer::i32);
    });
    out.i32(-1);
    out.bytes.freeze()
}

/// The partitions of a member. A member that has none may be told nothing at all.
pub(crate) fn read_assignment(bytes: Bytes) -> Result<Vec<TopicPartition>, WireError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let _version = reader.i16()?;
    let topics = reader.list(|reader| {
        let topic = reader.text()?;
        reader.list(|reader| Ok((topic.clone(), reader.i32()?)))
    })?;
    Ok(topics.into_iter().flatten().collect())
}

/// Spreads the partitions of topics, whose counts are given, over members and their topics.
pub(crate) fn spread(
    strategy: Strategy,
    members: &BTreeMap<String, BTreeSet<String>>,
    topics: &BTreeMap<String, Vec<i32>>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut all: BTreeMap<String, Vec<TopicPartition>> =
        members.keys().map(|member| (member.clone(), Vec::new())).collect();
    // Whose turn it is, over all topics.
    let mut turn = 0;
    for (topic, partitions) in topics {
        let takers: Vec<&String> = members
            .iter()
            .filter(|(_, wanted)| wanted.contains(topic))
            .map(|(member, _)| member)
            .collect();
        if takers.is_empty() {
            continue;
        }
        for (at, partition) in partitions.iter().enumerate() {
            let taker = match strategy {
                // The first ones get one more where it does not come out even.
                Strategy::Range => {
                    let (each, more) =
                        (partitions.len() / takers.len(), partitions.len() % takers.len());
                    let long = more * (each + 1);
                    if at < long { at / (each + 1) } else { more + (at - long) / each.max(1) }
                }
                Strategy::RoundRobin => {
                    turn += 1;
                    (turn - 1) % takers.len()
                }
            };
            if let Some(own) = takers.get(taker).and_then(|taker| all.get_mut(*taker)) {
                own.push((topic.clone(), *partition));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(all: &BTreeMap<String, Vec<TopicPartition>>) -> String {
        let members = all.iter().map(|(member, own)| {
            let own: Vec<_> = own.iter().map(|(topic, at)| format!("{topic}{at}")).collect();
            format!("{member}:{}", own.join(","))
        });
        members.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn partitions_are_spread() {
        let both = || BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let only = || BTreeSet::from(["b".to_owned()]);
        let topics = BTreeMap::from([
            ("a".to_owned(), vec![0, 1, 2]),
            ("b".to_owned(), vec![0, 1, 2, 3, 4]),
        ]);
        let members = |list: &[(&str, BTreeSet<String>)]| -> BTreeMap<_, _> {
            list.iter().map(|(name, topics)| ((*name).to_owned(), topics.clone())).collect()
        };
        let two = members(&[("x", both()), ("y", both())]);
        let mixed = members(&[("x", both()), ("y", only())]);
        let many = members(&[("w", only()), ("x", both()), ("y", both()), ("z", both())]);
        for (members, strategy, expected) in [
            (&two, Strategy::Range, "x:a0,a1,b0,b1,b2 y:a2,b3,b4"),
            (&two, Strategy::RoundRobin, "x:a0,a2,b1,b3 y:a1,b0,b2,b4"),
            (&mixed, Strategy::Range, "x:a0,a1,a2,b0,b1,b2 y:b3,b4"),
            (&many, Strategy::Range, "w:b0,b1 x:a0,b2 y:a1,b3 z:a2,b4"),
        ] {
            assert_eq!(text(&spread(strategy, members, &topics)), expected, "{strategy:?}");
        }
    }

    #[test]
    fn what_members_say_is_read() {
        let topics = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(read_subscription(subscription(topics.iter())), Ok(topics));
        let own = vec![("a".to_owned(), 0), ("a".to_owned(), 2), ("b".to_owned(), 1)];
        assert_eq!(read_assignment(assignment(&own)), Ok(own));
        assert_eq!(read_assignment(Bytes::new()), Ok(Vec::new()));
    }
}
