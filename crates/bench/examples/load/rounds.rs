//! What every comparison has in common: rounds in which each contender has its turn, and the report.

use std::{fs, io, path::Path, process::Command, time::Instant};

use serde_json::{Value, json};

use crate::{
    contender::{Contender, Running, named},
    pinfold,
    plan::Plan,
    quiet,
};

/// What was measured, in the order in which it was.
pub(crate) struct Report {
    begun: Instant,
    load_before: String,
    measured: Vec<Value>,
}

impl Report {
    pub(crate) fn begin() -> io::Result<Self> {
        Ok(Self {
            begun: Instant::now(),
            load_before: load_average()?,
            measured: Vec::new(),
        })
    }

    pub(crate) fn add(&mut self, contender: Contender, scenario: &str, mut figures: Value) {
        figures["contender"] = json!(contender.name());
        figures["log"] = json!(contender.log);
        figures["scenario"] = json!(scenario);
        eprintln!("  {figures}");
        self.measured.push(figures);
    }

    /// Prints it as JSON, with what holds for the whole run.
    pub(crate) fn print(self, mut whole: Value) -> io::Result<()> {
        whole["measured"] = Value::Array(self.measured);
        whole["load_average"] = json!({ "before": self.load_before, "after": load_average()? });
        whole["took_s"] = json!(self.begun.elapsed().as_secs());
        println!("{whole}");
        Ok(())
    }
}

/// One round: each has its turn, on a machine that is as quiet as it becomes.
pub(crate) async fn round(
    number: usize,
    contenders: &[Contender],
    plan: &Plan,
    report: &mut Report,
    mut turn: impl AsyncFnMut(Contender, &mut Report) -> io::Result<()>,
) -> io::Result<()> {
    for place in 0..contenders.len() {
        // Nobody always comes after the same one.
        let contender = contenders[(place + 2 * number) % contenders.len()];
        begin_turn(number, contender, &contender.title(), plan, report).await?;
        let taken = turn(contender, report).await;
        taken.map_err(|error| named(contender.name(), &error))?;
    }
    Ok(())
}

/// Says whose turn it is, waits for a quiet machine, and notes how quiet it was.
pub(crate) async fn begin_turn(
    round: usize,
    contender: Contender,
    title: &str,
    plan: &Plan,
    report: &mut Report,
) -> io::Result<()> {
    eprintln!("round {} of {}: {title}", round + 1, plan.rounds);
    let busy = quiet::wait(plan.patience).await?;
    report.add(contender, "others", json!({ "busy": busy }));
    Ok(())
}

/// Records that the gateway did not write: it drops them rather than let a client wait.
pub(crate) async fn lost(
    contender: Contender,
    running: &Running,
    report: &mut Report,
) -> io::Result<()> {
    if let Some(admin) = running.admin {
        let dropped = pinfold::count(&pinfold::status(admin).await?, "/dropped/log")?;
        report.add(contender, "log", json!({ "dropped": dropped }));
    }
    Ok(())
}

/// What a program calls itself.
pub(crate) fn version(program: &Path, word: &str) -> Option<String> {
    let said = Command::new(program).arg(word).output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let first = said.lines().find(|line| !line.is_empty());
    first.map(str::to_owned)
}

/// Of one, five and fifteen minutes, as the kernel says it.
fn load_average() -> io::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(", "))
}

impl Contender {
    fn title(self) -> String {
        let log = if self.log { ", with a log" } else { "" };
        format!("{}{log}", self.name())
    }
}
