//! `pinfold policy test`: judges vectors and compares with what is expected.
//!
//! Nothing passes silently: a suite without cases, a filter that matches nothing, a case without `expect`
//! are errors.

mod coverage;
mod filter;
mod hint;
mod judge;
mod junit;
mod lines;
mod mutate;
mod pack;
mod plan;
mod progress;
mod table;
mod watch;

use std::path::PathBuf;

use self::{filter::Filter, judge::Report, plan::Plan};
use crate::{exit::Exit, output::Output, policy::pack::Name};

/// Judge vectors and compare with what is expected
///
/// A vector says what is asked, what DNS would answer, and what the policy has to say to it; nothing is
/// looked up and nothing is connected to. Vectors are judged by a real guard, floor included, as in service.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder of a project, a component (`.wasm`), or `shipped` for the policy inside this binary
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    /// Settings for vectors that bring none. Default: those of the project, otherwise `{}`
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Vectors: a file (`.toml`, `.json`, `.jsonl`) or a folder of such files. May be repeated. Default:
    /// those of the project
    #[arg(long, value_name = "PATH")]
    vectors: Vec<PathBuf>,

    /// Judge only cases with this in their name; with `*` or `?`, cases whose whole name matches
    #[arg(long, value_name = "TEXT", conflicts_with = "coverage")]
    filter: Option<Filter>,

    /// Run a shipped pack instead of vectors: `ssrf` holds known bypasses and rebinding
    ///
    /// The cases are derived from a URL that the policy allows. None of them may lead to a bad address.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["coverage", "policy_only"])]
    pack: Option<Name>,

    /// The URL that the pack starts from. Default: that of the first vector that is expected to be
    /// allowed, otherwise https://example.com/
    #[arg(long, value_name = "URL", requires = "pack")]
    base: Option<String>,

    /// Ask the policy alone, without the floor of the host
    #[arg(long)]
    policy_only: bool,

    /// Say which denial codes no vector meets, and which settings no vector depends on
    ///
    /// Fails when the policy answers a code that the project file does not list, or never answers one that
    /// it lists. For the settings each entry is taken out in turn and everything is judged again: an entry
    /// whose absence changes nothing is not covered.
    #[arg(long)]
    coverage: bool,

    /// Stop at the first case that fails
    #[arg(long, conflicts_with = "coverage")]
    fail_fast: bool,

    /// Run again when the component, a source, the settings, a vector or the project file changes, until Ctrl-C
    ///
    /// It does not build: run `pinfold policy build` beside it. A source that is newer than the component is
    /// named before each run, so that a result of an older one is not taken for that of the new one.
    /// Ctrl-C ends the process by its signal, as it ends any other: no exit code says how the last run went.
    #[arg(long)]
    watch: bool,

    /// Failed cases that are shown. `--json` and `--junit` hold all of them
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: usize,

    /// Print one JSON object a case, and one for all
    #[arg(long)]
    json: bool,

    /// Write a JUnit report to this file, for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Keep compiled policies in this directory, so that the next run is fast. Default: nowhere
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Judge a component that imports WASI, with every such import linked to something inert
    #[arg(long)]
    inert_wasi: bool,
}

const EXAMPLES: &str = "\
Examples:
  pinfold policy test                             The project in this folder
  pinfold policy test partners --filter 'http*'   Some cases of another one
  pinfold policy test --coverage --junit test.xml
  pinfold policy test --watch
  pinfold policy test --pack ssrf                 Known bypasses, from a URL that the policy allows
  pinfold policy test shipped --settings egress.toml --vectors egress.jsonl

Exit codes: 0 all as expected, 1 at least one case failed, 2 error.";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if args.watch {
        runtime.block_on(watch::run(args, out))
    } else {
        runtime.block_on(once(args, out))
    }
}

/// Runs everything that is asked for, once.
async fn once(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let plan = Plan::of(args)?;
    let report = match args.pack {
        Some(pack) => pack::run(pack, &plan, args).await?,
        None => vectors(&plan, args).await?,
    };
    if let Some(file) = &args.junit {
        junit::write(&report, file)?;
    }
    if args.json {
        lines::write(&report, out)?;
    } else {
        table::write(&report, args.show, out)?;
    }
    out.flush()?;
    Ok(report.exit())
}

async fn vectors(plan: &Plan, args: &Args) -> anyhow::Result<Report> {
    let mut report = judge::run(plan, args).await?;
    if args.coverage {
        report.coverage = Some(coverage::of(plan, &report, args).await?);
    }
    Ok(report)
}
