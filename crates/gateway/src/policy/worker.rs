//! Makes changes of the policies, one after the other, and looks at the files in between.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use pinfold::{Guard, PolicyRef};

use super::{
    Candidate, ChangeError, Changed, Failure, SelfTest, Status, Step, Trigger,
    files::{Files, Looks, Reading, Stamps},
    manager::{Board, Command, Order, Prepared},
    revision::{History, Origin, Revision},
    status::Told,
};
use crate::{
    config::PolicyConfig,
    event::{Bus, Event, PolicyChange, PolicyEvent},
};

/// The thread behind a manager.
pub(super) struct Worker {
    guard: Guard,
    bus: Bus,
    test: Option<SelfTest>,
    files: Files,
    looks: Looks,
    /// What the files held when they were last taken.
    held: Arc<Candidate>,
    watch: Watch,
    history: History,
    orders: Receiver<Command>,
    board: Arc<Board>,
}

/// When to look at the files.
struct Watch {
    enabled: bool,
    interval: Duration,
    next: Instant,
}

/// What is to become active, and what is said of it.
struct Wanted {
    candidate: Candidate,
    trigger: Trigger,
    origin: Origin,
    /// The revision that it was.
    past: Option<Arc<Revision>>,
}

impl Worker {
    pub(super) fn new(
        prepared: Prepared,
        guard: Guard,
        bus: Bus,
        orders: Receiver<Command>,
    ) -> (Self, Arc<Board>) {
        let candidate = Arc::new(prepared.candidate);
        let history = History::new(first(&guard, &candidate), prepared.config.history);
        let watch = Watch::of(&prepared.config);
        let held = Arc::clone(&candidate);
        let board = Arc::new(Board {
            status: ArcSwap::from_pointee(Status::new(&history, watch.enabled)),
            active: ArcSwap::new(candidate),
            stopped: AtomicBool::new(false),
        });
        let worker = Self {
            guard,
            bus,
            test: prepared.test,
            files: prepared.files,
            looks: Looks::new(prepared.stamps),
            held,
            watch,
            history,
            orders,
            board: Arc::clone(&board),
        };
        (worker, board)
    }

