//! `pinfold policy`: the way of an author, from an empty folder to a tested, bounded component.

mod bench;
mod build;
pub(crate) mod diff;
pub(crate) mod new;
mod pack;
pub(crate) mod project;
pub(crate) mod questions;
pub(crate) mod subject;
pub(crate) mod suggest;
mod test;

use clap::Subcommand;

use crate::{exit::Exit, output::Output};

/// Write, build, test and measure policies
///
/// From an empty folder to a component that a running service accepts, in Rust, Python, JavaScript or C.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    New(new::Args),
    Build(build::Args),
    Test(test::Args),
    Bench(bench::Args),
    Diff(diff::Args),
}

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::New(args) => new::run(args, out),
        Verb::Build(args) => build::run(args, out),
        Verb::Test(args) => test::run(args, out),
        Verb::Bench(args) => bench::run(args, out),
        Verb::Diff(args) => diff::run(args, out),
    }
}
