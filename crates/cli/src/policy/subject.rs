//! A policy that is measured or compared: a project, a component, or the shipped one.

pub(crate) mod stale;

use std::path::{Path, PathBuf};

use pinfold::policy::{LoadError, Source};
use serde_json::Value;

use super::project::Project;
use crate::{
    fault::Fault,
    options, output,
    text::{Shown, shell_word},
};

/// The word for the policy inside this binary, where a file or a folder may stand.
pub(crate) const SHIPPED: &str = "shipped";

/// Where a policy comes from, and the project that it belongs to.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The component.
    pub(crate) source: Source,
    /// Its project; none for a component alone.
    pub(crate) project: Option<Project>,
    /// What it is called in messages.
    shown: String,
    /// How the project is built.
    build: String,
}

/// What hangs on the answers of a policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Use {
    /// A person reads them.
    Look,
    /// A pipeline stops or goes on: it must not do so for a component that nobody will ship.
    Gate,
}

impl Subject {
    /// The policy that a person means by this path: a folder with a project file, that file, a
    /// component, or `shipped`.
    ///
    /// # Errors
    ///
    /// A folder that is no project. That the component is there shows when it is loaded.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == SHIPPED {
            return Ok(Self {
                source: Source::Shipped,
                project: None,
                shown: "the shipped policy".into(),
                build: String::new(),
            });
        }
        if path.extension().is_some_and(|end| end == "wasm") && !path.is_dir() {
            return Ok(Self::component(path.to_owned(), None));
        }
        is_project(path)?;
        let project = Project::find(path)?;
        let build = match path.as_os_str() == "." || path.as_os_str() == Project::FILE {
            true => "pinfold policy build".to_owned(),
            false => format!("pinfold policy build {}", shell_word(path)),
        };
        Ok(Self {
            build,
            ..Self::component(project.component.clone(), Some(project))
        })
    }

    fn component(file: PathBuf, project: Option<Project>) -> Self {
        Self {
            shown: format!("`{}`", Shown(&file)),
            source: Source::Path(file),
            project,
            build: String::new(),
        }
    }

    /// Says on standard error when a source of the project is newer than its component.
    ///
    /// # Errors
    ///
    /// The same, for a gate.
    pub(crate) fn check_built(&self, for_what: Use) -> Result<(), Fault> {
        let stale = |project| Some((project, stale::newer(project, stale::CHECKOUT)?));
        let Some((project, source)) = self.project.as_ref().and_then(stale) else {
            return Ok(());
        };
        let inside = |file: &Path| {
            let inside = file.strip_prefix(&project.root).unwrap_or(file);
            Shown(inside).to_string()
        };
        let (source, component) = (inside(&source), inside(&project.component));
        let message = format!("`{source}` is newer than `{component}`");
        match for_what {
            Use::Look => output::note(format_args!("warning: {message}: run `{}`", self.build)),
            Use::Gate => {
                let hint = format!(
                    "run `{}`; if the component is of these sources, `touch` it",
                    self.build
                );
                return Err(Fault::new(message, hint));
            }
        }
        Ok(())
    }

    /// The settings that the project states for vectors without settings of their own.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or that holds no settings.
    pub(crate) fn settings(&self) -> anyhow::Result<Option<Value>> {
        let file = self
            .project
            .as_ref()
            .and_then(|project| project.settings.as_deref());
        file.map(options::read_project_settings).transpose()
    }

    /// The files with vectors that the project names.
    ///
    /// # Errors
    ///
    /// A file or a folder that is not there.
    pub(crate) fn vector_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        match &self.project {
            Some(project) => project.vector_files(),
            None => Ok(Vec::new()),
        }
    }

    /// Says which policy an error is about, and for a project that was not built, what to do.
    pub(crate) fn name(&self, error: LoadError) -> anyhow::Error {
        match (&error, &self.project) {
            (LoadError::Io { path, .. }, Some(_)) if !path.exists() => self.not_built().into(),
            (LoadError::CodeCache { .. } | LoadError::Io { .. }, _) => error.into(),
            _ => {
                let context = format!("cannot use {}", self.in_a_sentence());
                anyhow::Error::from(error).context(context)
            }
        }
    }

    fn not_built(&self) -> Fault {
        Fault::new(
            format!("there is no {}", self.shown),
            format!("build it with `{}`", self.build),
        )
    }

    /// What it is called in the middle of a sentence.
    pub(crate) fn in_a_sentence(&self) -> String {
        match self.source {
            Source::Shipped => self.shown.clone(),
            _ => format!("the policy {}", self.shown),
        }
    }
}

/// The component that a person means where any file will do, `shipped` and the folder of a project too.
///
/// # Errors
///
/// A folder that is no project, a project that was not built, and for a gate one that was not built since.
pub(crate) fn component(path: &Path, for_what: Use) -> anyhow::Result<Source> {
    let is_manifest = path.file_name().is_some_and(|name| name == Project::FILE);
    if path.as_os_str() != SHIPPED && !path.is_dir() && !is_manifest {
        return Ok(Source::Path(path.to_owned()));
    }
    let subject = Subject::of(path)?;
    if let Some(project) = &subject.project
        && !project.component.exists()
    {
        return Err(subject.not_built().into());
    }
    subject.check_built(for_what)?;
    Ok(subject.source)
}

