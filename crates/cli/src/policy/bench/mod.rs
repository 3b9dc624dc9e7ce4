//! `pinfold policy bench`: what a policy costs.
//!
//! | file | what it does |
//! |---|---|
//! | `measure` | loads the policy, asks it, and makes the report |
//! | `clock` | times of decisions |
//! | `stats` | median and percentiles |
//! | `report` | all that was measured, as one document |
//! | `budget` | what the project file allows, `--budget` |
//! | `baseline` | what an earlier report says, `--baseline` |
//! | `show` | the report for people |
//! | `plot` | the times as a picture, `--plot` |
//! | `text` | figures in columns |

mod baseline;
mod budget;
mod clock;
mod measure;
mod plot;
pub(in crate::policy) mod progress;
mod report;
mod show;
mod stats;
pub(in crate::policy) mod text;

use std::{path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::Value;

use self::{
    baseline::Compared,
    budget::Held,
    clock::Effort,
    measure::{Faulted, Measured, Plan},
    report::Report,
};
use super::{
    project::Project,
    questions::Questions,
    subject::{Subject, Use},
};
use crate::{
    exit::Exit,
    fault::Fault,
    files, options,
    output::{BAD, Output, hint, note},
    text::Printable,
};

/// Measure a policy: time, instantiation, memory, fuel
///
/// Asks the policy about every vector, each time in an instance that was never used, as in service.
///
/// Fuel counts what the policy executes. It is the same on every machine and for every run, so that it can
/// be held to a bound (`--budget`) and compared with an earlier report (`--baseline`). Times depend on the
/// machine and on what else it does: they are information, never a reason to fail.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder of a project, a component, or `shipped`
    #[arg(value_name = "PATH|FILE.wasm", default_value = ".")]
    path: PathBuf,

    /// Vectors to ask it, a file or a folder of files. May be repeated. Default: those of the project
    #[arg(long, value_name = "FILE|DIR")]
    vectors: Vec<PathBuf>,

    /// Settings for vectors that state none. Default: those of the project, or `{}`
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Keep compiled policies in this directory, so that the next run is fast. Default: nowhere
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Measure a component that imports WASI, with every such import linked to something inert
    #[arg(long)]
    inert_wasi: bool,

    /// Decisions to time, with instances made on the spot and again with such made ahead of time; 0 times none
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    #[arg(value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=MAX_SAMPLES))]
    samples: usize,

    /// Seconds for all of them together; what is not timed by then is left
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    time: u64,

    /// Fail when fuel, memory or size exceed what `[budget]` of the project file states
    #[arg(long)]
    budget: bool,

    /// Compare fuel with this report of an earlier run
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write the report to this file, for `--baseline`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Draw the times of each stage to this file, as SVG
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pinfold policy bench                          The project in this folder
  pinfold policy bench --budget --samples 0     For CI: fuel, memory and size alone, against `[budget]`
  pinfold policy bench --save main.json         Then, after a change:
  pinfold policy bench --baseline main.json     What has become dearer?
  pinfold policy bench --vectors cases.toml policy.wasm
  pinfold policy bench --json | jq .fuel.dearest

The project file states what a decision may cost, each figure if you like:
  [budget]
  fuel = 30000        # of both stages, with the dearest vector
  memory_kib = 128    # linear memory after the dearest vector
  size_kib = 200      # of the component

Exit codes: 0 measured, and within the budget; 1 a budget is exceeded, or the policy does not answer; 2 error, such as `--budget` without one.";

/// The most decisions that are timed.
const MAX_SAMPLES: u64 = 1_000_000;
/// The longest time for it.
const MAX_SECONDS: u64 = 3_600;

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let subject = Subject::of(&args.path)?;
    args.check(&subject)?;
    subject.check_built(match args.budget {
        true => Use::Gate,
        false => Use::Look,
    })?;
    let earlier = args.baseline.as_deref().map(Report::read).transpose()?;
    let plan = Plan {
        subject: &subject,
        questions: &args.questions(&subject)?,
        settings: args.settings(&subject)?,
        cache: args.cache.as_deref(),
        inert_wasi: args.inert_wasi,
        effort: args.effort(),
    };
    let measured = match plan.measure() {
        Ok(measured) => measured,
        Err(error) => return faulted(error),
    };
    let report = &measured.report;
    let compared = earlier.map(|earlier| baseline::compare(&earlier, report));
    args.write(&measured)?;
    let held = args.held(&subject, report);
    let known = held.as_ref().ok().and_then(|held| held.as_deref());
    show(args, report, known, compared.as_ref(), out)?;
    Ok(match held?.iter().flatten().all(|held| held.kept) {
        true => Exit::Ok,
        false => Exit::Refused,
    })
}

/// A policy that does not answer has no cost that could be held to anything.
fn faulted(error: anyhow::Error) -> anyhow::Result<Exit> {
    let faulted: Faulted = error.downcast()?;
    note(format_args!(
        "{BAD}refused{BAD:#}: {}",
        Printable(&faulted.to_string())
    ));
    hint("a guard denies such a request: mend the policy, then measure again");
    Ok(Exit::Refused)
}

impl Args {
    /// Refuses what would be found out only after minutes of measuring.
    fn check(&self, subject: &Subject) -> Result<(), Fault> {
        if self.budget && subject.project.is_none() {
            let message = format!("{} has no budget", subject.in_a_sentence());
            let hint = format!(
                "name the folder of its project: `{}` states it",
                Project::FILE
            );
            return Err(Fault::new(message, hint));
        }
        if self.plot.is_some() && self.samples == 0 {
            return Err(Fault::new(
                "`--plot` draws times, and `--samples 0` measures none",
                "leave one of both out",
            ));
        }
        Ok(())
    }

    fn questions(&self, subject: &Subject) -> anyhow::Result<Questions> {
        let files = match self.vectors.is_empty() {
            true => &subject.vector_files()?,
            false => &self.vectors,
        };
        let questions = Questions::read(files)?;
        if questions.is_empty() {
            return Err(Fault::new(
                "there is no vector to measure with",
                "name files or folders with `--vectors`, or `vectors` in the project file",
            )
            .into());
        }
        Ok(questions)
    }

    fn settings(&self, subject: &Subject) -> anyhow::Result<Value> {
        let settings = match &self.settings {
            Some(file) => Some(options::read_settings(file)?),
            None => subject.settings()?,
        };
        Ok(settings.unwrap_or_else(|| serde_json::json!({})))
    }

    fn effort(&self) -> Effort {
        Effort {
            samples: self.samples,
            time: Duration::from_secs(self.time),
        }
    }

    fn write(&self, measured: &Measured) -> anyhow::Result<()> {
        if let Some(file) = &self.save {
            let text = serde_json::to_string_pretty(&measured.report)?;
            files::replace(file, format!("{text}\n").as_bytes())?;
        }
        if let Some(file) = &self.plot {
            files::replace(file, measured.picture().as_bytes())?;
        }
        Ok(())
    }

    fn held(&self, subject: &Subject, report: &Report) -> Result<Option<Vec<Held>>, Fault> {
        let project = subject.project.as_ref().filter(|_| self.budget);
        project
            .map(|project| budget::hold(project.budget, report))
            .transpose()
    }
}

fn show(
    args: &Args,
    report: &Report,
    budget: Option<&[Held]>,
    baseline: Option<&Compared>,
    out: &mut Output,
) -> anyhow::Result<()> {
    if !args.json {
        return show::all(report, budget, baseline, out);
    }
    out.json_pretty(&Document {
        report,
        budget,
        baseline,
    })
}

/// The report, and what it was compared with.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<&'a [Held]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<&'a Compared>,
}
