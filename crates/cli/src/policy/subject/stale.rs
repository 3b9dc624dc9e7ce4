//! Whether a component is older than what it was built from.
//!
//! Only times are compared: they cost nothing, and are right for whoever edits and forgets to build. A
//! checkout writes files one after the other, so that what is a little newer says nothing ([`CHECKOUT`]).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::policy::project::{Language, Project};

/// How far the files of one checkout are apart at most. Nobody edits and builds and edits that fast.
pub(crate) const CHECKOUT: Duration = Duration::from_secs(2);

/// The most entries of a project that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// How deep folders are looked into.
const MAX_DEPTH: usize = 8;

/// Folders that hold no source of the author's: what tools put there, and vectors.
const SKIPPED: [&str; 4] = ["__pycache__", "node_modules", "target", "tests"];

/// A source that was changed more than `slack` after the component, the newest of them.
///
/// None when there is no component, which shows when it is loaded. The project file is no source: a budget
/// or a code that is written there does not change the component.
pub(crate) fn newer(project: &Project, slack: Duration) -> Option<PathBuf> {
    let built = changed(&project.component)?.checked_add(slack)?;
    let sources = sources(project).into_iter();
    let newest = sources
        .filter_map(|source| Some((changed(&source)?, source)))
        .max_by(|one, other| one.0.cmp(&other.0))?;
    (newest.0 > built).then_some(newest.1)
}

/// Everything in the project that its component is built from.
pub(crate) fn sources(project: &Project) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = MAX_ENTRIES;
    collect(&project.root, project.language, 0, &mut left, &mut found);
    found.sort();
    found
}

fn collect(
    folder: &Path,
    language: Language,
    depth: usize,
    left: &mut usize,
    found: &mut Vec<PathBuf>,
) {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(rest) = left.checked_sub(1) else {
            return;
        };
        *left = rest;
        let path = entry.path();
        // Of the entry itself: a link leads out of the project, or in circles.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() {
            if depth < MAX_DEPTH && !name.starts_with('.') && !SKIPPED.contains(&name.as_ref()) {
                collect(&path, language, depth + 1, left, found);
            }
        } else if is_source(&name, language) {
            found.push(path);
        }
    }
}

fn is_source(name: &str, language: Language) -> bool {
    let (ends, names): (&[&str], &[&str]) = match language {
        Language::Rust => (&["rs"], &["Cargo.toml", "Cargo.lock"]),
        Language::Python => (&["py"], &["requirements.txt"]),
        Language::Javascript => (&["js", "mjs"], &["package.json", "package-lock.json"]),
        Language::C => (&["c", "h"], &[]),
    };
    let end = Path::new(name).extension().and_then(|end| end.to_str());
    name == SCHEMA || names.contains(&name) || end.is_some_and(|end| ends.contains(&end))
}

/// The schema of the settings, in every language.
const SCHEMA: &str = "settings.schema.json";

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project in C with a component that was built at `BUILT`.
    fn project(dir: &Path) -> Project {
        let text = "[policy]\nname = \"a\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\n";
        fs::write(dir.join(Project::FILE), text).unwrap();
        write(dir, "a.wasm", 0);
        Project::find(dir).unwrap()
    }

    const BUILT: u64 = 1_000_000_000;

    fn write(dir: &Path, name: &str, after: u64) {
        let file = dir.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(BUILT + after);
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn what_was_changed_after_the_build_is_newer() {
        for (row, file, after, is_newer) in [
            ("a source", "policy.c", 60, true),
            ("a header", "pinfold/pinfold.h", 60, true),
            ("the schema", "settings.schema.json", 60, true),
            ("of a checkout", "policy.c", 0, false),
            ("written a little later", "policy.c", 2, false),
            ("another language's", "policy.py", 60, false),
            ("a vector", "tests/a.c", 60, false),
            ("what a tool put there", ".cache/a.c", 60, false),
            ("the project file", "pinfold.toml", 60, false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let project = project(dir.path());
            write(dir.path(), file, after);
            let found = newer(&project, CHECKOUT);
            let expected = is_newer.then(|| dir.path().join(file));
            assert_eq!(found, expected, "{row}");
        }
    }

    #[test]
    fn without_a_component_nothing_is_newer() {
        let dir = tempfile::tempdir().unwrap();
        let project = project(dir.path());
        write(dir.path(), "policy.c", 60);
        fs::remove_file(&project.component).unwrap();
        assert_eq!(newer(&project, CHECKOUT), None);
    }
}
