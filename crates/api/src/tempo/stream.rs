//! Answers in several messages.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, Stream, StreamExt};
use prost::Message;
use query::metrics::MetricsAnswer;
use store::{FoundPage, QueryError, Watcher};
use tonic::{Response, Status};

use super::fault::Fault;
use super::proto::{QueryRangeResponse, SearchMetrics, SearchResponse, TimeSeries};
use super::search;
use crate::apart::apart;
use crate::steps::{Step, steps};
use crate::waiting::{BUSY, Room};

/// How long a message may be, but for one that holds a single item: clients take 4 MiB by default.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The messages that answer a call.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A fault in gRPC's words.
pub(super) fn refused(fault: impl Into<Fault>) -> Status {
    fault.into().status()
}

/// How room for waiting answers is found.
type TakeRoom = fn(usize) -> Option<Room>;

/// Answers of at most [`MESSAGE_BYTES_MAX`], one at least; `message` is told which is the last.
///
/// # Errors
/// There is no room for so much that waits to be read.
pub(super) fn in_messages<I, T: Send + 'static>(
    items: Vec<I>,
    length: impl Fn(&I) -> usize,
    message: impl Fn(Vec<I>, bool) -> T,
) -> Result<Response<Answers<T>>, Status> {
    let (groups, bytes) = split(items, length);
    let room = Room::take(bytes).ok_or_else(busy)?;
    let count = groups.len();
    let message = |(at, items)| Ok(message(items, at + 1 == count));
    let messages: Vec<_> = groups.into_iter().enumerate().map(message).collect();
    Ok(Response::new(Box::pin(stream::iter(room.held_by(messages.into_iter())))))
}

fn busy() -> Status {
    Status::unavailable(BUSY)
}

