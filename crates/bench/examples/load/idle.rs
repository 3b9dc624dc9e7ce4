//! Memory of tunnels in which nothing moves.

use std::{io, time::Duration};

use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet, time};

use crate::{closed::echoed, contender::Running, plan::Plan, service::Service, way::Way};

/// Opens them, each proven with one byte, and reads what the contender holds more than before. A few were
/// opened and closed first, so that what is set up once is in both.
pub(crate) async fn run(running: &Running, plan: &Plan) -> io::Result<Value> {
    drop(open(running.way, OPENERS, OPENERS).await?);
    time::sleep(plan.settle).await;
    let before = running.process.resident_kib()?;
    let tunnels = open(running.way, plan.idle, OPENERS).await?;
    time::sleep(plan.settle).await;
    let after = running.process.resident_kib()?;
    let held = after.saturating_sub(before) << 10;
    Ok(json!({
        "tunnels": tunnels.len(),
        "none_kib": before,
        "all_kib": after,
        "each_bytes": held as f64 / tunnels.len() as f64,
    }))
}

/// Opens `count` tunnels, so many at a time.
async fn open(way: Way, count: usize, openers: usize) -> io::Result<Vec<TcpStream>> {
    let mut tasks = JoinSet::new();
    for opener in 0..openers {
        let share = count / openers + usize::from(opener < count % openers);
        tasks.spawn(async move {
            let mut opened = Vec::with_capacity(share);
            for _ in 0..share {
                opened.push(one(way).await?);
            }
            io::Result::Ok(opened)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(opened) = tasks.join_next().await {
        all.extend(opened??);
    }
    Ok(all)
}

async fn one(way: Way) -> io::Result<TcpStream> {
    let opening = async {
        let mut stream = way.tunnel(Service::Echo).await?;
        echoed(&mut stream).await?;
        Ok(stream)
    };
    time::timeout(LONGEST, opening).await?
}

const OPENERS: usize = 32;
const LONGEST: Duration = Duration::from_secs(10);
