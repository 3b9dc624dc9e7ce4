//! Events as they happen (server-sent events). A watcher that does not keep up is let go: nobody waits for one, and
//! nothing piles up for one.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{
    answer::{self, Answer, Problem},
    recent::Recent,
};

/// The stream for one watcher, after what it missed.
pub(super) fn answer(recent: &Arc<Recent>, last: Option<u64>) -> Result<Answer, Problem> {
    let reader = recent.watch(last).ok_or(TOO_MANY)?;
    let frames = futures_util::stream::unfold(reader, |mut reader| async move {
        let next = tokio::time::timeout(HEARTBEAT, reader.receiver.recv()).await;
        let bytes = next.unwrap_or(Some(Bytes::from_static(b":\n\n")))?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), reader))
    });
    let body = StreamBody::new(frames).boxed_unsync();
    Ok(answer::streamed(EVENTS, body))
}

/// Who watches.
#[derive(Default)]
pub(super) struct Readers {
    next: u64,
    senders: Vec<(u64, Sender<Bytes>)>,
    second: Option<Second>,
    ended: bool,
}

/// What of the plain events was shown in one second.
struct Second {
    began: Instant,
    shown: u32,
    skipped: u64,
}

impl Readers {
    pub(super) fn len(&self) -> usize {
        self.senders.len()
    }

    /// One more, which first sees what it missed. None when there are too many.
    pub(super) fn enter(&mut self, missed: &[(u64, Value)]) -> Option<(u64, Receiver<Bytes>)> {
        if self.ended || self.senders.len() >= STREAMS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let _ = sender.try_send(Bytes::from_static(b"retry: 2000\n\n"));
        for (number, row) in missed {
            let _ = sender.try_send(written(*number, row));
        }
        self.next += 1;
        self.senders.push((self.next, sender));
        Some((self.next, receiver))
    }

    /// Nobody watches any more: what each has in its queue still comes.
    pub(super) fn end(&mut self) {
        self.senders.clear();
        self.ended = true;
    }

    pub(super) fn leave(&mut self, id: u64) {
        self.senders.retain(|(other, _)| *other != id);
    }

    /// Whether anybody is to see an event. Of plain ones only so many a second are shown.
    pub(super) fn want(&mut self, plain: bool) -> bool {
        if self.senders.is_empty() {
            return false;
        }
        if let Some(second) = &self.second
            && second.began.elapsed() >= Duration::from_secs(1)
        {
            let skipped = second.skipped;
            self.second = None;
            if skipped > 0 {
                self.all(&Bytes::from(format!(
                    "event: skipped\ndata: {{\"event\":\"skipped\",\"count\":{skipped}}}\n\n"
                )));
            }
        }
        let second = self.second.get_or_insert_with(|| Second {
            began: Instant::now(),
            shown: 0,
            skipped: 0,
        });
        let most = if plain { PLAIN } else { OTHER };
        if second.shown >= most {
            second.skipped += 1;
            return false;
        }
        second.shown += 1;
        true
    }

    /// Hands a row to everybody; who has no room for it is let go.
    pub(super) fn send(&mut self, number: u64, row: &Value) {
        self.all(&written(number, row));
    }

    fn all(&mut self, bytes: &Bytes) {
        self.senders
            .retain(|(_, sender)| sender.try_send(bytes.clone()).is_ok());
    }
}

/// One watcher; dropped, it is forgotten.
pub(super) struct Reader {
    recent: Arc<Recent>,
    id: u64,
    receiver: Receiver<Bytes>,
}

impl Reader {
    pub(super) fn new(recent: Arc<Recent>, id: u64, receiver: Receiver<Bytes>) -> Self {
        Self {
            recent,
            id,
            receiver,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.recent.leave(self.id);
    }
}

/// JSON holds no line feed, so a row is one line.
fn written(number: u64, row: &Value) -> Bytes {
    let event = row["event"].as_str().unwrap_or("message");
    format!("id: {number}\nevent: {event}\ndata: {row}\n\n").into()
}

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
/// Watchers at a time.
pub(super) const STREAMS: usize = 16;
/// Events that wait for one watcher; it must hold what a new one is shown of the past.
pub(super) const QUEUE: usize = 512;
/// How often a watcher hears that the gateway is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Plain events a second that are shown.
const PLAIN: u32 = 50;
/// All events a second that are shown.
const OTHER: u32 = 200;

const TOO_MANY: Problem = Problem::new(
    503,
    "too-many-streams",
    "close another stream of `/decisions` first: there are at most 16",
);
