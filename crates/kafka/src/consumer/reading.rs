//! Fetching a generation's partitions from their leaders, and handing over their records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::{self, FuturesOrdered};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{BACKOFF, Consumer, Handled, Place};
use crate::cluster::Purpose;
use crate::error::{Code, Error};
use crate::member::{Generation, Member};
use crate::protocol::fetch::{Fetch, Fetched};
use crate::records::{Batches, Content, Record, RecordError, Records};

/// Partitions of a broker whose records are handled at a time, each with one batch decompressed.
const PARTITIONS_AT_ONCE: usize = 4;
/// Records of a batch that are handled at a time. They are committed in their order.
const RECORDS_AT_ONCE: usize = 8;

/// A partition, and where it is read on.
pub(super) struct Position {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) next: i64,
    pub(super) paused_until: Option<Instant>,
    /// Its next record has to come again. Until it is handled those behind it wait, so that they do
    /// not come again and again with it.
    pub(super) is_blocked: bool,
}

impl Consumer {
    /// Reads until the end, by leader, and anew when leaders change.
    pub(super) async fn read(
        &self,
        member: &Member,
        generation: &Generation,
        mut positions: Vec<Position>,
        ending: &CancellationToken,
    ) {
        while !ending.is_cancelled() {
            if positions.is_empty() {
                ending.cancelled().await;
                return;
            }
            let mut leaders: BTreeMap<i32, Vec<Position>> = BTreeMap::new();
            let mut views = HashMap::new();
            let mut unled = Vec::new();
            for position in positions.drain(..) {
                let topic = Arc::clone(&position.topic);
                if !views.contains_key(&topic) {
                    let view = tokio::select! {
                        view = self.cluster.topic(&topic) => view,
                        () = ending.cancelled() => return,
                    };
                    if let Err(error) = &view {
                        self.handler.trouble(Some(error));
                    }
                    views.insert(Arc::clone(&topic), view.unwrap_or_default());
                }
                let leader =
                    views.get(&topic).and_then(|view| view.leaders.get(&position.partition));
                match leader.copied().unwrap_or(-1) {
                    leader @ 0.. => leaders.entry(leader).or_default().push(position),
                    _ => {
                        self.cluster.forget(&topic);
                        unled.push(position);
                    }
                }
            }
            let again = ending.child_token();
            if !unled.is_empty() {
                let again = again.clone();
                let wait = self.cluster.settings().retry_backoff.max(BACKOFF);
                tokio::spawn(async move {
                    sleep(wait).await;
                    again.cancel();
                });
            }
            let reading = leaders.into_iter().map(|(leader, own)| {
                self.read_from(leader, own, member, generation, ending, &again)
            });
            let waiting = async {
                if !unled.is_empty() {
                    again.cancelled().await;
                }
            };
            let (read, ()) = tokio::join!(join_all(reading), waiting);
            positions = read.into_iter().flatten().chain(unled).collect();
        }
    }

