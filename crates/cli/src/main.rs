//! `pinfold`, the command line: one file per verb.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: see [`exit::Exit`].
#![forbid(unsafe_code)]

mod batch;
mod check;
mod codes;
mod completions;
mod credential;
mod envoy;
mod exit;
mod explain;
mod fault;
mod fetch;
mod files;
mod hint;
mod inspect;
mod man;
mod migrate;
mod operate;
mod options;
mod output;
mod policy;
mod record;
mod replay;
mod serve;
mod text;
mod vectors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{exit::Exit, output::Output};

/// Fetch URLs that strangers wrote, without letting them into the network behind you
///
/// A policy judges each URL and each address that its name resolves to; only judged addresses are
/// connected to, and no name is looked up twice.
#[derive(Debug, Parser)]
#[command(
    name = "pinfold",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  pinfold check https://example.com/        Judge a URL and explain the verdict
  pinfold check --json http://[::1]:8080/   The same, for programs
  pinfold fetch -o page.html https://example.com/
  pinfold inspect policy.wasm               What is this policy, what could it do?
  pinfold replay decisions.jsonl            Judge recorded decisions again
  pinfold serve                             A proxy that judges every connection
  pinfold codes                             Every reason code, with what to do about it

Exit codes:
  0  allowed, or done
  1  denied, or the network failed
  2  error: usage, a file that cannot be read, a policy that cannot be loaded";

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    Fetch(fetch::Args),
    Inspect(inspect::Args),
    Policy(policy::Args),
    Replay(replay::Args),
    Serve(serve::Args),
    Gateway(operate::Args),
    Credential(credential::Args),
    Envoy(envoy::Args),
    Migrate(migrate::Args),
    Codes(codes::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = Output::new();
    let exit = run(&cli.verb, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    exit.unwrap_or_else(|error| {
        output::report(&error);
        Exit::Error
    })
    .into()
}

fn run(verb: &Verb, out: &mut Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Check(args) => check::run(args, out),
        Verb::Fetch(args) => fetch::run(args, out),
        Verb::Inspect(args) => inspect::run(args, out),
        Verb::Policy(args) => policy::run(args, out),
        Verb::Replay(args) => replay::run(args, out),
        Verb::Serve(args) => serve::run(args, out),
        Verb::Gateway(args) => operate::run(args, out),
        Verb::Credential(args) => credential::run(args, out),
        Verb::Envoy(args) => envoy::run(args, out),
        Verb::Migrate(args) => migrate::run(args, out),
        Verb::Codes(args) => codes::run(args, out),
        Verb::Completions(args) => completions::run(args, out),
        Verb::Man(args) => man::run(args, out),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
