//! `pinfold policy new`: a project that builds, passes its own vectors, and says how to go on.

mod c;
mod javascript;
mod python;
mod rust;

use crate::{exit::Exit, output::Output, policy::project::Language};

/// Write a new policy: source, settings, vectors, a README and a CI snippet
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}

/// One file of a new project, as `guest/examples/<language>` has it for the policy "partners".
#[derive(Clone, Copy, Debug)]
struct Template {
    /// Where it goes, relative to the project, with `/`.
    path: &'static str,
    /// What is in it: `include_str!` of the example.
    content: &'static str,
    /// The places that hold the name of the policy, such as `name = "partners"`: in these `partners` is
    /// replaced by the new name. A key of the settings may have the same name, so they are spelled out.
    names: &'static [&'static str],
}

/// The files of a language: each has a file of its own.
fn files(language: Language) -> &'static [Template] {
    match language {
        Language::Rust => rust::FILES,
        Language::C => c::FILES,
        Language::Javascript => javascript::FILES,
        Language::Python => python::FILES,
    }
}
