//! A policy's project: a folder with a `pinfold.toml`.
//!
//! Every verb of `pinfold policy` reads it through [`Project::find`], so that all of them mean the same
//! component, the same settings and the same vectors.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use anyhow::Context;

use super::suggest;
use crate::{fault::Fault, files};

/// A project, read and checked. Paths are joined to its folder.
#[derive(Debug)]
pub(crate) struct Project {
    /// The folder.
    pub(crate) root: PathBuf,
    /// Name of the policy, kebab-case.
    pub(crate) name: String,
    /// What it is written in.
    pub(crate) language: Language,
    /// What `build` writes and the other verbs read.
    pub(crate) component: PathBuf,
    /// The settings that vectors are judged with when they bring none of their own.
    pub(crate) settings: Option<PathBuf>,
    /// The denial codes that the policy may answer, when it says so.
    pub(crate) codes: Option<Vec<String>>,
    /// What `bench --budget` holds it to.
    pub(crate) budget: Budget,
    vectors: Vec<PathBuf>,
}

/// What a policy may cost. What is not there is not held to anything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Budget {
    /// Fuel of one decision, both stages, of the dearest vector.
    pub(crate) fuel: Option<u64>,
    /// Linear memory after the dearest vector, in KiB.
    pub(crate) memory_kib: Option<u64>,
    /// Size of the component, in KiB.
    pub(crate) size_kib: Option<u64>,
}

/// What a policy can be written in.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    /// cargo and the SDK; small and fast
    Rust,
    /// componentize-py; an interpreter of 18 MiB
    Python,
    /// componentize-js; an interpreter of 11 MiB
    #[value(alias = "js")]
    #[serde(alias = "js")]
    Javascript,
    /// clang and lld; the smallest
    C,
}

/// `pinfold.toml`, as it is written.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    policy: PolicyTable,
    #[serde(default)]
    budget: Budget,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    name: String,
    language: Language,
    component: PathBuf,
    settings: Option<PathBuf>,
    #[serde(default)]
    vectors: Vec<PathBuf>,
    codes: Option<Vec<String>>,
}

impl Project {
    /// The name of the project file.
    pub(crate) const FILE: &str = "pinfold.toml";

    /// Reads the project in this folder; the path of the project file itself will do.
    ///
    /// The component, the settings and the vectors need not be there yet.
    ///
    /// # Errors
    ///
    /// A folder without a project file, and a file that is not what it should be, with its place.
    pub(crate) fn find(path: &Path) -> anyhow::Result<Self> {
        let file = if path.is_file() {
            path.to_owned()
        } else {
            path.join(Self::FILE)
        };
        let root = file.parent().unwrap_or(Path::new("")).to_owned();
        let text = read(&file)?;
        let manifest = toml::from_str(&text).map_err(|error| suggest::not_valid(&file, error))?;
        Self::of(root, manifest).map_err(|fault| {
            anyhow::Error::from(fault).context(format!("`{}` cannot be used", file.display()))
        })
    }