    /// Reads partitions from their leader, until `again`: then it may be another.
    async fn read_from(
        &self,
        leader: i32,
        mut positions: Vec<Position>,
        member: &Member,
        generation: &Generation,
        ending: &CancellationToken,
        again: &CancellationToken,
    ) -> Vec<Position> {
        while !again.is_cancelled() {
            let now = Instant::now();
            let is_paused = |one: &Position| one.paused_until.is_some_and(|until| until > now);
            if positions.iter().all(is_paused) {
                let next = positions.iter().filter_map(|one| one.paused_until).min();
                tokio::select! {
                    () = sleep_until(next.unwrap_or(now + BACKOFF)) => {}
                    () = again.cancelled() => return positions,
                }
                continue;
            }
            // The first batch of the first partition comes whole, however large: all take turns.
            positions.rotate_left(1);
            let fetched = tokio::select! {
                fetched = self.fetch(leader, &positions, now) => fetched,
                () = again.cancelled() => return positions,
            };
            let fetched = match fetched {
                Ok(fetched) => fetched,
                Err(error) => {
                    self.handler.trouble(Some(&error));
                    positions.iter().for_each(|one| self.cluster.forget(&one.topic));
                    tokio::select! {
                        () = sleep(self.cluster.settings().retry_backoff.max(BACKOFF)) => {}
                        () = again.cancelled() => {}
                    }
                    again.cancel();
                    return positions;
                }
            };
            self.handler.trouble(None);
            let mut fetched: HashMap<(String, i32), Fetched> =
                fetched.into_iter().map(|one| ((one.topic.clone(), one.partition), one)).collect();
            let work = positions.into_iter().map(|position| {
                let own = fetched.remove(&(position.topic.to_string(), position.partition));
                self.take(position, own, ending, again)
            });
            let work: Vec<_> = work.collect();
            positions = stream::iter(work).buffer_unordered(PARTITIONS_AT_ONCE).collect().await;
            if self.settings.commit_interval.is_none() {
                self.commit(member, generation).await;
            }
        }
        positions
    }

    async fn fetch(
        &self,
        leader: i32,
        positions: &[Position],
        now: Instant,
    ) -> Result<Vec<Fetched>, Error> {
        let mut topics: Vec<(&str, Vec<(i32, i64)>)> = Vec::new();
        for one in positions.iter().filter(|one| one.paused_until.is_none_or(|until| until <= now))
        {
            let asked = (one.partition, one.next);
            match topics.iter_mut().find(|(topic, _)| **topic == *one.topic) {
                Some((_, partitions)) => partitions.push(asked),
                None => topics.push((&one.topic, vec![asked])),
            }
        }
        let settings = &self.settings;
        let wait = settings.fetch_wait_max;
        let request = Fetch {
            wait_ms_max: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            bytes_min: settings.fetch_bytes_min,
            bytes_max: settings.fetch_bytes_max,
            partition_bytes_max: settings.partition_bytes_max,
            topics,
        };
        let connection = self.cluster.to(leader, Purpose::Fetch).await?;
        let limit = wait + self.cluster.settings().request_timeout;
        let (code, fetched) = connection.ask(&request, limit).await?;
        code.check().map_err(|code| Error::refused(format!("fetch from broker {leader}"), code))?;
        Ok(fetched)
    }

    /// What an answer says of a partition.
    async fn take(
        &self,
        mut position: Position,
        fetched: Option<Fetched>,
        ending: &CancellationToken,
        again: &CancellationToken,
    ) -> Position {
        let Some(fetched) = fetched else { return position };
        let Position { topic, partition, .. } = &position;
        match fetched.code {
            Code::NONE => {
                self.state.saw_end(topic, *partition, fetched.end_offset);
                self.handle(position, fetched.records, ending).await
            }
            Code::OFFSET_OUT_OF_RANGE => {
                let edge = self.edge(topic, *partition, self.settings.from_earliest).await;
                let asked = position.next;
                match edge {
                    Ok(next) => {
                        tracing::warn!(
                            %topic, partition, asked, next,
                            "records are gone that were not read yet, or the topic was made anew"
                        );
                        position.next = next;
                        self.state.reset(&position.topic, position.partition, next);
                    }
                    Err(error) => {
                        self.handler.trouble(Some(&error));
                        position.paused_until = Some(Instant::now() + BACKOFF);
                    }
                }
                position
            }
            code => {
                let what = format!("topic {topic}, partition {partition}");
                self.handler.trouble(Some(&Error::refused(what, code)));
                position.paused_until = Some(Instant::now() + BACKOFF);
                if code.asks_for_metadata() {
                    self.cluster.forget(&position.topic);
                    again.cancel();
                }
                position
            }
        }
    }