/// Items in groups of at most [`MESSAGE_BYTES_MAX`], one group at least, and the bytes of all.
fn split<I>(items: Vec<I>, length: impl Fn(&I) -> usize) -> (Vec<Vec<I>>, usize) {
    let mut groups = vec![Vec::new()];
    let (mut bytes, mut sum) = (0, 0);
    for item in items {
        // Around each item stand its field's number and its length.
        let more = length(&item) + 8;
        if bytes + more > MESSAGE_BYTES_MAX && bytes > 0 {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        sum += more;
        if let Some(group) = groups.last_mut() {
            group.push(item);
        }
    }
    (groups, sum)
}

/// The traces that a search finds, as it finds them. A message has those that are new or changed;
/// the last says that it is the last. Dropping the stream ends the search.
pub(super) fn searched<F>(find: impl FnOnce(Watcher<FoundPage>) -> F) -> Answers<SearchResponse>
where
    F: Future<Output = Result<FoundPage, QueryError>> + Send + 'static,
{
    let mut told = Told::default();
    as_messages(steps(find), move |step| told.take(step, Room::take))
}

/// The messages for each step, made one step after the other.
fn as_messages<T: Send + 'static, M: Send + 'static>(
    steps: impl Stream<Item = Step<T>> + Send + 'static,
    take: impl FnMut(Step<T>) -> Messages<M> + Send + 'static,
) -> Answers<M> {
    let take = Arc::new(Mutex::new(take));
    let messages = steps.then(move |step| {
        let take = take.clone();
        let made = apart(move || take.lock().unwrap_or_else(PoisonError::into_inner)(step));
        async { made.await.unwrap_or_else(|error| failed(refused(error))) }
    });
    Box::pin(messages.flat_map(stream::iter))
}

/// The series that a query counts, as it counts them: whole ones, each again when it grew, as
/// clients replace what they had of the same labels; in the end all of them, as `answer` makes them.
/// `series` makes those of an answer so far. Dropping the stream ends the query.
pub(super) fn counted<F>(
    run: impl FnOnce(Watcher<MetricsAnswer>) -> F,
    series: impl Fn(&MetricsAnswer) -> Vec<TimeSeries> + Send + 'static,
    answer: impl Fn(MetricsAnswer) -> QueryRangeResponse + Send + 'static,
) -> Answers<QueryRangeResponse>
where
    F: Future<Output = Result<MetricsAnswer, QueryError>> + Send + 'static,
{
    let mut told: HashSet<u64> = HashSet::new();
    as_messages(steps(run), move |step| {
        let whole = match step {
            Step::Done(Ok(whole)) => answer(whole),
            Step::Done(Err(error)) => return failed(refused(error)),
            Step::Progress(progress) => {
                let mut news = series(&progress.so_far);
                let digests: Vec<u64> = news.iter().map(digest).collect();
                let mut each = digests.iter();
                news.retain(|_| each.next().is_some_and(|digest| !told.contains(digest)));
                if news.is_empty() {
                    return none();
                }
                let stats = search::metrics(&progress.so_far.stats, false);
                let part = QueryRangeResponse {
                    series: news,
                    metrics: Some(stats),
                    ..QueryRangeResponse::default()
                };
                // What finds no room is news still.
                let messages = range_messages(part, false).unwrap_or_else(|_| none());
                told = digests.into_iter().collect();
                return messages;
            }
        };
        range_messages(whole, true).unwrap_or_else(failed)
    })
}

/// An answer, or a part of it, in messages; only the last of an answer says that its jobs are done.
fn range_messages(
    answer: QueryRangeResponse,
    is_whole: bool,
) -> Result<Messages<QueryRangeResponse>, Status> {
    let QueryRangeResponse { series, metrics, status, message } = answer;
    let (groups, bytes) = split(series, Message::encoded_len);
    let room = Room::take(bytes).ok_or_else(busy)?;
    let count = groups.len();
    let message = move |(at, series)| {
        let is_last = is_whole && at + 1 == count;
        let metrics = if is_last { metrics } else { metrics.map(unfinished) };
        Ok(QueryRangeResponse { series, metrics, status, message: message.clone() })
    };
    Ok(Box::new(room.held_by(groups.into_iter().enumerate().map(message))))
}

/// What a query took, before the last of its messages.
pub(super) fn unfinished(metrics: SearchMetrics) -> SearchMetrics {
    SearchMetrics { completed_jobs: 0, ..metrics }
}

/// What a client knows already.
#[derive(Default)]
struct Told {
    /// A number for what was told of each trace.
    traces: HashMap<String, u64>,
}

type Messages<T> = Box<dyn Iterator<Item = Result<T, Status>> + Send>;

impl Told {
    /// The messages for a step. Progress for which there is no room is told later or at the end.
    fn take(&mut self, step: Step<FoundPage>, room: TakeRoom) -> Messages<SearchResponse> {
        let (page, done) = match step {
            Step::Progress(progress) => (progress.so_far, false),
            Step::Done(Ok(page)) => (page, true),
            Step::Done(Err(error)) => return failed(refused(error)),
        };
        let traces = page.traces.iter().map(search::trace);
        let news = traces.map(|trace| (digest(&trace), trace));
        let news: Vec<_> = news
            .filter(|(digest, trace)| self.traces.get(&trace.trace_id) != Some(digest))
            .collect();
        if news.is_empty() && !done {
            return none();
        }
        let ids: Vec<_> =
            news.iter().map(|(digest, trace)| (trace.trace_id.clone(), *digest)).collect();
        let news = news.into_iter().map(|(_, trace)| trace).collect();
        let (groups, bytes) = split(news, Message::encoded_len);
        let Some(room) = room(bytes) else {
            return if done { failed(busy()) } else { none() };
        };
        self.traces.extend(ids);
        let last = groups.len() - 1;
        let stats = page.stats.clone();
        let message = move |(at, traces)| {
            let metrics = Some(search::metrics(&stats, done && at == last));
            Ok(SearchResponse { traces, metrics })
        };
        Box::new(room.held_by(groups.into_iter().enumerate().map(message)))
    }
}

fn none<T: 'static>() -> Messages<T> {
    Box::new(std::iter::empty())
}

fn failed<T: Send + 'static>(status: Status) -> Messages<T> {
    Box::new(std::iter::once(Err(status)))
}