    /// The files with vectors: those named, and of folders named what ends in `.toml`, `.json` or
    /// `.jsonl`, in the order of their names.
    ///
    /// # Errors
    ///
    /// A file or folder that is not there, and more than [`MAX_VECTOR_FILES`] files.
    pub(crate) fn vector_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for path in &self.vectors {
            self.check_leads_inside(path)?;
            if path.is_dir() {
                files.extend(vectors_in(path)?);
            } else {
                fs::metadata(path).with_context(|| cannot_read(path))?;
                files.push(path.clone());
            }
        }
        files
            .iter()
            .try_for_each(|file| self.check_leads_inside(file))?;
        if files.len() > MAX_VECTOR_FILES {
            let message = format!("more than {MAX_VECTOR_FILES} files with vectors");
            return Err(Fault::new(message, "put several cases in one file").into());
        }
        Ok(files)
    }

    fn of(root: PathBuf, manifest: Manifest) -> Result<Self, Fault> {
        let Manifest { policy, budget } = manifest;
        check_name(&policy.name)?;
        check_component(&policy.component)?;
        let named = policy.settings.iter().chain(&policy.vectors);
        named.into_iter().try_for_each(|path| check_inside(path))?;
        let project = Self {
            component: root.join(&policy.component),
            settings: policy.settings.map(|path| root.join(path)),
            vectors: policy.vectors.iter().map(|path| root.join(path)).collect(),
            name: policy.name,
            language: policy.language,
            codes: policy.codes,
            budget,
            root,
        };
        project.check_where_paths_lead()?;
        Ok(project)
    }

    /// A link may lead out of the project where the text of a path does not.
    ///
    /// # Errors
    ///
    /// A component and settings that lie elsewhere; a component that is no regular file.
    pub(crate) fn check_where_paths_lead(&self) -> Result<(), Fault> {
        self.check_leads_inside(&self.component)?;
        if let Ok(found) = fs::metadata(&self.component) {
            files::require_regular(&self.component, &found)?;
        }
        match &self.settings {
            Some(settings) => self.check_leads_inside(settings),
            None => Ok(()),
        }
    }

    /// Refuses a path that leads out of the real folder of the project: the project is another's, and what is
    /// read or written elsewhere is not.
    pub(crate) fn check_leads_inside(&self, path: &Path) -> Result<(), Fault> {
        let is_there = |path: &&Path| fs::symlink_metadata(or_here(path)).is_ok();
        let Some(there) = path.ancestors().find(is_there) else {
            return Ok(());
        };
        let real = |path: &Path| fs::canonicalize(or_here(path)).ok();
        match (real(&self.root), real(there)) {
            (Some(root), Some(real)) if real.starts_with(&root) => Ok(()),
            _ => Err(outside(path)),
        }
    }
}

impl Language {
    /// As it is written in the project file and on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Javascript => "javascript",
            Self::C => "c",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether this can be the name of a policy: what the contract calls kebab-case, and a name that every
/// language's package manager takes.
pub(crate) fn check_name(name: &str) -> Result<(), Fault> {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit())
    };
    let begins_with_letter = name.starts_with(|first: char| first.is_ascii_lowercase());
    if begins_with_letter && name.len() <= MAX_NAME && name.split('-').all(is_word) {
        return Ok(());
    }
    Err(Fault::new(
        format!("`{}` is no name for a policy", name.escape_debug()),
        format!(
            "use lower-case letters and digits, with `-` between words, at most {MAX_NAME}, such as `partners-eu`"
        ),
    ))
}

/// The folder that is meant where a path says nothing.
fn or_here(path: &Path) -> &Path {
    match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    }
}

/// The text of the path stays inside the project.
fn is_inside(path: &Path) -> bool {
    let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    path.components().all(stays)
}

fn check_inside(path: &Path) -> Result<(), Fault> {
    match is_inside(path) {
        true => Ok(()),
        false => Err(outside(path)),
    }
}

fn outside(path: &Path) -> Fault {
    Fault::new(
        format!("`{}` is not inside the project", path.display()),
        "put what the project file names into the project, or name it on the command line",
    )
}

/// `build` replaces this file: it stays inside the project.
fn check_component(path: &Path) -> Result<(), Fault> {
    if is_inside(path) && path.extension().is_some_and(|end| end == "wasm") {
        return Ok(());
    }
    Err(Fault::new(
        format!("`component` is `{}`", path.display()),
        "name a file inside the project that ends in `.wasm`",
    ))
}

fn read(file: &Path) -> anyhow::Result<String> {
    let opened = files::regular(file).map_err(|error| no_project(file, error))?;
    let mut text = String::new();
    let read = opened.take(MAX_FILE + 1).read_to_string(&mut text);
    if read.with_context(|| cannot_read(file))? as u64 > MAX_FILE {
        let message = format!("`{}` is longer than {} KiB", file.display(), MAX_FILE >> 10);
        return Err(Fault::new(message, "a project file of this size is a mistake").into());
    }
    Ok(text)
}

