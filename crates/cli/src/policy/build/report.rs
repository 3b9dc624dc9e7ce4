//! What is said of a component that was built, and of one that was refused.

use std::path::Path;

use pinfold::policy::Inspection;

use crate::{
    output::{BAD, GOOD, LABEL, Output, hint, note},
    policy::project::{Language, Project},
    text::{Printable, Shown, count},
};

/// What was built.
#[derive(Debug, serde::Serialize)]
pub(super) struct Built<'a> {
    component: &'a Path,
    language: Language,
    /// Bytes.
    size: usize,
    imports: &'a [String],
    /// SHA-256, hex.
    digest: &'a str,
    world: Option<&'a str>,
    name: Option<&'a str>,
    version: Option<&'a str>,
}

impl<'a> Built<'a> {
    pub(super) fn new(project: &'a Project, inspection: &'a Inspection) -> Self {
        let description = inspection.description.as_ref();
        Self {
            component: shown(&project.component),
            language: project.language,
            size: inspection.size,
            imports: &inspection.imports,
            digest: &inspection.digest,
            world: inspection.world.as_deref(),
            name: description.map(|description| description.name.as_str()),
            version: description.map(|description| description.version.as_str()),
        }
    }

    /// Writes it for people.
    pub(super) fn table(&self, out: &mut Output) -> anyhow::Result<()> {
        let (name, version) = (self.name.unwrap_or(""), self.version.unwrap_or(""));
        let mut row = |label: &str, value: &dyn std::fmt::Display| {
            out.line(format_args!("{LABEL}{label:9}{LABEL:#}  {value}"))
        };
        row("component", &Shown(self.component))?;
        row(
            "policy",
            &format_args!("{} {}", Printable(name), Printable(version)),
        )?;
        row(
            "size",
            &format_args!("{} KiB ({} bytes)", self.size.div_ceil(1024), self.size),
        )?;
        row(
            "imports",
            &format_args!("{GOOD}none{GOOD:#}: it can reach nothing"),
        )?;
        row("digest", &format_args!("sha256:{}", self.digest))?;
        row("world", &Printable(self.world.unwrap_or("")))?;
        Ok(())
    }
}

/// In the project that an author stands in, the name alone.
fn shown(component: &Path) -> &Path {
    component.strip_prefix(".").unwrap_or(component)
}

/// Says that the component is refused for what it imports: every import by its name.
pub(super) fn imports(names: &[String], project: &Project) {
    let number = count(names.len(), "import", "imports");
    refused(format_args!(
        "the policy has {number}, and a policy imports nothing"
    ));
    for name in names {
        note(format_args!("  {}", Printable(name)));
    }
    stays(project);
    hint(match project.language {
        Language::Rust => {
            "a crate calls what it declares as `extern`: find it with `cargo tree` and do without it"
        }
        Language::C => "define the function in the project, or do without it",
        Language::Python | Language::Javascript => {
            "do without the module that needs it: a policy has no clock, files, network or randomness"
        }
    });
}

/// Says that the component is no policy that a host would load.
pub(super) fn fault(fault: &str, project: &Project) {
    refused(format_args!(
        "a host would not load the policy: {}",
        Printable(fault)
    ));
    stays(project);
    hint("`describe` and the exports must be those of the contract, see `wit/policy.wit`");
}

/// Says that records will name the policy otherwise than the project does: a slip, and no reason to refuse.
pub(super) fn other_name(inspection: &Inspection, project: &Project) {
    let name = inspection
        .description
        .as_ref()
        .map(|said| said.name.as_str());
    if let Some(name) = name.filter(|name| *name != project.name) {
        let (own, name) = (&project.name, Printable(name));
        note(format_args!(
            "note: the project is `{own}`, and the policy describes itself as `{name}`"
        ));
    }
}

fn refused(message: std::fmt::Arguments<'_>) {
    note(format_args!("{BAD}refused{BAD:#}: {message}"));
}

fn stays(project: &Project) {
    if project.component.exists() {
        let component = shown(&project.component);
        note(stayed(component));
    }
}

fn stayed(component: &Path) -> String {
    format!("`{}` stays as it was", Shown(component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_component_cannot_drive_the_terminal() {
        let said = stayed(Path::new("a\u{1b}]0;x\u{7}.wasm"));
        assert_eq!(said, "`a\\u{1b}]0;x\\u{7}.wasm` stays as it was");
    }
}
