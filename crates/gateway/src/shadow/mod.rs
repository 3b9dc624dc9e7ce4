//! A candidate that judges the same traffic beside the active policy. It never decides.
//!
//! ```text
//!   decision ──► feed (bounded, never waits) ──► worker ──► compare ──► tally ──► report
//!                └─ full: dropped, and counted              └─ asks the candidate what the active policy was asked
//! ```
//!
//! Nothing is looked up for it, and nothing is asked of anybody else: what the policies were asked, and what they
//! answered, is in the record of each decision.

mod compare;
mod feed;
mod latency;
mod tally;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use pinfold::{
    Limits, PolicyRef,
    policy::{Evaluator, LoadOptions},
};

pub(crate) use self::{feed::Feed, tally::Report};
use self::{
    feed::Watched,
    worker::{Running, Worker},
};
use crate::{
    config,
    event::{Bus, Event, PolicyChange, PolicyEvent},
    policy::{
        Candidate, CandidateLayer, Change, ChangeError, Changed, Failure, Manager, Step, Trigger,
        read_layer,
    },
};

/// Who lets a candidate watch, and says what it would have decided.
pub(crate) struct Shadow {
    feed: Arc<Feed>,
    bus: Bus,
    limits: Limits,
    /// What came of the last candidate, after it was stopped or promoted.
    last: ArcSwapOption<Report>,
    /// One start at a time.
    starting: tokio::sync::Mutex<()>,
}

impl Shadow {
    /// `feed` is a sink of `bus`; the limits are those of the guard.
    pub(crate) fn new(feed: Arc<Feed>, bus: Bus, limits: &Limits) -> Self {
        Self {
            feed,
            bus,
            limits: beside(limits),
            last: ArcSwapOption::empty(),
            starting: tokio::sync::Mutex::new(()),
        }
    }

    /// Lets the candidate of the configuration watch. One that does not load is told, and stops nothing; one that
    /// watches already goes on. Without one, that of an earlier configuration ends, that of an operator does not.
    pub(crate) async fn follow(
        &self,
        config: Option<&config::Shadow>,
        policies: &Manager,
        trigger: Trigger,
    ) {
        let Some(config) = config else {
            return self.forget(trigger);
        };
        let started = match self.read(config, policies).await {
            Ok(layer) if self.watches(&layer) => return,
            Ok(layer) => self.watch(layer, &policies.active(), trigger).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            self.bus.tell(&Event::Trouble {
                what: "shadow",
                detail: format!("no candidate watches: {error}"),
            });
        }
    }

    fn forget(&self, trigger: Trigger) {
        let running = self.feed.running();
        if let Some(running) = running.filter(|running| running.watched.configured)
            && self.feed.take_out_only(&running)
        {
            self.ended(&running, trigger);
        }
    }

    /// Lets a candidate watch instead of the one that does, if one does. What is left out of the change is as in the
    /// active policy.
    pub(crate) async fn start(
        &self,
        change: &Change,
        policies: &Manager,
    ) -> Result<PolicyRef, ChangeError> {
        let active = policies.active();
        let changed = active.with(change)?;
        let layer = changed.find(change.layer.as_deref())?.clone();
        self.watch(layer, &active, Trigger::Admin).await
    }

    /// Ends the watching, and says what came of it.
    pub(crate) fn stop(&self, trigger: Trigger) -> Result<Arc<Report>, ChangeError> {
        let running = self.feed.take_out().ok_or_else(nobody)?;
        Ok(self.ended(&running, trigger))
    }

    /// Swaps in exactly what watches, tested as any other candidate; it then watches no longer. Waits however long
    /// that takes: given up, it would go on watching itself.
    pub(crate) async fn promote(&self, policies: &Manager) -> Result<Changed, ChangeError> {
        let running = self.feed.running().ok_or_else(nobody)?;
        let layer = &running.watched.layer;
        let change = Change {
            layer: Some(layer.name.clone()),
            component: Some(layer.source.clone()),
            settings: Some(layer.settings.clone()),
        };
        let changed = policies.swap_patiently(change).await?;
        if self.feed.take_out_only(&running) {
            self.ended(&running, Trigger::Admin);
        }
        Ok(changed)
    }