fn no_project(file: &Path, error: anyhow::Error) -> anyhow::Error {
    let cause = error.downcast_ref().map(io::Error::kind);
    if cause != Some(io::ErrorKind::NotFound) {
        return error;
    }
    Fault::new(
        format!("there is no `{}`", file.display()),
        "name the folder of a project, or begin one with `pinfold policy new NAME --language LANGUAGE`",
    )
    .into()
}

/// The files with vectors in a folder, in the order of their names.
pub(crate) fn vectors_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| cannot_read(folder))?;
    for entry in entries {
        let path = entry.with_context(|| cannot_read(folder))?.path();
        let end = path.extension().and_then(|end| end.to_str());
        if path.is_file() && end.is_some_and(|end| VECTOR_ENDS.contains(&end)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read `{}`", path.display())
}

/// The most files with vectors of one project.
pub(crate) const MAX_VECTOR_FILES: usize = 1000;

/// The longest project file, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The longest name of a policy, in octets, by the contract.
const MAX_NAME: usize = 64;

/// What the names of files with vectors end in.
const VECTOR_ENDS: [&str; 3] = ["json", "jsonl", "toml"];

#[cfg(test)]
pub(crate) mod testing {
    //! A project to test with.

    use super::*;

    /// One in C, in this folder.
    pub(crate) fn project(folder: &Path) -> Project {
        let text = "[policy]\nname = \"a\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\n";
        fs::write(folder.join(Project::FILE), text).unwrap();
        Project::find(folder).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [policy]
        name = "partners"
        language = "rust"
        component = "partners.wasm"
        settings = "settings.example.toml"
        vectors = ["tests", "more.jsonl"]
        codes = ["https-required"]

        [budget]
        fuel = 30000
    "#;

    fn project(text: &str) -> (tempfile::TempDir, anyhow::Result<Project>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(Project::FILE), text).unwrap();
        let found = Project::find(dir.path());
        (dir, found)
    }

    #[test]
    fn a_project_is_what_its_file_says() {
        let (dir, found) = project(GOOD);
        let found = found.unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(found.root, dir.path());
        assert_eq!(
            (found.name.as_str(), found.language),
            ("partners", Language::Rust)
        );
        assert_eq!(found.component, at("partners.wasm"));
        assert_eq!(found.settings, Some(at("settings.example.toml")));
        assert_eq!(found.codes, Some(vec!["https-required".into()]));
        assert_eq!(
            (found.budget.fuel, found.budget.size_kib),
            (Some(30000), None)
        );
        assert!(Project::find(&at(Project::FILE)).is_ok());
    }

    #[test]
    fn vectors_are_files_and_what_lies_in_folders() {
        let (dir, found) = project(GOOD);
        let found = found.unwrap();
        let missing = found.vector_files().unwrap_err();
        assert!(missing.to_string().contains("tests"), "{missing}");
        fs::create_dir(dir.path().join("tests")).unwrap();
        for name in ["tests/b.toml", "tests/a.jsonl", "tests/c.txt", "more.jsonl"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let files =
            ["tests/a.jsonl", "tests/b.toml", "more.jsonl"].map(|name| dir.path().join(name));
        assert_eq!(found.vector_files().unwrap(), files);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_a_suggestion() {
        for (row, from, to, said) in [
            (
                "a typo",
                "component =",
                "componet =",
                "did you mean `component`?",
            ),
            (
                "an unknown table",
                "[budget]",
                "[buget]",
                "did you mean `budget`?",
            ),
            (
                "a language",
                "\"rust\"",
                "\"ruby\"",
                "unknown variant `ruby`",
            ),
            (
                "a name",
                "\"partners\"",
                "\"Partners\"",
                "is no name for a policy",
            ),
            (
                "upwards",
                "\"partners.wasm\"",
                "\"../p.wasm\"",
                "inside the project",
            ),
            (
                "absolute",
                "\"partners.wasm\"",
                "\"/p.wasm\"",
                "inside the project",
            ),
            (
                "another file",
                "\"partners.wasm\"",
                "\"lib.rs\"",
                "inside the project",
            ),
            (
                "settings upwards",
                "\"settings.example.toml\"",
                "\"../x.toml\"",
                "`../x.toml` is not inside the project",
            ),
            (
                "absolute vectors",
                "\"tests\"",
                "\"/etc\"",
                "`/etc` is not inside the project",
            ),
            ("a negative budget", "30000", "-1", "fuel = -1"),
        ] {
            let (_dir, found) = project(&GOOD.replacen(from, to, 1));
            let error = found.unwrap_err();
            let hint = error.downcast_ref::<Fault>().map_or("", Fault::hint);
            let text = format!("{error:#}\n{hint}");
            assert!(text.contains(said), "{row}: {text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn no_link_leads_out_of_the_project() {
        use std::os::unix::fs::symlink;

        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("secret.toml"), "x").unwrap();
        let component = GOOD.replacen("\"partners.wasm\"", "\"out/deep/p.wasm\"", 1);
        for (row, text, link, to) in [
            ("the component's folder", component.as_str(), "out", ""),
            ("the component", GOOD, "partners.wasm", "secret.toml"),
            ("settings", GOOD, "settings.example.toml", "secret.toml"),
            ("a folder of vectors", GOOD, "tests", ""),
            ("a file of vectors", GOOD, "more.jsonl", "secret.toml"),
            ("a file in a folder", GOOD, "tests/a.toml", "secret.toml"),
        ] {
            let (dir, found) = project(text);
            assert!(found.is_ok(), "{row}");
            if link != "tests" {
                fs::create_dir(dir.path().join("tests")).unwrap();
            }
            if link != "more.jsonl" {
                fs::write(dir.path().join("more.jsonl"), "").unwrap();
            }
            symlink(elsewhere.path().join(to), dir.path().join(link)).unwrap();
            let found = Project::find(dir.path()).and_then(|found| found.vector_files());
            let error = format!("{:#}", found.unwrap_err());
            assert!(
                error.contains("is not inside the project"),
                "{row}: {error}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_within_the_project_is_followed_and_a_pipe_is_not_waited_for() {
        use std::os::unix::fs::symlink;

        let (dir, found) = project(GOOD);
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/a.toml"), "").unwrap();
        symlink("real", dir.path().join("tests")).unwrap();
        symlink("real/a.toml", dir.path().join("more.jsonl")).unwrap();
        assert_eq!(found.unwrap().vector_files().unwrap().len(), 2);

        let pipes = tempfile::tempdir().unwrap();
        for (name, text) in [(Project::FILE, None), ("partners.wasm", Some(GOOD))] {
            files::testing::pipe(&pipes.path().join(name));
            if let Some(text) = text {
                fs::remove_file(pipes.path().join(Project::FILE)).unwrap();
                fs::write(pipes.path().join(Project::FILE), text).unwrap();
            }
            let error = format!("{:#}", Project::find(pipes.path()).unwrap_err());
            assert!(error.ends_with("is not a regular file"), "{name}: {error}");
        }
    }

    #[test]
    fn names_are_kebab_case() {
        for (name, good) in [
            ("partners", true),
            ("partners-eu2", true),
            ("a", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a--b", false),
            ("2a", false),
            ("Partners", false),
            ("../evil", false),
            ("a_b", false),
            ("a\"b", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        assert!(check_name(&"a".repeat(MAX_NAME)).is_ok());
        assert!(check_name(&"a".repeat(MAX_NAME + 1)).is_err());
    }
}
