//! `pinfold replay`: judges recorded decisions again, and shows which differ.

mod again;
mod report;
mod shelf;
mod tally;
mod what_if;

use std::path::PathBuf;

use anyhow::Context;
use pinfold::record::{Difference, Entry};

pub(crate) use self::report::of_left;
use self::{again::Again, report::Report, shelf::Shelf, tally::Tally, what_if::WhatIf};
use crate::{
    batch::progress::Progress,
    exit::Exit,
    fault::Fault,
    options,
    output::{self, BAD, Output},
    text::count,
    vectors::{Line, Lines},
};

/// Judge recorded decisions again, and show which differ
///
/// A record that holds its input (`--record` of `pinfold check` and `pinfold fetch`, or a service that
/// records inputs) says what each policy was asked and what it answered. The same component with the same
/// settings answers the same, bit for bit; what differs is shown field by field. With `--with` or
/// `--with-settings` the question is another one: what would be decided differently? What lets through more than
/// before is a loosening, as `pinfold policy diff` has it: a denial that becomes an allow, one address more,
/// terms that bind less; of the whole chain, floor included.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("instead").args(["with", "with_settings"]).multiple(true))]
pub(crate) struct Args {
    /// Log of decisions, one JSON object a line; `-` is standard input
    log: PathBuf,

    /// Component that judged, found by its digest. May be repeated. The policy that is shipped inside
    /// this binary is always known
    #[arg(long, value_name = "FILE", help_heading = "As it was recorded")]
    policy: Vec<PathBuf>,

    /// Settings that were in force, found by their digest. May be repeated. Default settings (`{}`) are
    /// always known
    #[arg(long, value_name = "FILE", help_heading = "As it was recorded")]
    settings: Vec<PathBuf>,

    /// What if this component had judged, or that of this project's folder, under the settings that were
    /// recorded? `shipped` is the one inside this binary
    #[arg(long, value_name = "FILE", help_heading = "What if")]
    with: Option<PathBuf>,

    /// What if these settings had been in force, for the component that was recorded or that of `--with`?
    #[arg(long, value_name = "FILE", help_heading = "What if")]
    with_settings: Option<PathBuf>,

    /// Which policy of a chain is replaced. Default: the only one, or the layer `policy`
    #[arg(
        long,
        value_name = "NAME",
        requires = "instead",
        help_heading = "What if"
    )]
    layer: Option<String>,

    /// Fail when there are more loosenings than this, and only then. Default: any change fails
    #[arg(long, value_name = "N", requires = "instead", help_heading = "What if")]
    max_loosening: Option<u64>,

    /// Replay what was decided by components that import WASI, with every such import linked to something
    /// inert. Records tell of which that is so
    #[arg(long)]
    inert_wasi: bool,

    /// Keep compiled policies in this directory, so that the next start is fast. Default: nowhere
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Print one JSON object for each record that differs, and a last one with the numbers
    #[arg(long)]
    json: bool,
}

/// What the only policy of a guard is called.
const LAYER: &str = "policy";

const EXAMPLES: &str = "\
Examples:
  pinfold replay decisions.jsonl
  pinfold replay --policy partners.wasm --settings partners.toml decisions.jsonl
  pinfold replay --with partners-2.wasm --policy partners.wasm decisions.jsonl
  pinfold replay --with-settings looser.toml decisions.jsonl
  pinfold replay --with new.wasm --max-loosening 0 decisions.jsonl   For CI: nothing that was refused is let through
  tail -n 1000 decisions.jsonl | pinfold replay --json -

Exit codes:
  0  all records answered the same (what if: nothing more and nothing less is let through)
  1  some differ, or contradict themselves (what if: some change; with `--max-loosening`: more are
     loosened, or some cannot be judged whole)
  2  error: a line that is no record, a policy, settings or inert WASI that nobody gave, nothing to replay,
     usage";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    one_reads_stdin(args)?;
    let mut lines = Lines::open(&args.log)?;
    let mut replay = Replay {
        shelf: Shelf::new(&args.policy, &args.settings, loading(args))?,
        what_if: WhatIf::of(args)?,
        report: Report::new(args.json),
        tally: Tally::default(),
        max_loosening: args.max_loosening,
    };
    let progress = Progress::new(lines.size());
    while let Some(line) = lines
        .next()
        .with_context(|| format!("cannot read `{}`", args.log.display()))?
    {
        replay.line(&line, out)?;
        progress.advance(lines.position());
        if lines.would_wait() {
            out.flush()?;
        }
        if out.is_closed() {
            break;
        }
    }
    drop(progress);
    replay.end(out)
}

/// How policies are loaded.
fn loading(args: &Args) -> shelf::Loading {
    shelf::Loading {
        cache: args.cache.clone(),
        inert_wasi: args.inert_wasi,
    }
}

/// Standard input can be read once.
fn one_reads_stdin(args: &Args) -> anyhow::Result<()> {
    let files = args.settings.iter().chain(&args.with_settings);
    let readers = files
        .chain([&args.log])
        .filter(|file| options::is_stdin(file));
    match readers.count() {
        0 | 1 => Ok(()),
        _ => Err(Fault::new(
            "standard input is to be read twice",
            "give the settings as a file",
        )
        .into()),
    }
}

