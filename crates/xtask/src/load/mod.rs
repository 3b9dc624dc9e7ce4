//! `cargo xtask load`: the gateway beside tinyproxy, squid and a bare relay, and `docs/load.md` with the
//! figures and a picture.
//!
//! What is measured, and how, is `crates/bench/examples/load`. Here it is built, run once, and written down.

mod figures;
mod page;
mod plot;

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context, Result, bail};

use crate::{
    bench,
    page::rewrite,
    setup::{self, Program},
    shell,
};
use figures::Figures;

/// Measures and writes. `--tiny` takes what is built without optimisation, does every step for a moment, and
/// prints the page instead: it shows that all of it works. `--from` writes from a report of the generator that was
/// kept.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    match words {
        [] => write(&measure(false)?),
        ["--from", report] => {
            let text = fs::read_to_string(report);
            write(&Figures::parse(
                &text.with_context(|| format!("cannot read {report}"))?,
            )?)
        }
        ["--tiny"] => {
            let figures = measure(true)?;
            print!("{}", page::measured(&figures, &bench::machine()?)?);
            plot::svg(&figures).map(drop)
        }
        _ => bail!("`load` takes `--tiny`, `--from REPORT` or nothing"),
    }
}

fn write(figures: &Figures) -> Result<()> {
    let measured = page::measured(figures, &bench::machine()?)?;
    fs::write(shell::root().join(PICTURE), plot::svg(figures)?)?;
    println!("wrote {PICTURE}");
    rewrite(PAGE, "load", &measured)
}

/// Builds both programs and runs the comparison; how far it is goes to standard error.
fn measure(tiny: bool) -> Result<Figures> {
    setup::run()?;
    setup::programs(PEERS)?;
    let (builds, folder): (&[&[&str]], _) = match tiny {
        true => (&[TINY], "debug"),
        false => (&[PINFOLD, GENERATOR], "release"),
    };
    for words in builds {
        shell::cargo(words, &[])?;
    }
    let folder = bench::target()?.join(folder);
    let pinfold = folder.join("pinfold");
    let mut run = shell::command(
        text(&folder.join("examples/load"))?,
        &["run", text(&pinfold)?],
    );
    if tiny {
        run.arg("--tiny");
    }
    Figures::parse(&shell::output(run.stdin(Stdio::null()))?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path of a binary is not UTF-8")
}

const PEERS: &[Program] = &[
    Program::new("tinyproxy", "tinyproxy-bin").asked("-v"),
    Program::new("squid", "squid").asked("-v"),
];

/// The binary as it is shipped.
const PINFOLD: &[&str] = &["build", "--release", "-p", "pinfold-cli"];
/// As the other benches are built, whose dependencies it shares.
const GENERATOR: &[&str] = &[
    "build",
    "--profile=bench",
    "-p",
    "pinfold-bench",
    "--example",
    "load",
];
/// The whole workspace decides the features of shared dependencies, as in the tests.
const TINY: &[&str] = &["build", "--workspace", "--bin=pinfold", "--example=load"];

const PAGE: &str = "docs/load.md";
const PICTURE: &str = "docs/load.svg";
