//! The way of an author, with the real binary and the real compilers: from an empty folder to a component
//! that was built, tested and measured.
//!
//! What a compiler would fetch is there already: it is what the repository itself is built from.

mod c;
mod imports;
mod interpreted;
mod javascript;
mod node;
mod python;
mod rust;

use std::{
    env,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{pinfold, show, vectors};

/// What a compiler finds itself and its home by; everything else of the environment is left out.
const HOMES: [&str; 4] = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"];

/// A folder of its own, in which an author works.
struct Author {
    dir: TempDir,
}

impl Author {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// `pinfold policy new NAME ARGS`, in a folder of this name.
    fn begin(&self, name: &str, args: &[&str]) -> PathBuf {
        self.begin_in(name, name, args)
    }

    fn begin_in(&self, folder: &str, name: &str, args: &[&str]) -> PathBuf {
        let project = self.dir.path().join(folder);
        let mut words = vec!["policy", "new", name, "--dir", project.to_str().unwrap()];
        words.extend(args);
        succeeds(&self.run(&words));
        project
    }

    /// Runs the binary where the author is.
    fn run(&self, args: &[&str]) -> Output {
        self.run_in(self.dir.path(), args)
    }

    fn run_in(&self, folder: &Path, args: &[&str]) -> Output {
        let mut command = pinfold(args);
        let homes = HOMES
            .iter()
            .filter_map(|name| Some((name, env::var_os(name)?)));
        command
            .envs(homes)
            // No test dials anything: what is not there already is a failure.
            .env("CARGO_NET_OFFLINE", "true")
            .current_dir(folder);
        command.output().unwrap()
    }

    /// `pinfold policy build --json`, which must succeed.
    fn build(&self, project: &Path) -> Value {
        self.build_with(project, &[])
    }

    /// The same, with what is compiled to check the component kept in this directory.
    fn build_cached(&self, project: &Path, cache: &Path) -> Value {
        self.build_with(project, &["--cache", cache.to_str().unwrap()])
    }

    fn build_with(&self, project: &Path, args: &[&str]) -> Value {
        let words = [&["policy", "build", "--json"], args].concat();
        let output = self.run_in(project, &words);
        succeeds(&output);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A project does what its README says: it builds, passes its vectors and keeps its budget.
fn is_whole(author: &Author, project: &Path, name: &str) {
    let built = author.build(project);
    assert_eq!(built["name"], name, "{built}");
    assert_eq!(built["imports"], serde_json::json!([]), "{built}");
    assert_eq!(built["world"], "pinfold:policy/policy@0.1.0", "{built}");
    for words in [
        &["policy", "test"][..],
        &["policy", "test", "--pack", "ssrf"],
        &["policy", "bench", "--budget"],
    ] {
        let output = author.run_in(project, words);
        assert!(output.status.success(), "{words:?}: {}", show(&output));
    }
}

/// The example answers the shared vectors as in every other language: verdict, stage, code, message, terms,
/// and the problems of wrong settings.
fn answers_like_the_others(author: &Author, project: &Path) {
    let shared = vectors("partners");
    let words = ["policy", "test", "--vectors", shared.to_str().unwrap()];
    let output = author.run_in(project, &words);
    succeeds(&output);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("85 cases: 85 as expected"), "{said}");
}

/// The same name in another folder gives the same bytes, and no path of this machine is in them.
fn is_reproducible(author: &Author, project: &Path, name: &str, args: &[&str]) {
    let there = author.begin_in("somewhere/else", name, args);
    let (one, other) = (author.build(project), author.build(&there));
    assert_eq!(one["digest"], other["digest"]);
    let bytes = std::fs::read(project.join(format!("{name}.wasm"))).unwrap();
    for path in [Some(author.dir.path().into()), env::home_dir()] {
        let path: PathBuf = path.unwrap();
        let path = path.to_str().unwrap().as_bytes();
        let found = bytes.windows(path.len()).any(|window| window == path);
        assert!(
            !found,
            "the component holds {}",
            String::from_utf8_lossy(path)
        );
    }
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", show(output));
}
