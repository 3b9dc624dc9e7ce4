//! `pinfold envoy check`: which traps a configuration of Envoy contains, and the mend of each.

use std::path::PathBuf;

use crate::{exit::Exit, output::Output};

/// Report each trap that a configuration of Envoy contains, with the mend
///
/// Reads YAML or JSON: a bootstrap file, resources of a control plane, or what `/config_dump` says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; `-` is standard input
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("to come")
}
