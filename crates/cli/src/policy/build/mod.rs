//! `pinfold policy build`: from source to a component that a host accepts.
//!
//! A language's own tools make the bytes ([`tool`](mod@tool) runs them, [`encode`] makes a component of
//! a core module); what comes after is the same for all: strip, inspect, write.

mod c;
mod encode;
mod files;
mod interpreter;
mod javascript;
mod python;
mod report;
mod rust;
mod strip;
mod tool;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use pinfold::policy::{self, Inspection, LoadError, Source};

use crate::{
    exit::Exit,
    options,
    output::Output,
    policy::project::{Language, Project},
};

/// Build the policy of a project to a component, and check it
///
/// The project's language decides which compiler is run: one that is missing is named, with the command
/// that installs it. The component is stripped and inspected before it takes the place of the last one: one
/// that imports anything is refused, and the last one stays.
///
/// A build executes what the project brings: build scripts and `.cargo/config.toml` of Rust, the compiler in
/// `.venv` or `node_modules`. Build only projects that you trust, as with cargo or npm. The other verbs execute
/// nothing but the component, in its sandbox.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder of the project
    #[arg(default_value = ".")]
    path: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Keep what is compiled to check it in this directory, for `policy test` with the same. Default: nowhere
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  pinfold policy build
  pinfold policy build partners
  pinfold policy build --json | jq -r .digest

Exit codes:
  0  built
  1  refused: it imports something, or is no policy
  2  error: it does not compile, a tool is missing";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let project = Project::find(&args.path)?;
    let component = match compiler(project.language)(&project) {
        Ok(bytes) => strip::strip(&bytes)?,
        Err(error) => return refused_early(error, &project),
    };
    let source = Source::Bytes(component.clone().into());
    let inspection = policy::inspect_with(&source, &options::loading(args.cache.as_deref()))?;
    if !inspection.imports.is_empty() {
        report::imports(&inspection.imports, &project);
        return Ok(Exit::Refused);
    }
    if let Some(fault) = &inspection.fault {
        report::fault(fault, &project);
        return Ok(Exit::Refused);
    }
    // What was built may have moved the folders of the project meanwhile.
    project.check_where_paths_lead()?;
    write(&project.component, &component)?;
    report::other_name(&inspection, &project);
    show(&project, &inspection, args.json, out)?;
    Ok(Exit::Ok)
}

/// Makes the bytes of a component, before they are stripped and checked.
type Compiler = fn(&Project) -> anyhow::Result<Vec<u8>>;

/// How a language is built: each has a file of its own.
fn compiler(language: Language) -> Compiler {
    match language {
        Language::Rust => rust::build,
        Language::C => c::build,
        Language::Javascript => javascript::build,
        Language::Python => python::build,
    }
}

/// Imports that were seen before there was a component are refused like those of a component.
fn refused_early(error: anyhow::Error, project: &Project) -> anyhow::Result<Exit> {
    match error.downcast_ref() {
        Some(LoadError::Imports(names)) => {
            report::imports(names, project);
            Ok(Exit::Refused)
        }
        _ => Err(error),
    }
}

/// Replaces the component in one step: a service that watches the file never reads half of one.
fn write(file: &Path, component: &[u8]) -> anyhow::Result<()> {
    let cannot_write = || format!("cannot write `{}`", file.display());
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(cannot_write)?;
    let mut temporary = readable(tempfile::Builder::new().prefix(".component-"))
        .tempfile_in(folder)
        .with_context(cannot_write)?;
    temporary.write_all(component).with_context(cannot_write)?;
    temporary.as_file().sync_all().with_context(cannot_write)?;
    temporary.persist(file).with_context(cannot_write)?;
    Ok(())
}

/// As readable as any file that the author writes: what the system's mask leaves.
fn readable<'a, 'b, 'c>(
    builder: &'a mut tempfile::Builder<'b, 'c>,
) -> &'a mut tempfile::Builder<'b, 'c> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666))
    }
    #[cfg(not(unix))]
    builder
}

fn show(
    project: &Project,
    inspection: &Inspection,
    json: bool,
    out: &mut Output,
) -> anyhow::Result<()> {
    let built = report::Built::new(project, inspection);
    if json {
        out.json_pretty(&built)
    } else {
        built.table(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_replaced_whole_and_can_be_read_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out/partners.wasm");
        write(&file, b"first").unwrap();
        write(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        let beside = fs::read_dir(dir.path().join("out")).unwrap().count();
        assert_eq!(beside, 1, "nothing temporary is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let made = dir.path().join("made");
            fs::write(&made, "").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode(&file), mode(&made));
        }
    }
}
