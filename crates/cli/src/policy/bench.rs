//! `pinfold policy bench`.

use crate::{exit::Exit, output::Output};

/// Measure a policy: time, instantiation, memory, fuel
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
