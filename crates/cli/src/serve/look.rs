//! `pinfold serve --check`: would it start?

use pinfold_gateway::{Checked, Config, StartError};

use super::{Args, banner, self_test::self_test};
use crate::{
    exit::Exit,
    output::{self, BAD, GOOD, Output},
    text::Printable,
};

/// Tries everything short of listening. What is found is data; what is wrong, and what is risky, is told besides.
pub(super) fn run(args: &Args, config: &Config, out: &mut Output) -> anyhow::Result<Exit> {
    let checking = pinfold_gateway::check(config, Some(self_test()));
    let checked = super::run::runtime()?.block_on(checking);
    let file = args.config.as_ref().map(|file| file.display().to_string());
    row(
        out,
        "configuration",
        &file.unwrap_or_else(|| "none: the defaults".into()),
        true,
    )?;
    for listener in &config.listener {
        row(
            out,
            "listener",
            &banner::listener(listener, &listener.bind.to_string()),
            true,
        )?;
    }
    let mut exit = Exit::Ok;
    for Checked { what, found, .. } in checked {
        match found {
            Ok(found) => row(out, what, &found, true)?,
            Err(error) => {
                exit = Exit::Error;
                row(out, what, &error.to_string(), false)?;
                advise(&error);
            }
        }
    }
    out.flush()?;
    banner::warn(config);
    banner::warn_of_unmade(config);
    Ok(exit)
}

fn row(out: &mut Output, what: &str, found: &str, good: bool) -> std::io::Result<()> {
    let (style, mark) = match good {
        true => (GOOD, "ok   "),
        false => (BAD, "wrong"),
    };
    out.line(format_args!(
        "{style}{mark}{style:#}  {what:<13}  {}",
        Printable(found)
    ))
}

fn advise(error: &StartError) {
    if let Some(hint) = error.hint() {
        output::hint(Printable(hint));
    }
}
