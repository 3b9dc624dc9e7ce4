//! Writes decisions as JSON lines, on a thread of its own.

use std::{
    fmt,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Redaction, entry, redact::Redacted};
use crate::{Decision, Observer};

/// An [`Observer`] that writes each decision as a line of JSON.
///
/// It never blocks whoever decides: decisions wait in a bounded queue for the thread that writes, and are
/// dropped and counted when the queue is full. An error of the writer loses that record, is counted, and stops
/// nothing. Dropping the log writes what waits, for at most [`Log::PATIENCE`].
///
/// A record may hold secrets in paths and queries, and internal addresses: write it where only operators
/// read, and see [`LogBuilder::redact`].
///
/// ```
/// use std::{fs, sync::Arc};
///
/// use pinfold::{Guard, Request, addr::Target, record::{Inputs, Log, Redaction}, resolve::Fixed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("pinfold-log-{}", std::process::id()));
/// # fs::create_dir_all(&dir)?;
/// let file = dir.join("decisions.jsonl");
/// let log = Arc::new(Log::builder().redact(Redaction::ALL).write_to(fs::File::create(&file)?)?);
/// let guard = Guard::builder()
///     .resolver(Fixed::default().rule("example.com=93.184.216.34")?)
///     .record_inputs(Inputs::Keep)
///     .observer(Arc::clone(&log))
///     .build()?;
/// guard.check(Request::new(Target::parse("https://example.com/login?token=secret")?)).await;
///
/// assert!(log.flush(Log::PATIENCE));
/// assert_eq!((log.written(), log.dropped(), log.failed()), (1, 0, 0));
/// let text = fs::read_to_string(&file)?;
/// assert!(text.contains("\"redacted\"") && !text.contains("secret"));
/// # drop((guard, log));
/// # fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
pub struct Log {
    /// None while the log is dropped.
    queue: Option<SyncSender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    done: Mutex<Receiver<()>>,
    counts: Arc<Counts>,
}

/// How a log is made; [`Log::builder`] begins one.
#[derive(Clone, Debug)]
pub struct LogBuilder {
    redaction: Redaction,
    queue: usize,
}

enum Message {
    Write(Arc<Decision>),
    /// Hands over what was written, and says so.
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Log {
    /// How long dropping the log waits for a writer that does not come to an end.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// A log of everything: nothing is withheld, and 1,024 decisions may wait.
    ///
    /// # Errors
    ///
    /// When the system has no thread for it.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<Self> {
        Self::builder().write_to(writer)
    }

    /// Starts a builder.
    pub fn builder() -> LogBuilder {
        LogBuilder {
            redaction: Redaction::NONE,
            queue: QUEUE,
        }
    }

    /// Waits until everything that was observed before is written and the writer is flushed, at most this
    /// long. False when it took longer.
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        let Some(queue) = &self.queue else {
            return false;
        };
        // The queue empties while the writer lives; a writer that is stuck is not waited for.
        let mut message = Message::Flush(done);
        let mut left = patience;
        while let Err(TrySendError::Full(back)) = queue.try_send(message) {
            if left.is_zero() {
                return false;
            }
            message = back;
            thread::sleep(PAUSE.min(left));
            left = left.saturating_sub(PAUSE);
        }
        wait.recv_timeout(left.max(PAUSE)).is_ok()
    }

    /// Records that are written.
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Decisions that were dropped, because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Records that the writer did not take, and those that are too long to be read again.
    pub fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }
}

impl Observer for Log {
    fn observe(&self, decision: &Arc<Decision>) {
        let message = Message::Write(Arc::clone(decision));
        let sent = self.queue.as_ref().map(|queue| queue.try_send(message));
        if !matches!(sent, Some(Ok(()))) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Without a sender the writer ends when the queue is empty, and its end of `done` with it.
        self.queue = None;
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ended = done.recv_timeout(Self::PATIENCE);
        let writer = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let (Err(std::sync::mpsc::RecvTimeoutError::Disconnected), Some(writer)) =
            (ended, writer.take())
        {
            // A writer of the embedder that panicked has lost its records; nobody is left to tell.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl LogBuilder {
    /// What is withheld from the records. Default: nothing.
    ///
    /// The policies that decided are asked again about what is left, on the thread that writes: with
    /// redaction a record takes the time of a decision, and the place of one instance.
    #[must_use]
    pub fn redact(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// How many decisions may wait for the writer, at least one. Default: 1,024.
    #[must_use]
    pub fn queue(mut self, decisions: usize) -> Self {
        self.queue = decisions.max(1);
        self
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    ///
    /// When the system has no thread for it.
    pub fn write_to(self, writer: impl Write + Send + 'static) -> io::Result<Log> {
        let (queue, inbox) = sync_channel(self.queue);
        let (alive, done) = sync_channel::<()>(0);
        let counts = Arc::new(Counts::default());
        let scribe = Scribe {
            writer,
            redaction: self.redaction,
            counts: Arc::clone(&counts),
            torn: false,
        };
        let run = move || {
            let _alive = alive;
            scribe.run(&inbox);
        };
        let thread = thread::Builder::new()
            .name("pinfold-log".into())
            .spawn(run)?;
        Ok(Log {
            queue: Some(queue),
            writer: Mutex::new(Some(thread)),
            done: Mutex::new(done),
            counts,
        })
    }
}

/// Who writes.
struct Scribe<W> {
    writer: W,
    redaction: Redaction,
    counts: Arc<Counts>,
    /// The last line may have been written in part: the next one must not be its end.
    torn: bool,
}

impl<W: Write> Scribe<W> {
    /// Writes until nobody can send any more. What waits is written together, then handed over.
    fn run(mut self, inbox: &Receiver<Message>) {
        while let Ok(message) = inbox.recv() {
            self.take(message);
            while let Ok(message) = inbox.try_recv() {
                self.take(message);
            }
            self.flush();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Write(decision) => self.write(&decision),
            Message::Flush(done) => {
                self.flush();
                // Whoever waited may have given up.
                let _ = done.try_send(());
            }
        }
    }

    fn write(&mut self, decision: &Decision) {
        let line = entry::line(Redacted::of(decision, self.redaction));
        let written = line.is_some_and(|line| self.line(&line).is_ok());
        let count = if written {
            &self.counts.written
        } else {
            &self.counts.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.writer.write_all(b"\n")?;
        }
        self.torn = true;
        self.writer.write_all(line)?;
        self.torn = false;
        Ok(())
    }

    /// A writer that keeps what it was given and cannot hand it over has lost an unknown number of records,
    /// at least one.
    fn flush(&mut self) {
        if self.writer.flush().is_err() {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Decisions that may wait, unless the builder says otherwise.
const QUEUE: usize = 1_024;
/// Between two looks at a full queue.
const PAUSE: Duration = Duration::from_millis(1);