    /// What the candidate would have decided so far; of none that watches, what came of the last one.
    pub(crate) fn report(&self) -> Option<Arc<Report>> {
        let running = self.feed.running();
        let now = running.map(|running| Arc::new(running.watched.report(true)));
        now.or_else(|| self.last.load_full())
    }

    async fn read(
        &self,
        config: &config::Shadow,
        policies: &Manager,
    ) -> Result<CandidateLayer, ChangeError> {
        let name = policies
            .active()
            .find(config.layer.as_deref())?
            .name
            .clone();
        let (file, settings) = (config.file.clone(), config.settings.clone());
        let limits = self.limits.clone();
        let read = move || read_layer(&name, file.as_deref(), settings.as_deref(), &limits);
        Ok(blocking(read).await?)
    }

    fn watches(&self, layer: &CandidateLayer) -> bool {
        let running = self.feed.running();
        running.is_some_and(|running| running.watched.layer.is(layer))
    }

    async fn watch(
        &self,
        layer: CandidateLayer,
        active: &Candidate,
        trigger: Trigger,
    ) -> Result<PolicyRef, ChangeError> {
        let _alone = self.starting.try_lock().map_err(|_| ChangeError::Busy)?;
        let policy = self.load(&layer, active).await?;
        let reference = policy.policy();
        let watched = Arc::new(Watched::new(
            layer,
            reference.clone(),
            trigger != Trigger::Admin,
        ));
        let running = Worker::start(policy, watched, self.bus.clone()).map_err(no_thread)?;
        if let Some(before) = self.feed.put_in(running) {
            self.ended(&before, trigger);
        }
        self.tell(trigger, Some(reference.clone()));
        Ok(reference)
    }

    async fn load(&self, layer: &CandidateLayer, active: &Candidate) -> Result<Evaluator, Failure> {
        let options = LoadOptions::new().inert_wasi(active.inert_wasi());
        let options = match active.cache() {
            Some(dir) => options.code_cache(PathBuf::from(dir)),
            None => options,
        };
        let (source, settings) = (layer.source.clone(), layer.settings.clone());
        let limits = self.limits.clone();
        let load = move || Ok(Evaluator::load_with(source, settings, &limits, &options)?);
        blocking(load).await
    }

    /// Keeps what came of a candidate that watches no longer.
    fn ended(&self, running: &Running, trigger: Trigger) -> Arc<Report> {
        running.watched.stopped.store(true, Ordering::Release);
        let report = Arc::new(running.watched.report(false));
        self.last.store(Some(Arc::clone(&report)));
        self.tell(trigger, None);
        report
    }

    fn tell(&self, trigger: Trigger, candidate: Option<PolicyRef>) {
        self.bus.tell(&Event::Policy(Arc::new(PolicyEvent {
            at: SystemTime::now(),
            trigger: trigger.as_str(),
            what: PolicyChange::Shadow { candidate },
        })));
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if let Some(running) = self.feed.take_out() {
            running.watched.stopped.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").finish_non_exhaustive()
    }
}

/// Bounds of a policy that is asked one question at a time, in a pool of its own: it takes no instance from the
/// policies that decide.
fn beside(limits: &Limits) -> Limits {
    let mut limits = limits.clone();
    limits.policy_instances = INSTANCES;
    limits.policy_spares = 1;
    limits
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let late = || Failure::new(Step::Load, "the candidate was not loaded in time", None);
    match tokio::time::timeout(WAIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Failure::new(Step::Load, "loading ended in a panic", None)),
        Err(_) => Err(late()),
    }
}

fn nobody() -> ChangeError {
    let hint = "start one: a component, settings, or both";
    ChangeError::request("shadow-none", "no candidate watches", hint)
}

fn no_thread(error: std::io::Error) -> Failure {
    Failure::new(
        Step::Load,
        format!("no thread for the candidate: {error}"),
        None,
    )
}

/// Instances of the candidate; one is asked at a time.
const INSTANCES: u32 = 4;

/// How long a candidate may take to load.
const WAIT: Duration = Duration::from_secs(60);
