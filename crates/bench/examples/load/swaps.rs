//! New settings again and again, while requests are made.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use crate::{
    closed::{self, Bounds, Client},
    contender::{Ground, Running},
    pinfold,
};

/// Measures twice: undisturbed, and with a new policy after each `between`. The second says how many
/// swaps the gateway counted meanwhile.
pub(crate) async fn run<C: Client>(
    ground: &Ground,
    running: &Running,
    bounds: Bounds,
    between: Duration,
    client: impl Fn() -> C,
) -> io::Result<(Value, Value)> {
    let admin = running.admin.ok_or(io::ErrorKind::NotFound)?;
    let undisturbed = closed::run(bounds, &client).await?.json();
    let before = Swaps::read(admin).await?;
    let swapped = tokio::select! {
        outcome = closed::run(bounds, &client) => outcome?,
        failed = keep_changing(ground, between) => return Err(failed),
    };
    // The last settings may be on their way.
    time::sleep(between).await;
    let after = Swaps::read(admin).await?;
    let mut swapped = swapped.json();
    swapped["swaps"] = json!(after.swapped - before.swapped);
    swapped["refused_swaps"] = json!(after.kept - before.kept);
    Ok((undisturbed, swapped))
}

/// Writes new settings until it is dropped, or fails.
async fn keep_changing(ground: &Ground, between: Duration) -> io::Error {
    let mut ticks = time::interval(between);
    loop {
        ticks.tick().await;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = pinfold::settings(ground, number) {
            return error;
        }
    }
}

/// No number is used twice in a run.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// What the gateway counted since its start.
struct Swaps {
    swapped: u64,
    kept: u64,
}

impl Swaps {
    async fn read(admin: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET /status HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        let status: Value = serde_json::from_str(body.unwrap_or_default())?;
        let count = |name: &str| {
            let count = status["policy"][name].as_u64();
            count.ok_or_else(|| io::Error::other(format!("the status has no `{name}`")))
        };
        Ok(Self {
            swapped: count("swapped")?,
            kept: count("kept")?,
        })
    }
}
