//! The task that sends spans.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{Counts, Message, collector::Collector, spans::Scribe};
use crate::config;

/// Sends what waits every so often, and whenever a batch is full.
pub(super) struct Exporter {
    exporter: SpanExporter,
    interval: Duration,
    batch: Vec<SpanData>,
    scribe: Arc<Scribe>,
    counts: Arc<Counts>,
}

impl Exporter {
    pub(super) fn new(
        collector: Collector,
        config: &config::Tracing,
        scribe: Arc<Scribe>,
        counts: Arc<Counts>,
    ) -> Result<Self, String> {
        // Everything is given, so that no variable of the environment decides: headers are those of `collector`. Its
        // own repetition sleeps on the thread; a batch that is not taken is counted instead.
        let builder = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_retry_policy(RetryPolicy::disabled())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&config.endpoint)
            .with_timeout(PATIENCE);
        let mut exporter = builder.build().map_err(|error| error.to_string())?;
        exporter.set_resource(&resource());
        Ok(Self {
            exporter,
            interval: config.interval.get().max(SHORTEST),
            batch: Vec::new(),
            scribe,
            counts,
        })
    }

    /// Until nobody can tell any more.
    pub(super) async fn run(mut self, mut inbox: Receiver<Message>) {
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
                _ = ticks.tick() => self.send().await,
            }
        }
        self.send().await;
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Event(event, took) => {
                self.scribe.write(&event, took, &mut self.batch);
                if self.batch.len() >= BATCH {
                    self.send().await;
                }
            }
            Message::Flush(done) => {
                self.send().await;
                // Whoever waited may have given up.
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return;
        }
        let spans = batch.len() as u64;
        let sent = timeout(PATIENCE, self.exporter.export(batch)).await;
        let count = match sent {
            Ok(Ok(())) => &self.counts.exported,
            _ => &self.counts.failed,
        };
        count.fetch_add(spans, Ordering::Relaxed);
    }
}

fn resource() -> Resource {
    // Nothing is detected: detectors read the environment.
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "pinfold"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance()),
        ])
        .build()
}

/// Tells processes apart that run at the same time.
fn instance() -> String {
    format!(
        "{}-{:08x}",
        std::process::id(),
        getrandom::u32().unwrap_or_default()
    )
}

/// Spans that are sent together.
const BATCH: usize = 512;
/// Time for one batch, connecting included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two batches, whatever the configuration says.
const SHORTEST: Duration = Duration::from_millis(100);
