//! Traces: a span for each request that was judged, with one for each step of the judgement, by OTLP over HTTP.
//!
//! A trace that the client sent along (`traceparent`) is gone on with, sampled or not as the client says; of the other
//! requests one in so many is traced. Traffic waits for nothing: what is sampled goes into a bounded queue, and what
//! finds it full is counted.
//!
//! Ids are made from the id of the request, so that its beginning and its end, which are told at different times, come to
//! the same span without a table of what is open.
//!
//! | file | what it does |
//! |---|---|
//! | `parent` | the header `traceparent` |
//! | `spans` | an event as spans |
//! | `collector` | the only way to the collector: a guard that lets nothing else through |
//! | `export` | the task that sends |

mod collector;
mod export;
mod parent;
mod spans;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pinfold::resolve::Resolve;
use tokio::sync::{mpsc, oneshot};

use self::{collector::Collector, export::Exporter, spans::Scribe};
use crate::{
    config,
    event::{Event, Sink},
};
pub(super) use parent::TraceParent;

/// Sends spans to a collector.
pub(crate) struct Tracer {
    queue: mpsc::Sender<Message>,
    scribe: Arc<Scribe>,
    counts: Arc<Counts>,
}

enum Message {
    /// With the time from the request to when it was told: it may wait long for a collector.
    Event(Event, Duration),
    /// Sends what waits, and says so.
    Flush(oneshot::Sender<()>),
}

/// What became of spans, and of events that would have been some.
#[derive(Debug, Default)]
struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Tracer {
    /// Loads the policy for the way to the collector, and starts the task that sends. Blocks for as long as a policy
    /// takes to load; must run inside a tokio runtime. `resolver` looks the collector's name up, when it has one.
    ///
    /// # Errors
    ///
    /// When the endpoint or a header is not what it has to be.
    pub(crate) fn start(
        config: &config::Tracing,
        withhold: &[config::Withhold],
        resolver: impl Resolve,
    ) -> Result<Self, String> {
        let collector = Collector::new(config, resolver)?;
        let scribe = Arc::new(Scribe::new(config.sample, withhold));
        let counts = Arc::new(Counts::default());
        let (queue, inbox) = mpsc::channel(QUEUE);
        let exporter = Exporter::new(collector, config, Arc::clone(&scribe), Arc::clone(&counts))?;
        tokio::spawn(exporter.run(inbox));
        Ok(Self {
            queue,
            scribe,
            counts,
        })
    }

    /// Withholds other things from now on.
    pub(crate) fn withhold(&self, withhold: &[config::Withhold]) {
        self.scribe.withhold(withhold);
    }

    /// Sends what waits, at most this long. False when it took longer.
    pub(crate) async fn flush(&self, patience: Duration) -> bool {
        let (done, wait) = oneshot::channel();
        let flush = async {
            self.queue.send(Message::Flush(done)).await.ok()?;
            wait.await.ok()
        };
        let flushed = tokio::time::timeout(patience, flush).await;
        flushed.is_ok_and(|sent| sent.is_some())
    }

    pub(crate) fn exported(&self) -> u64 {
        self.counts.exported.load(Ordering::Relaxed)
    }

    /// Events that found the queue full.
    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Spans that the collector did not take.
    pub(crate) fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }
}

impl Sink for Tracer {
    fn take(&self, event: &Event) {
        let asked = match event {
            Event::Decided(decided) => &decided.asked,
            Event::Ended(ended) => &ended.asked,
            _ => return,
        };
        if self.scribe.is_sampled(asked)
            && self
                .queue
                .try_send(Message::Event(event.clone(), asked.began.elapsed()))
                .is_err()
        {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Events that may wait.
const QUEUE: usize = 4_096;
