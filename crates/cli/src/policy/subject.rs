//! A policy that is measured or compared: a project, a component, or the shipped one.

use std::path::{Path, PathBuf};

use pinfold::policy::{LoadError, Source};
use serde_json::Value;

use super::project::Project;
use crate::{fault::Fault, options};

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
            });
        }
        if path.extension().is_some_and(|end| end == "wasm") && !path.is_dir() {
            return Ok(Self::component(path.to_owned(), None));
        }
        let project = Project::find(path)?;
        Ok(Self::component(project.component.clone(), Some(project)))
    }

    fn component(file: PathBuf, project: Option<Project>) -> Self {
        Self {
            shown: format!("`{}`", file.display()),
            source: Source::Path(file),
            project,
        }
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
        file.map(options::read_settings).transpose()
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
            (LoadError::Io { path, .. }, Some(_)) if !path.exists() => Fault::new(
                format!("there is no {}", self.shown),
                "build it with `pinfold policy build`",
            )
            .into(),
            (LoadError::CodeCache { .. } | LoadError::Io { .. }, _) => error.into(),
            _ => {
                let context = format!("cannot use {}", self.in_a_sentence());
                anyhow::Error::from(error).context(context)
            }
        }
    }

    /// What it is called in the middle of a sentence.
    pub(crate) fn in_a_sentence(&self) -> String {
        match self.source {
            Source::Shipped => self.shown.clone(),
            _ => format!("the policy {}", self.shown),
        }
    }
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
        assert_eq!(fault.hint(), "build it with `pinfold policy build`");
    }
}
