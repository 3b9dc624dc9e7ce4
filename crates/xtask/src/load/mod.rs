//! `cargo xtask load`: the gateway beside tinyproxy, squid and a bare relay, and `docs/load.md` with the
//! figures and a picture. `cargo xtask load envoy`: the same for what it costs an Envoy to ask, `docs/envoy-cost.md`.
//!
//! What is measured, and how, is `crates/bench/examples/load`. Here it is built, run once, and written down.

mod envoy;
mod figures;
mod plot;
mod proxies;
mod tables;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{bench, page::rewrite, setup, shell};
use figures::Figures;
use plot::Group;

/// Measures and writes. `--tiny` takes what is built without optimisation, does every step for a moment, and
/// prints the page instead: it shows that all of it works. `--from` writes from a report of the generator that was
/// kept.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    match words {
        ["envoy", words @ ..] => envoy::ENVOY.run(words),
        _ => proxies::PROXIES.run(words),
    }
}

/// What is measured in one run, and written on one page.
struct Comparison {
    /// The task, as it stands in the marks of the page.
    name: &'static str,
    /// Of the generator.
    role: &'static str,
    page: &'static str,
    picture: &'static str,
    /// Of the picture.
    title: &'static str,
    groups: &'static [Group],
    /// The measured part of the page.
    measured: fn(&Figures, &str) -> Result<String>,
    /// Installs whom Pinfold is compared with; the programs that the generator has to be told.
    peers: fn() -> Result<Vec<PathBuf>>,
}

impl Comparison {
    fn run(&self, words: &[&str]) -> Result<()> {
        match words {
            [] => self.write(&self.measure(false)?),
            ["--from", report] => {
                let text = fs::read_to_string(report);
                let text = text.with_context(|| format!("cannot read {report}"))?;
                self.write(&Figures::parse(&text)?)
            }
            ["--tiny"] => {
                let figures = self.measure(true)?;
                print!("{}", (self.measured)(&figures, &bench::machine()?)?);
                plot::svg(self.title, self.groups, &figures).map(drop)
            }
            _ => bail!("`{}` takes `--tiny`, `--from REPORT` or nothing", self.name),
        }
    }

    fn write(&self, figures: &Figures) -> Result<()> {
        let measured = (self.measured)(figures, &bench::machine()?)?;
        let picture = plot::svg(self.title, self.groups, figures)?;
        fs::write(shell::root().join(self.picture), picture)?;
        println!("wrote {}", self.picture);
        rewrite(self.page, self.name, &measured)
    }

    /// Builds both programs and runs the comparison; how far it is goes to standard error.
    fn measure(&self, tiny: bool) -> Result<Figures> {
        setup::run()?;
        let peers = (self.peers)()?;
        let (builds, folder): (&[&[&str]], _) = match tiny {
            true => (&[TINY], "debug"),
            false => (&[PINFOLD, GENERATOR], "release"),
        };
        for words in builds {
            shell::cargo(words, &[])?;
        }
        let folder = bench::target()?.join(folder);
        let pinfold = folder.join("pinfold");
        let words = [self.role, text(&pinfold)?];
        let mut run = shell::command(text(&folder.join("examples/load"))?, &words);
        run.args(peers);
        if tiny {
            run.arg("--tiny");
        }
        Figures::parse(&shell::output(run.stdin(Stdio::null()))?)
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path of a binary is not UTF-8")
}

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