    /// Handles the records of a partition, in their order.
    async fn handle(
        &self,
        mut position: Position,
        records: Bytes,
        ending: &CancellationToken,
    ) -> Position {
        for batch in Batches::new(records) {
            if ending.is_cancelled() {
                return position;
            }
            if batch.next_offset <= position.next {
                continue;
            }
            let records = match batch.content {
                Ok(content) => unpacked(content).await,
                Err(error) => Some(Err(error)),
            };
            let handled = match records {
                Some(Ok(records)) => self.handle_batch(&mut position, records, ending).await,
                Some(Err(error)) => {
                    self.handler.unreadable(&position.place(batch.base_offset), &error)
                }
                None => Handled::Ended,
            };
            match handled {
                Handled::Done => self.advance(&mut position, batch.next_offset),
                Handled::Again(wait) => {
                    position.paused_until = Some(Instant::now() + wait);
                    position.is_blocked = true;
                    return position;
                }
                Handled::Ended => return position,
            }
        }
        position
    }

    fn advance(&self, position: &mut Position, next: i64) {
        position.is_blocked = false;
        position.next = position.next.max(next);
        self.state.mark(&position.topic, position.partition, position.next);
    }

    async fn handle_batch(
        &self,
        position: &mut Position,
        records: impl Iterator<Item = Result<Record, RecordError>>,
        ending: &CancellationToken,
    ) -> Handled {
        let mut records = records.peekable();
        let mut under_way = FuturesOrdered::new();
        let mut broken = None;
        loop {
            let most = if position.is_blocked { 1 } else { RECORDS_AT_ONCE };
            while under_way.len() < most
                && broken.is_none()
                && !ending.is_cancelled()
                && let Some(record) = records.next()
            {
                match record {
                    // A batch may begin before where it was asked for.
                    Ok(record) if record.offset < position.next => {}
                    Ok(record) => {
                        let (place, offset) = (position.place(record.offset), record.offset);
                        under_way.push_back(async move {
                            (offset, self.handler.handle(place, record, ending).await)
                        });
                    }
                    Err(error) => broken = Some(error),
                }
            }
            match under_way.next().await {
                Some((offset, Handled::Done)) => self.advance(position, offset.saturating_add(1)),
                Some((_, other)) => return other,
                None => break,
            }
        }
        match broken {
            Some(error) => self.handler.unreadable(&position.place(position.next), &error),
            None if records.peek().is_some() => Handled::Ended,
            None => Handled::Done,
        }
    }
}

/// Decompressed; nothing if all comes to an end before. Elsewhere if it takes long: signs of life
/// are due meanwhile.
async fn unpacked(content: Content) -> Option<Result<Records, RecordError>> {
    if content.is_quick() {
        return Some(content.records());
    }
    match tokio::task::spawn_blocking(|| content.records()).await {
        Ok(records) => Some(records),
        Err(error) if error.is_cancelled() => None,
        Err(error) => Some(Err(RecordError::Decompress(error.to_string()))),
    }
}

impl Position {
    fn place(&self, offset: i64) -> Place {
        Place { topic: Arc::clone(&self.topic), partition: self.partition, offset }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::records::{Compression, NewRecord, encode};

    #[test]
    fn who_decompresses_much_holds_up_nobody() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // The only thread that may take its time is busy.
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || is_done.recv());
        let _within = runtime.enter();
        for (compression, bytes, is_quick) in [
            (Compression::None, 8 << 20, true),
            (Compression::Gzip, 1 << 10, true),
            (Compression::Gzip, 8 << 20, false),
        ] {
            let value = Bytes::from(vec![7; bytes]);
            let record = NewRecord { key: None, value, headers: Vec::new() };
            let batch = encode([&record].into_iter(), compression, 0).unwrap();
            let content = Batches::new(batch).next().unwrap().content.unwrap();
            let answer = pin!(unpacked(content)).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(matches!(answer, Poll::Ready(Some(Ok(_)))), is_quick, "{compression:?}");
        }
        drop(done);
    }
}
