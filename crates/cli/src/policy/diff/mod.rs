//! `pinfold policy diff`: what a new version of a policy does differently.
//!
//! | file | what it does |
//! |---|---|
//! | `pair` | loads both policies under the same settings, and asks them |
//! | `pack` | a shipped pack as questions |
//! | `records` | recorded decisions as questions |
//! | `change` | two answers to one question: what is different, and which way |
//! | `tally` | all changes, counted and named |
//! | `surface` | imports, exports, size, settings |
//! | `schema` | what changed in the settings |
//! | `semver` | what the version says of it |
//! | `report` | all that is different, as one document |
//! | `show` | the same for people |

pub(crate) mod change;
mod pack;
mod pair;
mod records;
mod report;
mod schema;
mod semver;
pub(crate) mod show;
mod surface;
mod tally;

use std::path::{Path, PathBuf};

use pinfold::policy::{Inspection, inspect_with};

use self::{
    pair::{Loader, Stated},
    report::{Report, Side},
    surface::Surface,
    tally::Tally,
};
use super::{
    bench::progress::Progress,
    pack::Name,
    questions::{self, Questions},
    subject::{Subject, Use},
};
use crate::{exit::Exit, fault::Fault, options, output::Output};

/// Show what a new version of a policy decides differently
///
/// Asks both policies the same questions, from vectors or from recorded decisions, and shows each answer
/// that is not the same. What lets through more than before is a loosening: a denial that became an
/// allow, one address more, terms that bind less (`https_only` that is gone), a name that is looked up
/// although it was denied before that, settings that are taken although a vector says that they are
/// refused. The policies are asked alone, without the floor of a guard, and about every hop of a vector;
/// what a vector expects does not matter.
///
/// Also compares what both are: imports, exports, size, the schema of their settings, fuel and memory;
/// and says whether the version of the new policy says as much as has changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The policy that is there: folder of a project, a component, or `shipped`
    old: PathBuf,

    /// The policy that is to replace it
    new: PathBuf,

    /// Vectors to ask both, a file or a folder of files. May be repeated
    ///
    /// Default, when there are no `--decisions` either: those of the new project, or else of the old one.
    #[arg(long, value_name = "FILE|DIR")]
    vectors: Vec<PathBuf>,

    /// Ask both the cases of a shipped pack too: `ssrf` holds known bypasses and rebinding
    #[arg(long, value_name = "NAME")]
    pack: Option<Name>,

    /// The URL that the pack starts from, which the old policy must allow. Default: that of the first
    /// vector that it allows, otherwise https://example.com/
    #[arg(long, value_name = "URL", requires = "pack")]
    base: Option<String>,

    /// Recorded decisions to ask both again: JSON lines with `input`; `-` is standard input
    #[arg(long, value_name = "LOG")]
    decisions: Option<PathBuf>,

    /// Settings for both, where vectors state none. Default: those of the old project, or else of the
    /// new one, or `{}`
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    settings: Option<PathBuf>,

    /// Settings of the old policy, whatever vectors state
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    old_settings: Option<PathBuf>,

    /// Settings of the new policy, whatever vectors state
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    new_settings: Option<PathBuf>,

    /// Fail when there are more loosenings than this. Default: they are shown and fail nothing
    #[arg(long, value_name = "N")]
    max_loosening: Option<usize>,

    /// Changes of each kind that are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: usize,

    /// Keep compiled policies in this directory, so that the next run is fast. Default: nowhere
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Ask components that import WASI, with every such import linked to something inert
    #[arg(long)]
    inert_wasi: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pinfold policy diff old.wasm new.wasm --vectors tests
  pinfold policy diff ../main .                           Two checkouts of one project
  pinfold policy diff old.wasm . --decisions log.jsonl    What would have been decided differently?
  pinfold policy diff old.wasm . --max-loosening 0        For CI: nothing that was refused is let through
  pinfold policy diff old.wasm . --pack ssrf              Known bypasses too, from a URL that both may allow
  pinfold policy diff shipped . --old-settings egress.toml
  pinfold policy diff old.wasm new.wasm --json | jq .changes

Exit codes: 0 compared; 1 more loosenings than `--max-loosening`, or with it a record that could not be judged
whole (a path or query is withheld, or there is no input); 2 error: a policy that is refused (one that
imports anything is), settings that one of both refuses, nothing to ask although `--max-loosening` is given.";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let (old, new) = (Subject::of(&args.old)?, Subject::of(&args.new)?);
    for subject in [&old, &new] {
        subject.check_built(match args.max_loosening {
            Some(_) => Use::Gate,
            None => Use::Look,
        })?;
    }
    let stated = args.stated(&old, &new)?;
    let mut suites = questions::suites(&args.vectors(&old, &new)?)?;
    let (of_old, of_new) = (args.look(&old)?, args.look(&new)?);
    let mut report = Report::new(Surface::new(&of_old, &of_new), args.max_loosening);
    let loader = Loader {
        old: &old,
        new: &new,
        stated: &stated,
        cache: args.cache.as_deref(),
        inert_wasi: args.inert_wasi,
    };
    if let (Some(pack), None) = (args.pack, &of_old.fault) {
        let pack = pack::suite(pack, args.base.as_deref(), &suites, &loader)?;
        suites.push(pack);
    }
    let questions = Questions::of(&suites)?;
    let asked = match (&of_new.fault, &of_old.fault) {
        (Some(fault), _) => Err(loader.refused(Side::New, fault)),
        (None, Some(fault)) => Err(loader.refused(Side::Old, fault)),
        (None, None) => args.ask(&loader, &questions, &mut report),
    };
    report.conclude();
    args.write(&report, out)?;
    asked?;
    args.exit(&report)
}