/// A log on its way through the policies.
struct Replay {
    shelf: Shelf,
    what_if: Option<WhatIf>,
    report: Report,
    tally: Tally,
    max_loosening: Option<u64>,
}

/// What becomes of one record.
enum Outcome {
    /// Nothing differs, or changes.
    Same(what_if::Shade),
    /// The answers differ.
    Differs(Vec<again::Layered>),
    /// What the line says does not follow from its input.
    Contradicts(Vec<Difference>),
    /// More or less would be let through.
    Changes(Box<what_if::Change>),
    /// It is not replayed.
    Left(Left),
    /// It cannot be replayed, and somebody can do something about it.
    Fails(shelf::Missing),
}

/// Why a record is not replayed, through no fault of anybody.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Left {
    /// It was recorded without what was asked.
    NoInput,
    /// It was refused before any policy was asked.
    NotAsked,
    /// The answers depend on what is withheld.
    DependsOnRedacted,
    /// A policy was late or had no place, when it was recorded or now.
    DependsOnMachine,
    /// The input was too long to be recorded.
    TooLarge,
}

impl Replay {
    fn line(&mut self, line: &Line, out: &mut Output) -> anyhow::Result<()> {
        let text = match &line.text {
            Ok(text) => text,
            Err(problem) => return self.malformed(line.number, problem),
        };
        match Entry::read(text) {
            Ok(Some(entry)) => self.entry(line.number, &entry, out),
            // A line of a gateway's log that holds no decision.
            Ok(None) => Ok(()),
            Err(error) => self.malformed(line.number, &without_place(&error)),
        }
    }

    fn malformed(&mut self, number: usize, problem: &str) -> anyhow::Result<()> {
        self.tally.records += 1;
        self.tally.malformed += 1;
        self.report.malformed(number, problem);
        Ok(())
    }

    fn entry(&mut self, number: usize, entry: &Entry, out: &mut Output) -> anyhow::Result<()> {
        self.tally.records += 1;
        let outcome = self.outcome(entry);
        self.tally.add(entry, &outcome);
        match &outcome {
            Outcome::Same(_) | Outcome::Left(_) => Ok(()),
            Outcome::Differs(layers) => self.report.differs(number, entry, layers, out),
            Outcome::Contradicts(found) => self.report.contradicts(number, entry, found, out),
            Outcome::Changes(change) => self.report.changes(number, entry, change, out),
            Outcome::Fails(missing) => {
                self.report.missing(number, missing);
                Ok(())
            }
        }
    }

    fn outcome(&mut self, entry: &Entry) -> Outcome {
        let found = entry.contradictions();
        if !found.is_empty() {
            return Outcome::Contradicts(found);
        }
        let input = match replayable(entry) {
            Ok(input) => input,
            Err(left) => return Outcome::Left(left),
        };
        match &mut self.what_if {
            None => Again { input }.judge(&mut self.shelf),
            Some(what_if) => what_if.judge(entry, input, &mut self.shelf),
        }
    }

    fn end(mut self, out: &mut Output) -> anyhow::Result<Exit> {
        self.report.nothing(&self.tally);
        self.report
            .summary(&self.tally, self.what_if.is_some(), out)?;
        if self.max_loosening.is_some() {
            not_whole(self.tally.not_whole());
        }
        Ok(self.tally.exit(self.max_loosening))
    }
}

/// Says that loosenings may have been missed. A gate does not pass then.
pub(crate) fn not_whole(records: u64) {
    if records > 0 {
        let number = count(
            usize::try_from(records).unwrap_or(usize::MAX),
            "record",
            "records",
        );
        output::note(format_args!(
            "{BAD}error{BAD:#}: {number} could not be judged whole: a loosening may hide there"
        ));
        output::hint(
            "record inputs, without withholding paths and queries that the policy may read, or cover those cases with vectors",
        );
    }
}

/// What can be asked again of a record.
pub(crate) fn replayable(entry: &Entry) -> Result<&pinfold::record::Input, Left> {
    use pinfold::record::Mark;
    match (entry.replay, &entry.input) {
        (Some(Mark::DependsOnRedacted), _) => Err(Left::DependsOnRedacted),
        (Some(Mark::DependsOnMachine), _) => Err(Left::DependsOnMachine),
        (Some(Mark::TooLarge), _) => Err(Left::TooLarge),
        (_, None) => Err(Left::NoInput),
        (_, Some(input)) if !input.was_asked() => Err(Left::NotAsked),
        (_, Some(input)) if input.depends_on_machine() => Err(Left::DependsOnMachine),
        (_, Some(input)) => Ok(input),
    }
}

/// The words of the parser. It counts lines too, and knows of one only; where a field is wrong, the column says
/// no more than its name.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(text) if error.is_data() => text.to_owned(),
        Some(text) => format!("{text}, at column {}", error.column()),
        None => text,
    }
}
