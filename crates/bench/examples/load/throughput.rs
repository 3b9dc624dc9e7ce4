//! Bytes a second through tunnels, in one direction.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

use crate::{origin::CHUNK, service::Service, way::Way};

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// From the client to the origin.
    Up,
    /// From the origin to the client.
    Down,
}

impl Direction {
    /// As the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Measures while all streams are busy: what is counted begins after `warm`, when every buffer on the way is
/// full, so that what a client writes is what the origin reads.
pub(crate) async fn run(
    way: Way,
    direction: Direction,
    streams: usize,
    warm: Duration,
    time: Duration,
) -> io::Result<Value> {
    let moved = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let moved = moved.clone();
        match direction {
            Direction::Up => tasks.spawn(up(way.tunnel(Service::Sink).await?, moved)),
            Direction::Down => tasks.spawn(down(way.tunnel(Service::Source).await?, moved)),
        };
    }
    time::sleep(warm).await;
    let (begun, before) = (Instant::now(), moved.load(Ordering::Relaxed));
    time::sleep(time).await;
    let (took, after) = (begun.elapsed(), moved.load(Ordering::Relaxed));
    if let Some(ended) = tasks.try_join_next() {
        ended??;
        return Err(io::Error::other("a stream ended before its time"));
    }
    Ok(json!({ "bytes_per_second": (after - before) as f64 / took.as_secs_f64() }))
}

async fn up(mut stream: TcpStream, moved: Arc<AtomicU64>) -> io::Result<()> {
    let chunk = vec![b'x'; CHUNK];
    loop {
        let written = stream.write(&chunk).await?;
        moved.fetch_add(written as u64, Ordering::Relaxed);
    }
}

async fn down(mut stream: TcpStream, moved: Arc<AtomicU64>) -> io::Result<()> {
    stream.write_u8(b'x').await?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => moved.fetch_add(read as u64, Ordering::Relaxed),
        };
    }
}
