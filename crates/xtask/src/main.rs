//! The one door for repository tasks: `cargo xtask <verb>`.
//!
//! Depends on none of the crates that it builds and judges.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to its terminal"
)]

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

mod bench;
mod check;
mod compilers;
mod demo;
mod fuzz;
mod languages;
mod load;
mod page;
mod python;
mod setup;
mod shell;
mod suite;
mod tables;
mod tidy;
mod wit;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode> {
    match words {
        ["test"] => return Ok(check::all()),
        ["test", "--quick"] => return Ok(check::quick()),
        _ => {}
    }
    task(words).map(|()| ExitCode::SUCCESS)
}

fn task(words: &[&str]) -> Result<()> {
    match words {
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        ["setup"] => setup::run(),
        ["build", rest @ ..] => setup::run().and_then(|()| shell::cargo(&["build"], rest)),
        ["tidy"] => tidy::run(),
        ["wit"] => wit::run(),
        ["tables"] => tables::run(false),
        ["tables", "--check"] => tables::run(true),
        ["demo"] => demo::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["fuzz"] => fuzz::run(None),
        ["fuzz", seconds] => fuzz::run(Some(seconds)),
        ["languages", rest @ ..] => languages::run(rest),
        ["load", rest @ ..] => load::run(rest),
        ["python"] => python::run(),
        ["wheel", rest @ ..] => python::wheel(rest),
        ["doc", rest @ ..] => setup::run().and_then(|()| check::doc(rest)),
        _ => bail!("no such task: `{}`\n\n{USAGE}", words.join(" ")),
    }
}

const USAGE: &str = "\
Usage: cargo xtask <task>

  setup            install what a build needs and the machine lacks
  build [ARGS]     build the library and the `pinfold` binary (ARGS go to cargo, e.g. --release)
  test             every check: format, rules, contract, tables, lints, tests, doctests, docs, Python
  test --quick     the inner loop: the cheap checks and the unit tests
  tidy             the rules of the repository (layers, sizes, exceptions, documents)
  wit              the contract: parses, documented, no 64-bit integers, imports nothing
  tables [--check] generate the address tables from the registry data, or compare
  demo             an attack on loopback, without and with Pinfold
  bench [ARGS]     the benches, and docs/bench.md from them (with ARGS for cargo: the benches only)
  fuzz [SECONDS]   the inputs of strangers: the committed ones, and each target of tests/fuzz for a while
  languages        one policy in four languages, and docs/languages.md from it (--debug: as it is built)
  load             the gateway beside tinyproxy and squid, and docs/load.md from it (--tiny: see that it works)
  load envoy       what it costs an Envoy to ask, and docs/envoy-cost.md from it (--tiny: see that it works)
  python           the package for Python: lint, types, and its tests against an installed wheel
  wheel [ARGS]     the wheel that ships for this machine, into target/wheels (ARGS go to maturin)
  doc [ARGS]       the documentation, warnings are errors (ARGS go to cargo, e.g. --open)
";
