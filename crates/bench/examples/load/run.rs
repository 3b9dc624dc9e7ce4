//! The whole comparison: rounds in which every contender has its turn, alone.

use std::{
    fs, io,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    closed::{self, Bounds, Requests, Setups},
    contender::{ALL, Contender, Ground, Running, SWAPPED, named},
    idle, pinfold,
    plan::Plan,
    process::{Folder, Process},
    quiet,
    service::Services,
    swaps,
    throughput::{self, Direction},
};

/// Runs, and prints the report as JSON.
pub(crate) async fn run(program: &Path, plan: &Plan) -> io::Result<()> {
    let (begun, load_before) = (Instant::now(), load_average()?);
    let folder = Folder::new()?;
    let (_origin, line) = Process::role(&["origin"], &folder)?;
    let ground = Ground {
        pinfold: program.to_owned(),
        origin: Services::parse(&line.split_whitespace().collect::<Vec<_>>())?,
        folder,
    };
    let mut report = Report(Vec::new());
    for round in 0..plan.rounds {
        for turn in 0..ALL.len() {
            // Nobody always comes after the same one.
            let contender = ALL[(turn + 2 * round) % ALL.len()];
            eprintln!(
                "round {} of {}: {}",
                round + 1,
                plan.rounds,
                contender.title()
            );
            let busy = quiet::wait(plan.patience).await?;
            report.add(contender, "others", json!({ "busy": busy }));
            let taken = turn_of(contender, &ground, plan, &mut report).await;
            taken.map_err(|error| named(contender.name(), &error))?;
        }
        eprintln!("round {} of {}: swaps", round + 1, plan.rounds);
        let busy = quiet::wait(plan.patience).await?;
        report.add(SWAPPED, "others", json!({ "busy": busy }));
        swap(&ground, plan, &mut report).await?;
    }
    let whole = json!({
        "measured": report.0,
        "versions": versions(program),
        "rounds": plan.rounds,
        "clients": plan.clients,
        "idle": plan.idle,
        "seconds": { "closed": plan.closed.as_secs_f64(), "swapped": plan.swapped.as_secs_f64(), "stream": plan.stream.as_secs_f64() },
        "load_average": { "before": load_before, "after": load_average()? },
        "took_s": begun.elapsed().as_secs(),
    });
    println!("{whole}");
    Ok(())
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

/// Records that the gateway did not write: it drops them rather than let a client wait.
async fn lost(contender: Contender, running: &Running, report: &mut Report) -> io::Result<()> {
    if let Some(admin) = running.admin {
        let dropped = pinfold::count(&pinfold::status(admin).await?, "/dropped/log")?;
        report.add(contender, "log", json!({ "dropped": dropped }));
    }
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

impl Plan {
    fn requests(&self, time: Duration) -> Bounds {
        let (clients, most) = (self.clients, self.most_requests);
        Bounds {
            clients,
            time,
            most,
        }
    }

    fn setups(&self, time: Duration) -> Bounds {
        let (clients, most) = (self.clients, self.most_setups);
        Bounds {
            clients,
            time,
            most,
        }
    }
}

/// What was measured, in the order in which it was.
struct Report(Vec<Value>);

impl Report {
    fn add(&mut self, contender: Contender, scenario: &str, mut figures: Value) {
        figures["contender"] = json!(contender.name());
        figures["log"] = json!(contender.log);
        figures["scenario"] = json!(scenario);
        eprintln!("  {figures}");
        self.0.push(figures);
    }
}

impl Contender {
    fn title(self) -> String {
        let log = if self.log { ", with a log" } else { "" };
        format!("{}{log}", self.name())
    }
}

/// What the programs call themselves.
fn versions(pinfold: &Path) -> Value {
    let first_line = |program: &Path, word: &str| {
        let said = Command::new(program).arg(word).output().ok();
        let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        said.and_then(|said| said.lines().next().map(str::to_owned))
    };
    json!({
        "pinfold": first_line(pinfold, "--version"),
        "tinyproxy": first_line(Path::new("tinyproxy"), "-v"),
        "squid": first_line(Path::new("squid"), "-v"),
    })
}

/// Of one, five and fifteen minutes, as the kernel says it.
fn load_average() -> io::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(", "))
}

const STREAMS: [usize; 2] = [1, 8];
