//! The decision log: one line of JSON for each event, written by a thread of its own.
//!
//! Traffic never waits for it. Events wait in a bounded queue and are dropped and counted when it is full; a line says
//! how many, as soon as there is room. What cannot be written (a full disk) is counted as well, and told when the file
//! takes lines again.
//!
//! | file | what it does |
//! |---|---|
//! | `flood` | how many lines of one kind a second |
//! | `line` | an event as a line |
//! | `mask` | what is withheld |
//! | `output` | standard streams and files, which are opened anew when they were moved away |
//! | `writer` | the thread |

mod flood;
mod line;
mod mask;
mod output;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use self::{
    flood::Flood,
    writer::{Message, Writer},
};
use crate::{
    config,
    event::{Event, Sink},
    telemetry::Aliases,
};

/// Writes events. Dropped, it writes what waits, for at most [`Log::PATIENCE`].
pub(crate) struct Log {
    queue: SyncSender<Message>,
    /// Of allowed decisions one in so many.
    sample: AtomicU32,
    allowed: AtomicU64,
    off: AtomicBool,
    counts: Arc<Counts>,
}

/// What became of events.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Refusals, which cost who causes them nothing.
    refusals: Flood,
    problems: Mutex<Problems>,
}

/// What keeps the log from being written, now.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) write: Option<String>,
    /// The file was moved away and another cannot be opened in its place.
    pub(super) follow: Option<String>,
}

impl Log {
    /// How long dropping the log waits for a writer that does not come to an end.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

    /// Opens the log and starts the thread.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or the system has no thread.
    pub(crate) fn start(config: &config::DecisionLog, aliases: Aliases) -> io::Result<Self> {
        let counts = Arc::new(Counts::default());
        let writer = Writer::open(config, aliases, Arc::clone(&counts))?;
        Self::with(config, writer, counts)
    }

    fn with(config: &config::DecisionLog, writer: Writer, counts: Arc<Counts>) -> io::Result<Self> {
        let (queue, inbox) = sync_channel(config.queue.clamp(1, LONGEST_QUEUE));
        let thread = thread::Builder::new().name("pinfold-log".into());
        thread.spawn(move || writer.run(&inbox))?;
        Ok(Self {
            queue,
            sample: AtomicU32::new(config.sample.max(1)),
            allowed: AtomicU64::new(0),
            off: AtomicBool::new(config.to == config::LogTo::Off),
            counts,
        })
    }

    /// Goes on by another configuration, and opens the file anew. The length of the queue stays. An output that cannot
    /// be opened leaves everything as it was.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or the writer does not come to it in time.
    pub(crate) fn reload(&self, config: &config::DecisionLog) -> Result<(), String> {
        let (done, wait) = sync_channel(1);
        let message = Message::Reload(Box::new(config.clone()), done);
        let left = self.send(message, Self::PATIENCE);
        let left = left.ok_or_else(|| "the writer of the log is stuck".to_owned())?;
        let reloaded = wait.recv_timeout(left.max(PAUSE));
        reloaded.unwrap_or_else(|_| Err("the writer of the log is stuck".into()))?;
        self.sample.store(config.sample.max(1), Ordering::Relaxed);
        let off = config.to == config::LogTo::Off;
        self.off.store(off, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until everything that was told before is written, at most this long. False when it took longer.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.send(Message::Flush(done), patience)
            .is_some_and(|left| wait.recv_timeout(left.max(PAUSE)).is_ok())
    }

    /// Puts a message at the end of the queue, and says what is left of the time; none when it was full all the time.
    fn send(&self, mut message: Message, mut left: Duration) -> Option<Duration> {
        loop {
            message = match self.queue.try_send(message) {
                Ok(()) => return Some(left),
                Err(TrySendError::Disconnected(_)) => return None,
                Err(TrySendError::Full(back)) => back,
            };
            if left.is_zero() {
                return None;
            }
            thread::sleep(PAUSE.min(left));
            left = left.saturating_sub(PAUSE);
        }
    }

    pub(crate) fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Events that found the queue full.
    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Events that could not be written.
    pub(crate) fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }

    /// Why the log cannot be written now; none when it can.
    pub(crate) fn problem(&self) -> Option<String> {
        let problems = self.counts.problems();
        problems
            .write
            .as_ref()
            .or(problems.follow.as_ref())
            .cloned()
    }

    /// Whether the event is to be written.
    fn takes(&self, event: &Event) -> bool {
        match event {
            Event::Decided(decided) if line::is_plain(decided) => {
                let sample = u64::from(self.sample.load(Ordering::Relaxed));
                let number = self.allowed.fetch_add(1, Ordering::Relaxed);
                number.is_multiple_of(sample)
            }
            Event::ShadowDiffers(differs) => differs.sampled,
            Event::Refused(turned) => {
                let listener = &turned.client.listener.name;
                self.counts.refusals.takes(listener, &turned.refusal.code)
            }
            _ => true,
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            written: AtomicU64::default(),
            dropped: AtomicU64::default(),
            failed: AtomicU64::default(),
            refusals: Flood::new(REFUSALS),
            problems: Mutex::default(),
        }
    }
}

impl Counts {
    fn problems(&self) -> MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Log {
    fn take(&self, event: &Event) {
        if self.off.load(Ordering::Relaxed) || !self.takes(event) {
            return;
        }
        if self.queue.try_send(Message::Write(event.clone())).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The thread ends by itself when nobody can send any more.
        self.flush(Self::PATIENCE);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Refusals of one listener for one reason that are written in a second: a flood of connections is not to fill the disk.
/// Metrics count all of them.
const REFUSALS: u64 = 200;
/// The longest queue: what waits holds decisions, of up to some 100 KiB each.
const LONGEST_QUEUE: usize = 1 << 20;
/// Between two looks at a full queue.
const PAUSE: Duration = Duration::from_millis(1);
