//! New settings again and again, while requests are made.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time;

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
        let status = pinfold::status(admin).await?;
        Ok(Self {
            swapped: pinfold::count(&status, "/policy/swapped")?,
            kept: pinfold::count(&status, "/policy/kept")?,
        })
    }
}