/// Refuses what no project can be in.
fn is_project(path: &Path) -> Result<(), Fault> {
    let is_manifest = path.extension().is_some_and(|end| end == "toml");
    if path.is_dir() || is_manifest || !path.exists() {
        return Ok(());
    }
    let message = format!(
        "`{}` is no component and no project",
        path.display().to_string().escape_debug()
    );
    let hint = format!(
        "name a file that ends in `.wasm`, the folder of a project, or its `{}`",
        Project::FILE
    );
    Err(Fault::new(message, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_project_a_component_or_the_shipped_one() {
        let dir = tempfile::tempdir().unwrap();
        let project = "[policy]\nname = \"a\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\n";
        std::fs::write(dir.path().join(Project::FILE), project).unwrap();
        for (path, shown, is_project) in [
            (
                PathBuf::from(SHIPPED),
                "the shipped policy".to_owned(),
                false,
            ),
            ("x/b.wasm".into(), "the policy `x/b.wasm`".into(), false),
            (
                dir.path().to_owned(),
                format!("the policy `{}`", dir.path().join("a.wasm").display()),
                true,
            ),
            (
                dir.path().join(Project::FILE),
                format!("the policy `{}`", dir.path().join("a.wasm").display()),
                true,
            ),
        ] {
            let subject = Subject::of(&path).unwrap();
            assert_eq!(subject.in_a_sentence(), shown, "{path:?}");
            assert_eq!(subject.project.is_some(), is_project, "{path:?}");
        }
        assert!(Subject::of(&dir.path().join("none")).is_err());
        let other = dir.path().join("policy.c");
        std::fs::write(&other, "int main;").unwrap();
        let error = Subject::of(&other).unwrap_err().to_string();
        assert!(error.contains("is no component and no project"), "{error}");
    }

    #[test]
    fn a_component_that_is_older_than_its_source_passes_no_gate() {
        let dir = tempfile::tempdir().unwrap();
        let project = "[policy]\nname = \"a\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\n";
        for (name, text) in [(Project::FILE, project), ("a.wasm", ""), ("policy.c", "")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let subject = Subject::of(dir.path()).unwrap();
        assert!(subject.check_built(Use::Gate).is_ok(), "of one moment");
        let file = std::fs::File::options()
            .write(true)
            .open(dir.path().join("policy.c"));
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        file.unwrap().set_modified(later).unwrap();
        assert!(subject.check_built(Use::Look).is_ok());
        let fault = subject.check_built(Use::Gate).unwrap_err();
        assert_eq!(fault.to_string(), "`policy.c` is newer than `a.wasm`");
        let build = format!("run `pinfold policy build {}`;", dir.path().display());
        assert!(fault.hint().starts_with(&build), "{}", fault.hint());
    }

    #[test]
    fn the_name_of_a_folder_cannot_drive_the_terminal_nor_the_shell() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("my\u{1b}; x");
        std::fs::create_dir(&folder).unwrap();
        crate::policy::project::testing::project(&folder);
        let subject = Subject::of(&folder).unwrap();
        let shown = subject.in_a_sentence();
        assert!(shown.ends_with("/my\\u{1b}; x/a.wasm`"), "{shown}");
        let build = &subject.build;
        assert!(build.starts_with("pinfold policy build '/"), "{build}");
        assert!(build.ends_with("/my\\u{1b}; x'"), "{build}");
    }

    #[test]
    fn a_project_that_was_not_built_says_how_to() {
        let dir = tempfile::tempdir().unwrap();
        let project = "[policy]\nname = \"a\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\n";
        std::fs::write(dir.path().join(Project::FILE), project).unwrap();
        let subject = Subject::of(dir.path()).unwrap();
        let error = pinfold::policy::inspect(&subject.source).unwrap_err();
        let error = subject.name(error);
        let fault = error.downcast_ref::<Fault>().unwrap();
        let build = format!(
            "build it with `pinfold policy build {}`",
            dir.path().display()
        );
        assert_eq!(fault.hint(), build);
        let error = component(dir.path(), Use::Look).unwrap_err();
        assert_eq!(error.downcast_ref::<Fault>().unwrap().hint(), build);
    }

    #[test]
    fn where_any_file_will_do_a_folder_is_a_project() {
        let dir = tempfile::tempdir().unwrap();
        let project = "[policy]\nname = \"a\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\n";
        std::fs::write(dir.path().join(Project::FILE), project).unwrap();
        let built = dir.path().join("a.wasm");
        std::fs::write(&built, "").unwrap();
        for (path, expected) in [
            (dir.path().to_owned(), &built),
            (dir.path().join(Project::FILE), &built),
            (built.clone(), &built),
            ("x/policy".into(), &PathBuf::from("x/policy")),
        ] {
            let found = component(&path, Use::Look).unwrap();
            assert!(
                matches!(&found, Source::Path(file) if file == expected),
                "{path:?}"
            );
        }
        assert!(matches!(
            component(Path::new(SHIPPED), Use::Look),
            Ok(Source::Shipped)
        ));
        let empty = tempfile::tempdir().unwrap();
        assert!(component(empty.path(), Use::Look).is_err(), "no project");
    }
}
