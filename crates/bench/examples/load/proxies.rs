//! The comparison with other proxies: requests, tunnels, memory, and swaps of the policy.

use std::{io, path::Path};

use serde_json::{Value, json};

use crate::{
    closed::{self, Requests, Setups},
    contender::{Contender, Ground, PROXIES, Running, SWAPPED},
    idle,
    plan::Plan,
    rounds::{Report, begin_turn, lost, round, version},
    swaps,
    throughput::{self, Direction},
};

/// Runs, and prints the report as JSON.
pub(crate) async fn run(program: &Path, plan: &Plan) -> io::Result<()> {
    let mut report = Report::begin()?;
    let (ground, _origin) = Ground::new(program)?;
    for number in 0..plan.rounds {
        round(
            number,
            &PROXIES,
            plan,
            &mut report,
            async |contender, report| turn_of(contender, &ground, plan, report).await,
        )
        .await?;
        begin_turn(number, SWAPPED, "swaps", plan, &mut report).await?;
        swap(&ground, plan, &mut report).await?;
    }
    report.print(json!({
        "versions": versions(program),
        "rounds": plan.rounds,
        "clients": plan.clients,
        "idle": plan.idle,
        "seconds": { "closed": plan.closed.as_secs_f64(), "swapped": plan.swapped.as_secs_f64(), "stream": plan.stream.as_secs_f64() },
    }))
}

async fn turn_of(
    contender: Contender,
    ground: &Ground,
    plan: &Plan,
    report: &mut Report,
) -> io::Result<()> {
    let running = contender.start(ground).await?;
    requests_and_setups(contender, &running, plan, report).await?;
    if contender.log {
        return lost(contender, &running, report).await;
    }
    streams(contender, &running, plan, report).await?;
    drop(running);
    // Of a process that has done nothing yet.
    let running = contender.start(ground).await?;
    report.add(contender, "idle", idle::run(&running, plan).await?);
    Ok(())
}

async fn requests_and_setups(
    contender: Contender,
    running: &Running,
    plan: &Plan,
    report: &mut Report,
) -> io::Result<()> {
    let requests = || Requests::new(running.way);
    closed::run(plan.requests(plan.warm), requests).await?;
    let outcome = closed::run(plan.requests(plan.closed), requests).await?;
    report.add(contender, "requests", outcome.json());
    let setups = || Setups(running.way);
    closed::run(plan.setups(plan.warm), setups).await?;
    let outcome = closed::run(plan.setups(plan.closed), setups).await?;
    report.add(contender, "setups", outcome.json());
    Ok(())
}

async fn streams(
    contender: Contender,
    running: &Running,
    plan: &Plan,
    report: &mut Report,
) -> io::Result<()> {
    for direction in [Direction::Up, Direction::Down] {
        for streams in STREAMS {
            let figures =
                throughput::run(running.way, direction, streams, plan.warm, plan.stream).await?;
            report.add(
                contender,
                &format!("{}-{streams}", direction.name()),
                figures,
            );
        }
    }
    Ok(())
}

async fn swap(ground: &Ground, plan: &Plan, report: &mut Report) -> io::Result<()> {
    let running = SWAPPED.start(ground).await?;
    let requests = || Requests::new(running.way);
    closed::run(plan.requests(plan.warm), requests).await?;
    let bounds = plan.requests(plan.swapped);
    let (undisturbed, swapped) =
        swaps::run(ground, &running, bounds, plan.between_swaps, requests).await?;
    report.add(SWAPPED, "requests-undisturbed", undisturbed);
    report.add(SWAPPED, "requests-swapped", swapped);
    let setups = || Setups(running.way);
    closed::run(plan.setups(plan.warm), setups).await?;
    let bounds = plan.setups(plan.swapped);
    let (undisturbed, swapped) =
        swaps::run(ground, &running, bounds, plan.between_swaps, setups).await?;
    report.add(SWAPPED, "setups-undisturbed", undisturbed);
    report.add(SWAPPED, "setups-swapped", swapped);
    Ok(())
}

/// What the programs call themselves.
fn versions(pinfold: &Path) -> Value {
    json!({
        "pinfold": version(pinfold, "--version"),
        "tinyproxy": version(Path::new("tinyproxy"), "-v"),
        "squid": version(Path::new("squid"), "-v"),
    })
}

const STREAMS: [usize; 2] = [1, 8];
