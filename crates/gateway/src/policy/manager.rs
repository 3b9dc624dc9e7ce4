//! Asks for changes of the policies, and waits for them, but not for ever.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
};

use arc_swap::ArcSwap;
use pinfold::{Guard, GuardBuilder, Limits};
use tokio::{sync::oneshot, time::timeout};

use super::{
    Candidate, Change, ChangeError, Changed, Failure, SelfTest, Status, Trigger,
    failure::{QUEUE, WAIT},
    files::{Files, Stamps},
    worker::Worker,
};
use crate::{config::PolicyConfig, event::Bus};

/// Who changes the policies, one change after the other, in the order in which they are asked for. Dropped, it makes
/// no more.
pub(crate) struct Manager {
    commands: SyncSender<Command>,
    board: Arc<Board>,
}

/// The first policies, read and not yet loaded: there is no guard yet.
pub(crate) struct Prepared {
    pub(super) config: PolicyConfig,
    pub(super) files: Files,
    pub(super) candidate: Candidate,
    /// What the files looked like when they were read: what changes from here on is seen.
    pub(super) stamps: Stamps,
    pub(super) test: Option<SelfTest>,
}

/// What is shown outside of the thread that changes it.
pub(super) struct Board {
    pub(super) status: ArcSwap<Status>,
    pub(super) active: ArcSwap<Candidate>,
    pub(super) stopped: AtomicBool,
}

/// A change that was asked for.
pub(super) struct Command {
    pub(super) order: Order,
    pub(super) trigger: Trigger,
    /// Who asked may have given up.
    pub(super) reply: oneshot::Sender<Result<Changed, ChangeError>>,
}

/// What to make active.
pub(super) enum Order {
    /// What the files hold, whatever is active.
    Reload,
    /// What the files of this configuration hold, unless they hold what they held before and an operator decided
    /// otherwise since.
    Follow(Box<PolicyConfig>),
    /// What an operator sent.
    Swap(Change),
    /// What was active before, or under this number.
    Back(Option<u64>),
}

impl Prepared {
    /// Reads the files of the configuration. Blocks.
    pub(crate) fn read(
        config: &PolicyConfig,
        limits: &Limits,
        test: Option<SelfTest>,
    ) -> Result<Self, Failure> {
        let files = Files::of(config, limits)?;
        let (stamps, candidate) = files.read_patiently();
        Ok(Self {
            config: config.clone(),
            files,
            candidate: candidate?,
            stamps,
            test,
        })
    }

    /// Tests and loads the first policies: a gateway does not start with what it would not swap in. Blocks, some
    /// hundred milliseconds for a compiled policy.
    pub(crate) fn build(&self, builder: GuardBuilder) -> Result<Guard, Failure> {
        self.files.test(self.test.as_ref(), &self.candidate)?;
        let built = self.candidate.of_guard(builder).build();
        built.map_err(|error| self.candidate.refused(error))
    }

    /// Begins to take changes of the guard that was built.
    pub(crate) fn manage(self, guard: Guard, bus: Bus) -> io::Result<Manager> {
        let (commands, orders) = sync_channel(QUEUE);
        let (worker, board) = Worker::new(self, guard, bus, orders);
        let thread = std::thread::Builder::new().name("pinfold-policies".into());
        thread.spawn(move || worker.run())?;
        Ok(Manager { commands, board })
    }
}

impl Manager {
    /// Reads the files again, and swaps in what they hold.
    pub(crate) async fn reload(&self, trigger: Trigger) -> Result<Changed, ChangeError> {
        self.change(Order::Reload, trigger).await
    }

    /// Reads the files under another configuration. What an operator swapped in, or went back to, stays unless the
    /// files hold something else than when they were read last. The cache and inert WASI stay as they were at the
    /// start: they belong to the guard. Waits however long it takes.
    pub(crate) async fn follow(
        &self,
        config: PolicyConfig,
        trigger: Trigger,
    ) -> Result<Changed, ChangeError> {
        let outcome = self.send(Order::Follow(Box::new(config)), trigger)?;
        outcome.await.unwrap_or(Err(ChangeError::Stopped))
    }

    /// Swaps in what an operator sent.
    pub(crate) async fn swap(&self, change: Change) -> Result<Changed, ChangeError> {
        self.change(Order::Swap(change), Trigger::Admin).await
    }

    /// As [`swap`](Self::swap), and waits however long it takes: for who has to do something when it is done.
    pub(crate) async fn swap_patiently(&self, change: Change) -> Result<Changed, ChangeError> {
        let outcome = self.send(Order::Swap(change), Trigger::Admin)?;
        outcome.await.unwrap_or(Err(ChangeError::Stopped))
    }

    /// Swaps in what was active before, or under this generation. It was tested then, and is not tested again: who
    /// goes back is in a hurry.
    pub(crate) async fn rollback(&self, to: Option<u64>) -> Result<Changed, ChangeError> {
        self.change(Order::Back(to), Trigger::Admin).await
    }

    pub(crate) fn status(&self) -> Arc<Status> {
        self.board.status.load_full()
    }

    /// What is active.
    pub(crate) fn active(&self) -> Arc<Candidate> {
        self.board.active.load_full()
    }

    async fn change(&self, order: Order, trigger: Trigger) -> Result<Changed, ChangeError> {
        let outcome = self.send(order, trigger)?;
        match timeout(WAIT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ChangeError::Stopped),
            Err(_) => Err(ChangeError::Pending),
        }
    }

    pub(super) fn send(
        &self,
        order: Order,
        trigger: Trigger,
    ) -> Result<oneshot::Receiver<Result<Changed, ChangeError>>, ChangeError> {
        let (reply, outcome) = oneshot::channel();
        let command = Command {
            order,
            trigger,
            reply,
        };
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => ChangeError::Busy,
                TrySendError::Disconnected(_) => ChangeError::Stopped,
            })?;
        Ok(outcome)
    }
}

impl Drop for Manager {
    /// The thread is not waited for: it may be compiling.
    fn drop(&mut self) {
        self.board.stopped.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("candidate", &self.candidate)
            .finish_non_exhaustive()
    }
}
