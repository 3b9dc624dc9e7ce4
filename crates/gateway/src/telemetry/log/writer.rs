//! The thread that writes.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use super::{
    Counts,
    flood::Total,
    line::{self, Lost},
    mask::Mask,
    output::Output,
};
use crate::{config, event::Event, telemetry::Aliases};

/// What the thread is told.
pub(super) enum Message {
    Write(Event),
    /// Goes on by this configuration, and says how that went.
    Reload(Box<config::DecisionLog>, SyncSender<Result<(), String>>),
    /// Hands over what was written, and says so.
    Flush(SyncSender<()>),
}

/// Events that never came to the writer.
#[derive(Clone, Debug, Default)]
struct Missing {
    dropped: u64,
    flooded: Vec<Total>,
}

/// Who writes.
pub(super) struct Writer {
    output: Output,
    mask: Mask,
    counts: Arc<Counts>,
    /// Whole lines that are to be written together.
    buffer: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The last line was written in part: the next one must not be its end.
    torn: bool,
    /// What lines have told of.
    told: Missing,
    /// Of refusals beyond the bound a line tells once in [`FOLLOW`]: those until then.
    flooded: Vec<Total>,
    /// Events that could not be written since the last line that could.
    lost: u64,
    followed: Instant,
}

impl Writer {
    pub(super) fn open(
        config: &config::DecisionLog,
        aliases: Aliases,
        counts: Arc<Counts>,
    ) -> io::Result<Self> {
        let output = Output::open(&config.to)?;
        Ok(Self::to(output, Mask::new(config, aliases), counts))
    }

    pub(super) fn to(output: Output, mask: Mask, counts: Arc<Counts>) -> Self {
        Self {
            output,
            mask,
            counts,
            buffer: Vec::new(),
            ends: Vec::new(),
            torn: false,
            told: Missing::default(),
            flooded: Vec::new(),
            lost: 0,
            followed: Instant::now(),
        }
    }

    /// Writes until nobody can send any more. What waits is written together.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            match inbox.recv_timeout(FOLLOW) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while self.buffer.len() < BATCH
                && let Ok(message) = inbox.try_recv()
            {
                self.take(message);
            }
            self.follow();
            self.flush();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Write(event) => self.event(&event),
            Message::Reload(config, done) => {
                self.flush();
                // Whoever waited may have given up.
                let _ = done.try_send(self.reload(&config));
            }
            Message::Flush(done) => {
                self.flush();
                let _ = done.try_send(());
            }
        }
    }

    fn reload(&mut self, config: &config::DecisionLog) -> Result<(), String> {
        self.output = Output::open(&config.to).map_err(|error| explained(config, &error))?;
        self.mask.reload(config);
        self.torn = false;
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        match line::of(event, &self.mask) {
            Some(line) => self.push(&line),
            // Too long even without what was asked: nothing of ours is.
            None => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn push(&mut self, line: &str) {
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.ends.push(self.buffer.len());
    }

    /// Looks whether the file was moved away, at most once in [`FOLLOW`].
    fn follow(&mut self) {
        if self.followed.elapsed() < FOLLOW {
            return;
        }
        self.followed = Instant::now();
        self.flooded = self.counts.refusals.totals();
        let followed = self.output.follow();
        let problem = followed.err();
        let problem = problem.map(|error| format!("the log cannot be opened anew: {error}"));
        self.counts.problems().follow = problem;
    }

    /// Writes what is buffered, after what is missing before it.
    fn flush(&mut self) {
        let (missing, head) = self.head();
        if self.ends.is_empty() && head.is_empty() {
            return;
        }
        self.buffer.splice(..0, head.iter().copied());
        let (written, error) = self.write();
        let ends = self.ends.iter();
        let whole = ends.filter(|end| head.len() + **end <= written).count();
        if written >= head.len() {
            self.told = missing;
            self.lost = 0;
        }
        if let Some(last) = self.buffer.get(..written).and_then(<[u8]>::last) {
            self.torn = *last != b'\n';
        }
        self.count(whole, self.ends.len() - whole, error);
        self.buffer.clear();
        self.ends.clear();
    }

    /// What goes before the lines: the end of a line that was written in part, and how many events are missing since
    /// that was told last.
    fn head(&self) -> (Missing, Vec<u8>) {
        let missing = Missing {
            dropped: self.counts.dropped.load(Ordering::Relaxed),
            flooded: self.flooded.clone(),
        };
        let dropped = missing.dropped.saturating_sub(self.told.dropped);
        let flooded = since(&missing.flooded, &self.told.flooded);
        let lost = [
            Lost::new(dropped, "the queue of the log was full"),
            Lost {
                refused: &flooded,
                ..Lost::new(
                    flooded.iter().map(|total| total.lost).sum(),
                    "more refusals than are written in a second",
                )
            },
            Lost::new(self.lost, "the log could not be written"),
        ];
        let lost = lost.iter().filter(|lost| lost.events > 0);
        let lines = lost.map(|lost| line::lost(lost) + "\n");
        let mut head: String = lines.collect();
        if self.torn && !(head.is_empty() && self.ends.is_empty()) {
            head.insert(0, '\n');
        }
        (missing, head.into_bytes())
    }

    fn write(&mut self) -> (usize, Option<io::Error>) {
        let mut written = 0;
        while let Some(rest) = self.buffer.get(written..).filter(|rest| !rest.is_empty()) {
            match self.output.write(rest) {
                Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }

    fn count(&mut self, written: usize, failed: usize, error: Option<io::Error>) {
        let (written, failed) = (written as u64, failed as u64);
        self.counts.written.fetch_add(written, Ordering::Relaxed);
        self.counts.failed.fetch_add(failed, Ordering::Relaxed);
        self.lost += failed;
        let problem = error.map(|error| format!("the log cannot be written: {error}"));
        self.counts.problems().write = problem;
    }
}

/// What was added to each total, where something was. Both are in the same order.
fn since(now: &[Total], told: &[Total]) -> Vec<Total> {
    let told = told.iter().map(|total| total.lost);
    let told = told.chain(std::iter::repeat(0));
    let added = now.iter().zip(told).map(|(now, told)| Total {
        of: now.of.clone(),
        lost: now.lost.saturating_sub(told),
    });
    added.filter(|total| total.lost > 0).collect()
}

fn explained(config: &config::DecisionLog, error: &io::Error) -> String {
    format!("cannot open `{}`: {error}", config.to)
}

/// Bytes that are written together.
const BATCH: usize = 256 << 10;
/// How often it is looked whether the file was moved away.
const FOLLOW: Duration = Duration::from_secs(1);
