//! Requests, and tunnel set-ups: so many clients, each of which begins anew when it is answered.
//!
//! Such a load is as fast as what it measures: the times hold the waiting for a processor, and are to be
//! compared with one another only.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

use crate::{
    service::Service,
    way::{Way, read_head, status, unexpected},
};

/// What one client does again and again.
pub(crate) trait Client: Send + 'static {
    /// Once, to the end.
    fn once(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// The bounds of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) clients: usize,
    pub(crate) time: Duration,
    pub(crate) most: u64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    times: Histogram<u64>,
    failed: u64,
    /// Why, for the first that failed.
    first: Option<io::Error>,
    took: Duration,
}

/// Runs all clients to the end of the time.
pub(crate) async fn run<C: Client>(bounds: Bounds, client: impl Fn() -> C) -> io::Result<Outcome> {
    let begun = Instant::now();
    let left = Arc::new(AtomicU64::new(bounds.most));
    let mut clients = JoinSet::new();
    for _ in 0..bounds.clients {
        clients.spawn(repeat(client(), begun + bounds.time, left.clone()));
    }
    let mut all = Outcome::new()?;
    while let Some(one) = clients.join_next().await {
        all.add(one??)?;
    }
    all.took = begun.elapsed();
    Ok(all)
}

async fn repeat<C: Client>(
    mut client: C,
    until: Instant,
    left: Arc<AtomicU64>,
) -> io::Result<Outcome> {
    let mut outcome = Outcome::new()?;
    let one_less = |left: u64| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        .is_ok()
    {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        match time::timeout(LONGEST, client.once()).await {
            Ok(Ok(())) => outcome.times.saturating_record(micros(begun.elapsed())),
            Ok(Err(error)) => outcome.fail(error).await,
            Err(late) => outcome.fail(late.into()).await,
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn new() -> io::Result<Self> {
        Ok(Self {
            times: Histogram::new_with_max(micros(LONGEST), 3).map_err(io::Error::other)?,
            failed: 0,
            first: None,
            took: Duration::ZERO,
        })
    }

    /// A client that fails waits a little: otherwise failures would be all that is counted.
    async fn fail(&mut self, error: io::Error) {
        self.failed += 1;
        self.first.get_or_insert(error);
        time::sleep(Duration::from_millis(5)).await;
    }

    fn add(&mut self, other: Self) -> io::Result<()> {
        self.times.add(other.times).map_err(io::Error::other)?;
        self.failed += other.failed;
        self.first = self.first.take().or(other.first);
        Ok(())
    }

    /// How many were answered as they should be.
    pub(crate) fn done(&self) -> u64 {
        self.times.len()
    }

    /// For the report.
    pub(crate) fn json(&self) -> Value {
        json!({
            "per_second": self.times.len() as f64 / self.took.as_secs_f64(),
            "p50_us": self.times.value_at_quantile(0.5),
            "p99_us": self.times.value_at_quantile(0.99),
            "most_us": self.times.max(),
            "done": self.done(),
            "failed": self.failed,
            "first_failure": self.first.as_ref().map(ToString::to_string),
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Requests over a connection that is kept, or over a new one each where the contender keeps none. That one
/// ends unannounced is a failure.
pub(crate) struct Requests {
    way: Way,
    request: Vec<u8>,
    kept: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(way: Way) -> Self {
        Self {
            way,
            request: way.request(),
            kept: None,
            buffer: Vec::with_capacity(4 << 10),
        }
    }
}

impl Client for Requests {
    async fn once(&mut self) -> io::Result<()> {
        // Left out when anything fails: the next request begins with a new one.
        let mut stream = match self.kept.take() {
            Some(stream) => stream,
            None => self.way.dial(Service::Http).await?,
        };
        stream.write_all(&self.request).await?;
        self.buffer.clear();
        let head = read_head(&mut stream, &mut self.buffer).await?;
        let answer = Answer::parse(&self.buffer[..head])?;
        while self.buffer.len() < head + answer.length {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.kept = (answer.kept && self.way.keeps).then_some(stream);
        Ok(())
    }
}

/// What a client must know of an answer.
struct Answer {
    length: usize,
    kept: bool,
}

impl Answer {
    fn parse(head: &[u8]) -> io::Result<Self> {
        match status(head)? {
            200 => {}
            status => return Err(unexpected(status)),
        }
        let text = str::from_utf8(head).map_err(io::Error::other)?;
        let field = |wanted: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim())
        };
        let length = field("content-length").and_then(|length| length.parse().ok());
        let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Self {
            length: length.ok_or_else(|| io::Error::other("an answer without a length"))?,
            kept: !closes && text.starts_with("HTTP/1.1"),
        })
    }
}

/// Opens a tunnel, sends one byte, waits for it, and closes.
pub(crate) struct Setups(pub(crate) Way);

impl Client for Setups {
    async fn once(&mut self) -> io::Result<()> {
        let mut stream = self.0.tunnel(Service::Echo).await?;
        echoed(&mut stream).await
    }
}

/// One byte there and back: the tunnel is open to its other end.
pub(crate) async fn echoed(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_u8(b'x').await?;
    match stream.read_u8().await? {
        b'x' => Ok(()),
        _ => Err(io::Error::other("another byte came back")),
    }
}

/// What takes longer has failed.
const LONGEST: Duration = Duration::from_secs(10);
