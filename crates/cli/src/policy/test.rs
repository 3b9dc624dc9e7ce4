//! `pinfold policy test`.

use crate::{exit::Exit, output::Output};

/// Judge vectors and compare with what is expected
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