fn digest(message: &impl Message) -> u64 {
    let mut state = DefaultHasher::new();
    message.encode_to_vec().hash(&mut state);
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SpanId, TraceId};
    use store::{FoundSpan, FoundSpanset, FoundTrace, Progress, TraceSummary};
    use tokio::sync::oneshot::error::TryRecvError;

    fn found(id: u8, name: &str) -> FoundTrace {
        let summary = TraceSummary {
            trace_id: TraceId([id; 16]),
            root_service: "cart".to_owned(),
            root_name: name.to_owned(),
            start_unix_nano: 5,
            duration_nano: 7,
            span_count: 1,
            error_count: 0,
            services: Vec::new(),
            missing_root: false,
            orphan_count: 0,
        };
        let span = FoundSpan {
            span_id: SpanId([1; 8]),
            name: name.to_owned(),
            start_unix_nano: 5,
            duration_nano: 7,
            fields: Vec::new(),
        };
        let spanset = FoundSpanset { matched: 1, attributes: Vec::new(), spans: vec![span] };
        FoundTrace { summary, spansets: vec![spanset] }
    }

    fn page(traces: Vec<FoundTrace>) -> FoundPage {
        FoundPage { traces, ..FoundPage::default() }
    }

    fn news<T>(so_far: T) -> Progress<T> {
        Progress { so_far, spans_done: 1, spans_all: 2 }
    }

    fn so_far(page: FoundPage) -> Step<FoundPage> {
        Step::Progress(news(page))
    }

    /// The names of the traces in each message, and whether it is the last.
    fn told(told: &mut Told, step: Step<FoundPage>) -> Vec<(Vec<String>, bool)> {
        let message = |message: Result<SearchResponse, Status>| {
            let message = message.unwrap();
            let metrics = message.metrics.unwrap();
            let names = message.traces.into_iter().map(|trace| trace.root_trace_name).collect();
            (names, metrics.completed_jobs == metrics.total_jobs)
        };
        told.take(step, Room::take).map(message).collect()
    }

    #[test]
    fn messages_have_what_is_new() {
        let mut state = Told::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let first = page(vec![found(1, "a"), found(2, "b")]);
        assert_eq!(told(&mut state, so_far(first.clone())), [(names(&["a", "b"]), false)]);
        assert_eq!(told(&mut state, so_far(first)), []);
        let changed = page(vec![found(1, "a"), found(2, "c"), found(3, "d")]);
        let expected = [(names(&["c", "d"]), false)];
        assert_eq!(told(&mut state, so_far(changed.clone())), expected);
        assert_eq!(told(&mut state, Step::Done(Ok(changed))), [(names(&[]), true)]);
    }

    #[tokio::test]
    async fn a_stream_tells_as_it_goes_and_ends_its_search_with_it() {
        /// Tells when it goes.
        struct Guard(tokio::sync::oneshot::Sender<()>);
        let (sender, mut ended) = tokio::sync::oneshot::channel();
        let guard = Guard(sender);
        let mut stream = searched(|watcher| async move {
            let guard = guard;
            watcher.tell(news(page(vec![found(1, "first")])));
            std::future::pending::<()>().await;
            drop(guard.0);
            Ok(FoundPage::default())
        });
        let message = stream.next().await.unwrap().unwrap();
        assert_eq!(message.traces[0].root_trace_name, "first");
        assert!(ended.try_recv().is_err_and(|error| error == TryRecvError::Empty));
        drop(stream);
        assert!(ended.try_recv().is_err_and(|error| error == TryRecvError::Closed));
    }

    #[tokio::test]
    async fn a_search_that_fails_ends_its_stream_with_a_status() {
        let refused = || async { Err(QueryError::Refused("too much".to_owned())) };
        let answers: Vec<_> = searched(|_| refused()).collect().await;
        let [Err(status)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "too much"));
    }

    #[tokio::test]
    async fn series_are_told_as_they_grow_and_all_in_the_end() {
        let one = |name: &str, value| store::MeasuredSeries {
            labels: vec![("a".to_owned(), traceql::Static::String(name.to_owned()))],
            values: vec![value],
            exemplars: Vec::new(),
        };
        let counted_so_far = move |x: f64, y: f64| {
            let series = [one("x", x), one("y", y)].into_iter().filter(|of| of.values[0] > 0.0);
            MetricsAnswer { series: series.collect(), ..MetricsAnswer::default() }
        };
        let series = |answer: &MetricsAnswer| -> Vec<TimeSeries> {
            let series = |of: &store::MeasuredSeries| TimeSeries {
                labels: vec![super::super::values::key_value("a", &of.labels[0].1)],
                samples: vec![super::super::proto::Sample { value: of.values[0], timestamp_ms: 1 }],
                exemplars: Vec::new(),
            };
            answer.series.iter().map(series).collect()
        };
        let answer = move |answer: MetricsAnswer| QueryRangeResponse {
            series: series(&answer),
            metrics: Some(search::metrics(&answer.stats, true)),
            ..QueryRangeResponse::default()
        };
        let run = move |watcher: Watcher<MetricsAnswer>| async move {
            for (x, y) in [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0), (1.0, 2.0), (3.0, 2.0)] {
                while !watcher.is_free() {
                    tokio::task::yield_now().await;
                }
                watcher.tell(news(counted_so_far(x, y)));
            }
            while !watcher.is_free() {
                tokio::task::yield_now().await;
            }
            Ok(counted_so_far(3.0, 2.0))
        };
        let told = |message: Result<QueryRangeResponse, Status>| {
            let message = message.unwrap();
            let values: Vec<f64> = message.series.iter().map(|of| of.samples[0].value).collect();
            let metrics = message.metrics.unwrap();
            (values, metrics.completed_jobs == metrics.total_jobs)
        };
        let told: Vec<_> = counted(run, series, answer).map(told).collect().await;
        let expected = [(vec![1.0], false), (vec![2.0], false), (vec![3.0], false)];
        let (last, before) = told.split_last().unwrap();
        assert_eq!((before, last), (&expected[..], &(vec![3.0, 2.0], true)));

        let refused = |_| async { Err(QueryError::Refused("too much".to_owned())) };
        let answers: Vec<_> = counted(refused, series, answer).collect().await;
        let [Err(status)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "too much"));
    }

    #[test]
    fn messages_are_short() {
        let long = "x".repeat(MESSAGE_BYTES_MAX / 3);
        let traces = (1..=6).map(|id| found(id, &long)).collect();
        let messages = Told::default().take(Step::Done(Ok(page(traces))), Room::take);
        let lengths: Vec<usize> = messages.map(|message| message.unwrap().encoded_len()).collect();
        assert!(lengths.len() >= 3, "{lengths:?}");
        // One trace alone may be longer than that: its name is in it twice here.
        assert!(lengths.iter().all(|length| *length < 2 * MESSAGE_BYTES_MAX), "{lengths:?}");
        assert_eq!(split(Vec::<String>::new(), String::len), (vec![Vec::new()], 0));
    }

    #[test]
    fn where_there_is_no_room_progress_waits_and_the_end_says_so() {
        let mut state = Told::default();
        let full: TakeRoom = |_| None;
        let all = page(vec![found(1, "a")]);
        assert_eq!(state.take(so_far(all.clone()), full).count(), 0);
        // It is news still.
        assert_eq!(told(&mut state, so_far(all)), [(vec!["a".to_owned()], false)]);
        let end = page(vec![found(2, "b")]);
        let answers: Vec<_> = state.take(Step::Done(Ok(end)), full).collect();
        let [Err(status)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(status.code(), tonic::Code::Unavailable);
    }

    #[tokio::test]
    async fn the_last_of_several_messages_is_known_as_such() {
        let items = vec!["x".repeat(MESSAGE_BYTES_MAX / 2); 3];
        let answer = in_messages(items, String::len, |items, last| (items.len(), last)).unwrap();
        let told: Vec<_> = answer.into_inner().map(Result::unwrap).collect().await;
        assert_eq!(told, [(1, false), (1, false), (1, true)]);
    }
}
