//! What the gateway tells: decision log, metrics, traces.

mod alias;
mod log;
pub(crate) mod metrics;
#[cfg(test)]
mod testing;
mod trace;

use std::{sync::Arc, time::Duration};

use pinfold::resolve::Resolve;

pub(crate) use self::alias::Aliases;
pub(crate) use self::metrics::{Kept, Shadowed, Standing};
use self::{log::Log, metrics::Metrics, trace::Tracer};
use crate::{config, event::Sink};

/// Log, metrics and traces of a gateway.
#[derive(Debug)]
pub(crate) struct Telemetry {
    log: Arc<Log>,
    metrics: Arc<Metrics>,
    tracer: Option<Arc<Tracer>>,
    aliases: Aliases,
}

impl Telemetry {
    /// Opens the log, and starts whoever writes and sends. Blocks while it opens files and, when there is a collector of
    /// traces, while the policy for the way to it is loaded; must run inside a tokio runtime. `resolver` looks the name of
    /// the collector up.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened, or the collector is none. The text names the key.
    pub(crate) fn start(records: &config::Records, resolver: impl Resolve) -> Result<Self, String> {
        let aliases = Aliases::new();
        let log = Log::start(&records.log, aliases.clone()).map_err(|error| {
            format!(
                "`records.log.to`: cannot open `{}`: {error}",
                records.log.to
            )
        })?;
        let tracer = records.tracing.as_ref();
        let tracer = tracer.map(|config| Tracer::start(config, &records.log.withhold, resolver));
        let tracer = tracer
            .transpose()
            .map_err(|error| format!("`records.tracing`: {error}"))?;
        Ok(Self {
            log: Arc::new(log),
            metrics: Arc::new(Metrics::new(&records.metrics)),
            tracer: tracer.map(Arc::new),
            aliases,
        })
    }

    /// What the bus tells.
    pub(crate) fn sinks(&self) -> Vec<Arc<dyn Sink>> {
        let mut sinks: Vec<Arc<dyn Sink>> = vec![self.metrics.clone(), self.log.clone()];
        sinks.extend(
            self.tracer
                .iter()
                .map(|tracer| tracer.clone() as Arc<dyn Sink>),
        );
        sinks
    }

    /// Opens the log anew, by this configuration; what of it cannot be done leaves the log as it was. May block for as
    /// long as the disk does. Metrics and traces keep theirs until a restart.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened.
    pub(crate) fn reload(&self, records: &config::Records) -> Result<(), String> {
        self.log.reload(&records.log)
    }

    /// Traces withhold this from now on.
    pub(crate) fn withhold(&self, withhold: &[config::Withhold]) {
        if let Some(tracer) = &self.tracer {
            tracer.withhold(withhold);
        }
    }

    /// The text for a scraper, of the type [`Telemetry::METRICS_TYPE`].
    pub(crate) fn metrics_text(&self, standing: &Standing<'_>) -> String {
        self.metrics.text(standing, self.kept())
    }

    /// The type of [`Telemetry::metrics_text`].
    pub(crate) const METRICS_TYPE: &str = Metrics::CONTENT_TYPE;

    /// What stands for whom in the log, for whoever else shows it.
    pub(crate) fn aliases(&self) -> Aliases {
        self.aliases.clone()
    }

    /// What was written and sent, and what was not.
    pub(crate) fn kept(&self) -> Kept {
        let tracer = self.tracer.as_deref();
        Kept {
            log_written: self.log.written(),
            log_dropped: self.log.dropped(),
            log_failed: self.log.failed(),
            spans_exported: tracer.map_or(0, Tracer::exported),
            spans_dropped: tracer.map_or(0, Tracer::dropped),
            spans_failed: tracer.map_or(0, Tracer::failed),
        }
    }

    /// Why the log cannot be written now; none when it can.
    pub(crate) fn problem(&self) -> Option<String> {
        self.log.problem()
    }

    /// Writes and sends what waits, at the end of a drain. False when it took longer than this.
    pub(crate) async fn flush(&self, patience: Duration) -> bool {
        let log = Arc::clone(&self.log);
        let log = tokio::task::spawn_blocking(move || log.flush(patience));
        let traces = async {
            match &self.tracer {
                Some(tracer) => tracer.flush(patience).await,
                None => true,
            }
        };
        let (log, traces) = tokio::join!(log, traces);
        log.unwrap_or(false) && traces
    }
}
