//! What is to be judged: the policy, the settings, the vectors, as arguments and project file say.

use std::path::{Path, PathBuf};

use pinfold::policy::Source;
use serde_json::Value;

use super::Args;
use crate::{
    fault::Fault,
    options,
    policy::{
        project::{Project, vectors_in},
        subject::{Subject, Use, stale},
    },
    vectors::{Content, Setup, Suite},
};

/// What is to be judged.
#[derive(Debug)]
pub(super) struct Plan {
    /// The policy.
    pub(super) subject: Subject,
    /// The settings of suites without settings.
    pub(super) default: Value,
    /// Where they are from, for people; none when they are `{}` because nobody gave any.
    pub(super) default_from: Option<String>,
    /// The vectors; none for a pack without any.
    pub(super) suites: Vec<Suite>,
    cache: Option<PathBuf>,
    inert_wasi: bool,
}

impl Plan {
    /// Reads everything but the policy.
    ///
    /// # Errors
    ///
    /// What cannot be read; no vectors at all, unless a pack is to be run; a filter that matches nothing; a
    /// case without `expect`.
    pub(super) fn of(args: &Args) -> anyhow::Result<Self> {
        let subject = Subject::of(&args.path)?;
        subject.check_built(Use::Look)?;
        let (default, default_from) = settings(args, &subject)?;
        let mut suites = Suite::read(&vector_files(args, &subject)?)?;
        if args.pack.is_none() {
            Suite::each_expects(&suites)?;
            filter(args, &mut suites)?;
        }
        Ok(Self {
            subject,
            default,
            default_from,
            suites,
            cache: args.cache.clone(),
            inert_wasi: args.inert_wasi,
        })
    }

    /// What a suite is judged by.
    pub(super) fn setup(&self, suite: &Suite) -> Setup {
        let setup = suite.setup(self.subject.source.clone(), &self.default);
        self.loaded_like(setup)
    }

    /// What is judged by when no suite says anything.
    pub(super) fn default_setup(&self) -> Setup {
        self.loaded_like(Setup {
            settings: self.default.clone(),
            ..Setup::of(self.subject.source.clone())
        })
    }

    fn loaded_like(&self, setup: Setup) -> Setup {
        Setup {
            cache: self.cache.clone(),
            inert_wasi: self.inert_wasi,
            ..setup
        }
    }

    /// The denial codes that the policy may answer, when its project says so.
    pub(super) fn codes(&self) -> Option<&[String]> {
        self.subject.project.as_ref()?.codes.as_deref()
    }

    /// A file as people know it: relative to the project.
    pub(super) fn shown<'a>(&self, file: &'a Path) -> &'a Path {
        let root = self.subject.project.as_ref().map(|project| &project.root);
        root.and_then(|root| file.strip_prefix(root).ok())
            .unwrap_or(file)
    }
}

/// Everything that a run depends on, to see that it has changed. What is not there yet counts too.
pub(super) fn depends_on(args: &Args) -> Vec<PathBuf> {
    let mut files = Vec::new();
    files.extend(args.settings.clone());
    let Ok(subject) = Subject::of(&args.path) else {
        files.push(args.path.join(Project::FILE));
        return files;
    };
    if let Source::Path(component) = &subject.source {
        files.push(component.clone());
    }
    if let Some(project) = &subject.project {
        files.push(project.root.join(Project::FILE));
        files.extend(stale::sources(project));
        files.extend(project.settings.clone());
    }
    files.extend(vector_files(args, &subject).unwrap_or_default());
    files
}

fn settings(args: &Args, subject: &Subject) -> anyhow::Result<(Value, Option<String>)> {
    if let Some(file) = &args.settings {
        let settings = options::read_settings(file)?;
        return Ok((settings, Some(file.display().to_string())));
    }
    let from = subject
        .project
        .as_ref()
        .and_then(|project| project.settings.as_deref());
    let settings = subject.settings()?;
    Ok((
        settings.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        from.map(|file| file.display().to_string()),
    ))
}

/// The files that are named, otherwise those of the project.
fn vector_files(args: &Args, subject: &Subject) -> anyhow::Result<Vec<PathBuf>> {
    if args.vectors.is_empty() {
        let files = subject.vector_files()?;
        return if files.is_empty() && args.pack.is_none() {
            Err(no_vectors(subject))
        } else {
            Ok(files)
        };
    }
    let mut files = Vec::new();
    for path in &args.vectors {
        if path.is_dir() {
            let inside = vectors_in(path)?;
            if inside.is_empty() {
                let message = format!("`{}` holds no vectors", path.display());
                return Err(
                    Fault::new(message, "vectors end in `.toml`, `.json` or `.jsonl`").into(),
                );
            }
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn no_vectors(subject: &Subject) -> anyhow::Error {
    let hint = match &subject.project {
        Some(_) => {
            "list files or folders in `vectors` of the project file, with at least one file in them"
        }
        None => "name files or folders with `--vectors`, or run `--pack ssrf`",
    };
    Fault::new("there are no vectors: nothing would be tested", hint).into()
}

/// Leaves the cases that the filter takes.
fn filter(args: &Args, suites: &mut Vec<Suite>) -> anyhow::Result<()> {
    let Some(filter) = &args.filter else {
        return Ok(());
    };
    suites.retain_mut(|suite| match &mut suite.content {
        Content::Cases(cases) => {
            cases.retain(|case| filter.takes(&case.name()));
            !cases.is_empty()
        }
        Content::Problems(_) => filter.takes(PROBLEMS),
    });
    if suites.is_empty() {
        let message = format!(
            "no case is called like `{}`",
            filter.as_str().escape_debug()
        );
        return Err(Fault::new(message, "without `--filter` all cases are judged").into());
    }
    Ok(())
}

/// What the one case of a suite about settings is called.
pub(super) const PROBLEMS: &str = "the settings are refused";
