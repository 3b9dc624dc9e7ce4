//! What it costs an Envoy to ask: the same requests through one that asks nobody, through one that is told the address
//! by its configuration, by a service that reads nothing, and by Pinfold.

mod start;
pub(crate) mod yes;

use std::{io, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    closed::{self, Bounds, Requests},
    contender::{Contender, ENVOYS, Ground, Running},
    plan::Plan,
    process::Process,
    rounds::{Report, lost, round, version},
};
pub(crate) use start::{Asked, start};

/// Runs, and prints the report as JSON.
pub(crate) async fn run(pinfold: &Path, envoy: &Path, plan: &Plan) -> io::Result<()> {
    let mut report = Report::begin()?;
    let (ground, _origin) = Ground::new(pinfold)?;
    let ground = Ground {
        envoy: envoy.to_owned(),
        ..ground
    };
    for number in 0..plan.rounds {
        round(
            number,
            &ENVOYS,
            plan,
            &mut report,
            async |contender, report| turn_of(contender, &ground, plan, report).await,
        )
        .await?;
    }
    report.print(json!({
        "versions": { "pinfold": version(pinfold, "--version"), "envoy": version(envoy, "--version") },
        "rounds": plan.rounds,
        "clients": CLIENTS,
        "seconds": { "closed": plan.closed.as_secs_f64() },
    }))
}

async fn turn_of(
    contender: Contender,
    ground: &Ground,
    plan: &Plan,
    report: &mut Report,
) -> io::Result<()> {
    let running = contender.start(ground).await?;
    for clients in CLIENTS {
        let bounds = |time| Bounds {
            clients,
            ..plan.requests(time)
        };
        let requests = || Requests::new(running.way);
        closed::run(bounds(plan.warm), requests).await?;
        let before = Worked::read(&running)?;
        let outcome = closed::run(bounds(plan.closed), requests).await?;
        let worked = Worked::read(&running)?.since(&before);
        let mut figures = outcome.json();
        worked.each(outcome.done(), &mut figures);
        report.add(contender, &format!("requests-{clients}"), figures);
    }
    report.add(contender, "resident", resident(&running)?);
    match contender.log {
        true => lost(contender, &running, report).await,
        false => Ok(()),
    }
}

/// The time that processors have worked, for Envoy and for what stands behind it.
struct Worked {
    envoy: Duration,
    behind: Duration,
}

impl Worked {
    fn read(running: &Running) -> io::Result<Self> {
        let behind = running.behind.as_ref().map(Process::worked);
        Ok(Self {
            envoy: running.process.worked()?,
            behind: behind.transpose()?.unwrap_or_default(),
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            envoy: self.envoy.saturating_sub(before.envoy),
            behind: self.behind.saturating_sub(before.behind),
        }
    }

    /// Of one request.
    fn each(&self, requests: u64, to: &mut Value) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / requests.max(1) as f64;
        to["envoy_us"] = json!(each(self.envoy));
        to["behind_us"] = json!(each(self.behind));
    }
}

/// What is held in memory after the load.
fn resident(running: &Running) -> io::Result<Value> {
    let behind = running.behind.as_ref();
    let behind = behind.map(Process::resident_kib);
    Ok(json!({
        "envoy_kib": running.process.resident_kib()?,
        "behind_kib": behind.transpose()?.unwrap_or(0),
    }))
}

/// One after the other, for what a decision adds; and many at a time, for what a core bears.
const CLIENTS: [usize; 2] = [1, 32];