impl Args {
    /// What a policy is. One that may import what it imports is not at fault for that.
    fn look(&self, subject: &Subject) -> anyhow::Result<Inspection> {
        let looked = inspect_with(&subject.source, &options::loading(self.cache.as_deref()));
        let mut looked = looked.map_err(|error| subject.name(error))?;
        if self.inert_wasi
            && looked.imports.len() == looked.inert_wasi.len()
            && !looked.imports.is_empty()
        {
            looked.fault = None;
        }
        Ok(looked)
    }

    fn vectors(&self, old: &Subject, new: &Subject) -> anyhow::Result<Vec<PathBuf>> {
        if !self.vectors.is_empty() || self.decisions.is_some() {
            return Ok(self.vectors.clone());
        }
        let of_new = new.vector_files()?;
        match of_new.is_empty() {
            true => old.vector_files(),
            false => Ok(of_new),
        }
    }

    fn stated(&self, old: &Subject, new: &Subject) -> anyhow::Result<Stated> {
        let read = |file: &Option<PathBuf>| {
            let read = |file: &PathBuf| options::read_settings(file);
            file.as_ref().map(read).transpose()
        };
        let default = match read(&self.settings)? {
            Some(settings) => Some(settings),
            None => match old.settings()? {
                Some(settings) => Some(settings),
                None => new.settings()?,
            },
        };
        Ok(Stated {
            old: read(&self.old_settings)?,
            new: read(&self.new_settings)?,
            default: default.unwrap_or_else(|| serde_json::json!({})),
        })
    }

    /// Asks both policies everything.
    fn ask(
        &self,
        loader: &Loader<'_>,
        questions: &Questions,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        loader.old_settings_with_new(report)?;
        let mut tally = Tally::default();
        report.skipped = questions.skipped;
        let bar = Progress::new("questions", questions.len());
        for set in &questions.sets {
            let from = set.files.join(", ");
            let Some(pair) = loader.pair(set.settings.as_ref(), &from, report)? else {
                continue;
            };
            for question in &set.questions {
                pair.ask(question, &mut tally)?;
                bar.set(tally.asked);
            }
        }
        for tried in &questions.tried {
            loader.settings(tried, &mut tally)?;
        }
        if let Some(log) = &self.decisions {
            self.ask_again(loader, log, &mut tally, report)?;
        }
        report.decisions = (tally.asked > 0).then_some(tally);
        Ok(())
    }

    fn ask_again(
        &self,
        loader: &Loader<'_>,
        log: &Path,
        tally: &mut Tally,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut records = records::Records::open(log)?;
        let Some(pair) = loader.pair(None, records.name(), report)? else {
            return Ok(());
        };
        while let Some(question) = records.next()? {
            pair.ask(&question, tally)?;
        }
        report.skipped += records.skipped();
        report.records = Some(records.counts().clone());
        Ok(())
    }

    fn write(&self, report: &Report, out: &mut Output) -> anyhow::Result<()> {
        match self.json {
            true => out.json_pretty(report)?,
            false => show::all(report, self.show, out)?,
        }
        // What follows may be an error, which would otherwise stand first.
        Ok(out.flush()?)
    }

    fn exit(&self, report: &Report) -> anyhow::Result<Exit> {
        if report.not_compared > 0 {
            return Err(Fault::new(
                "a policy refuses settings, so that nothing was asked under them",
                "give the settings that each of both takes with `--old-settings` and `--new-settings`",
            )
            .into());
        }
        if report.decisions.is_none() && self.max_loosening.is_some() {
            return Err(nothing_asked(self.decisions.is_some()).into());
        }
        let missed = match (&report.records, self.max_loosening) {
            (Some(records), Some(_)) => records.not_whole(),
            _ => 0,
        };
        crate::replay::not_whole(missed);
        Ok(match report.exceeded || missed > 0 {
            true => Exit::Refused,
            false => Exit::Ok,
        })
    }
}

fn nothing_asked(has_log: bool) -> Fault {
    let hint = if has_log {
        "the log holds no record with what a policy was asked: record inputs"
    } else {
        "name vectors with `--vectors`, or recorded decisions with `--decisions`"
    };
    Fault::new(
        "nothing was asked, so that nothing can be said of loosening",
        hint,
    )
}