    /// Until the manager is gone.
    pub(super) fn run(mut self) {
        self.tell_active(Trigger::Start, false);
        loop {
            let next = self.orders.recv_timeout(self.watch.until_next());
            if self.board.stopped.load(Ordering::Acquire) {
                return;
            }
            match next {
                Ok(command) => self.command(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.watch.is_due() {
                self.look();
            }
        }
    }

    fn command(&mut self, command: Command) {
        let Command {
            order,
            trigger,
            reply,
        } = command;
        self.note(|status| status.under_way = Some(trigger));
        let of_files = matches!(order, Order::Reload | Order::Follow(_));
        let outcome = unwound(|| match order {
            Order::Reload => self.reload(trigger),
            Order::Follow(config) => self.follow(&config, trigger),
            Order::Swap(change) => self.swap(&change, trigger),
            Order::Back(number) => self.back(number, trigger),
        });
        self.conclude(trigger, of_files, &outcome);
        // Who asked may have given up; what was done is in the status.
        let _ = reply.send(outcome);
    }

    /// Looks at the files, and takes up a change that has settled.
    fn look(&mut self) {
        self.watch.looked();
        if !self.looks.see(self.files.stamps()) {
            return;
        }
        // What changes while it is read is left to the next looks.
        let Reading::Whole(stamps, candidate) = self.files.read() else {
            return;
        };
        self.note(|status| status.under_way = Some(Trigger::File));
        self.looks.done(stamps);
        let outcome = unwound(|| self.of_changed_files(candidate, Trigger::File));
        self.conclude(Trigger::File, true, &outcome);
    }

    fn reload(&mut self, trigger: Trigger) -> Result<Changed, ChangeError> {
        let candidate = self.read();
        self.of_files(candidate, trigger)
    }

    fn follow(&mut self, config: &PolicyConfig, trigger: Trigger) -> Result<Changed, ChangeError> {
        let reconfigured = self.reconfigure(config);
        let candidate = reconfigured.and_then(|()| self.read());
        self.of_changed_files(candidate, trigger)
    }

    fn read(&mut self) -> Result<Candidate, Failure> {
        let (stamps, candidate) = self.files.read_patiently();
        self.looks.done(stamps);
        candidate
    }

    /// Takes another configuration, as far as the guard that there is can follow.
    fn reconfigure(&mut self, config: &PolicyConfig) -> Result<(), Failure> {
        let active = self.history.active();
        let config = PolicyConfig {
            cache: active.candidate.cache().map(ToOwned::to_owned),
            inert_wasi: active.candidate.inert_wasi(),
            ..config.clone()
        };
        self.files = Files::of(&config, self.guard.limits())?;
        self.looks = Looks::new(Stamps::default());
        self.watch = Watch::of(&config);
        self.history.keep(config.history);
        let watched = self.watch.enabled;
        self.note(|status| status.watched = watched);
        Ok(())
    }

    /// What an operator decided stays, unless the files hold something else than before: a signal that is about a
    /// certificate is not to undo a swap in an emergency.
    fn of_changed_files(
        &mut self,
        candidate: Result<Candidate, Failure>,
        trigger: Trigger,
    ) -> Result<Changed, ChangeError> {
        let active = self.history.active();
        let apart = active.origin != Origin::Files;
        match &candidate {
            Ok(read) if apart && read.is(&self.held) && !read.is(&active.candidate) => {
                self.tell(trigger, PolicyChange::Aside);
                Ok(self.as_it_is())
            }
            _ => self.of_files(candidate, trigger),
        }
    }

    fn of_files(
        &mut self,
        candidate: Result<Candidate, Failure>,
        trigger: Trigger,
    ) -> Result<Changed, ChangeError> {
        let wanted = Wanted {
            candidate: candidate?,
            trigger,
            origin: Origin::Files,
            past: None,
        };
        let changed = self.activate(wanted)?;
        self.held = Arc::clone(&self.history.active().candidate);
        Ok(changed)
    }

    fn swap(&mut self, change: &super::Change, trigger: Trigger) -> Result<Changed, ChangeError> {
        let candidate = self.history.active().candidate.with(change)?;
        let wanted = Wanted {
            candidate,
            trigger,
            origin: Origin::Admin,
            past: None,
        };
        self.activate(wanted)
    }

    fn back(&mut self, number: Option<u64>, trigger: Trigger) -> Result<Changed, ChangeError> {
        let past = self.history.target(number)?;
        let wanted = Wanted {
            candidate: Candidate::clone(&past.candidate),
            trigger,
            origin: Origin::Rollback,
            past: Some(past),
        };
        self.activate(wanted)
    }

    /// Tests, loads, swaps; or, when it is active already, says so.
    fn activate(&mut self, mut wanted: Wanted) -> Result<Changed, ChangeError> {
        let active = Arc::clone(&self.history.active().candidate);
        if active.is(&wanted.candidate) {
            return Ok(self.unchanged(&wanted));
        }
        for known in self.history.iter() {
            wanted.candidate.share(&known.candidate);
        }
        // What is gone back to was tested when it came.
        if wanted.past.is_none() {
            self.files.test(self.test.as_ref(), &wanted.candidate)?;
        }
        let number = self.exchange(&active, &wanted.candidate)?;
        Ok(self.record(wanted, number))
    }

    /// Swaps what differs: layers that stay keep their instances.
    fn exchange(&self, active: &Candidate, next: &Candidate) -> Result<u64, Failure> {
        let swapped = match active.changed(next).as_deref() {
            Some([only]) => {
                let (source, settings) = (only.source.clone(), only.settings.clone());
                self.guard.swap_layer(&only.name, source, settings)
            }
            _ => self.guard.swap_layers(next.chain()),
        };
        swapped.map_err(|error| next.refused(error))
    }

    fn record(&mut self, wanted: Wanted, number: u64) -> Changed {
        let policies: Arc<[_]> = self.guard.policies().into();
        let before = match &wanted.past {
            Some(past) => past.before,
            None => Some(self.history.active().root()),
        };
        let candidate = Arc::new(wanted.candidate);
        self.board.active.store(Arc::clone(&candidate));
        self.history.push(Revision {
            number,
            at: SystemTime::now(),
            trigger: wanted.trigger,
            origin: wanted.origin,
            restores: wanted.past.map(|past| past.root()),
            before,
            policies: Arc::clone(&policies),
            candidate,
        });
        Changed {
            generation: number,
            swapped: true,
            policies,
        }
    }

    fn unchanged(&mut self, wanted: &Wanted) -> Changed {
        if wanted.origin == Origin::Files && self.history.active().origin != Origin::Files {
            self.history.reattribute(Origin::Files);
        }
        self.as_it_is()
    }

    fn as_it_is(&self) -> Changed {
        let active = self.history.active();
        Changed {
            generation: active.number,
            swapped: false,
            policies: Arc::clone(&active.policies),
        }
    }

    /// Shows what came of a change, and tells it.
    fn conclude(&self, trigger: Trigger, of_files: bool, outcome: &Result<Changed, ChangeError>) {
        let history = &self.history;
        self.note(|status| {
            status.under_way = None;
            if of_files {
                status.files_refused = outcome.is_err();
            }
            *status = status.clone().over(history);
            match outcome {
                Ok(changed) => {
                    status.error = None;
                    status.swapped += u64::from(changed.swapped);
                }
                Err(ChangeError::Kept(failure)) => {
                    status.error = Some(told(trigger, failure));
                    status.kept += 1;
                }
                // Nobody's policy is wrong: who asked is told, and nobody else.
                Err(_) => {}
            }
        });
        match outcome {
            Ok(changed) if changed.swapped => {
                let back = history.active().origin == Origin::Rollback;
                self.tell_active(trigger, back);
            }
            Err(ChangeError::Kept(failure)) => self.tell(
                trigger,
                PolicyChange::Kept {
                    step: failure.step.as_str(),
                    error: failure.message.clone(),
                },
            ),
            _ => {}
        }
    }

    fn tell_active(&self, trigger: Trigger, back: bool) {
        let active = self.history.active();
        let active = PolicyChange::Active {
            generation: active.number,
            policies: active.policies.to_vec(),
            back,
        };
        self.tell(trigger, active);
    }

    fn tell(&self, trigger: Trigger, what: PolicyChange) {
        let event = Event::Policy(Arc::new(PolicyEvent {
            at: SystemTime::now(),
            trigger: trigger.as_str(),
            what,
        }));
        // Whoever takes it must not end this thread: nobody could change the policies any more.
        let _ = catch_unwind(AssertUnwindSafe(|| self.bus.tell(&event)));
    }

    /// Changes what is shown. This thread alone does.
    fn note(&self, change: impl FnOnce(&mut Status)) {
        let mut status = Status::clone(&self.board.status.load());
        change(&mut status);
        self.board.status.store(Arc::new(status));
    }
}

impl Watch {
    fn of(config: &PolicyConfig) -> Self {
        let interval = config.interval.get().max(SHORTEST);
        Self {
            enabled: config.watch,
            interval,
            next: Instant::now() + interval,
        }
    }

    fn until_next(&self) -> Duration {
        match self.enabled {
            true => self.next.saturating_duration_since(Instant::now()),
            false => IDLE,
        }
    }

    fn is_due(&self) -> bool {
        self.enabled && Instant::now() >= self.next
    }

    /// The next look comes an interval after this one ends, however long it takes.
    fn looked(&mut self) {
        self.next = Instant::now() + self.interval;
    }
}

fn first(guard: &Guard, candidate: &Arc<Candidate>) -> Revision {
    let policies: Arc<[PolicyRef]> = guard.policies().into();
    Revision {
        number: *guard.generation().borrow(),
        at: SystemTime::now(),
        trigger: Trigger::Start,
        origin: Origin::Files,
        restores: None,
        before: None,
        policies,
        candidate: Arc::clone(candidate),
    }
}

fn told(trigger: Trigger, failure: &Failure) -> Told {
    Told {
        at: SystemTime::now(),
        trigger,
        failure: failure.clone(),
    }
}

/// A panic, of the self-test or of a sink, is a change that was refused; the next one is made all the same.
fn unwound(change: impl FnOnce() -> Result<Changed, ChangeError>) -> Result<Changed, ChangeError> {
    catch_unwind(AssertUnwindSafe(change)).unwrap_or_else(|_| {
        let failure = Failure::new(Step::Load, "the change ended in a panic", None);
        Err(failure.into())
    })
}

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(10);

/// How long the thread sleeps where nothing is watched.
const IDLE: Duration = Duration::from_secs(3600);
