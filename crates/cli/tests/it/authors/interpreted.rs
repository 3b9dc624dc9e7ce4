//! What holds for policies in Python and JavaScript alike: the compiler is in the project's own folder, and
//! compiling what it makes takes long, so that a test does it once for all that it asks.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Output,
};

use super::Author;
use crate::support::{repository, show, told, vectors};

/// A language, and what its project installs.
pub(super) struct Interpreted {
    /// As on the command line; the folder of its example, too.
    pub(super) language: &'static str,
    /// Where the compiler is installed.
    pub(super) into: &'static str,
    /// The compiler, as it is named when it is missing.
    pub(super) compiler: &'static str,
    /// How it is installed, as `build` says. `cargo xtask setup` does just this in the folder of the example.
    pub(super) install: &'static str,
    /// The policy.
    pub(super) source: &'static str,
}

/// Vectors of the four examples that are judged with one set of settings, or refuse them.
const SHARED: [&str; 4] = [
    "targets",
    "addresses",
    "settings-covered",
    "settings-schema",
];

impl Interpreted {
    /// A new project, in which nothing is installed.
    pub(super) fn begin(&self, author: &Author, name: &str) -> PathBuf {
        author.begin(name, &["--language", self.language])
    }

    /// Does what the install command does, without the network.
    pub(super) fn install(&self, project: &Path) {
        let installed = repository()
            .join("guest/examples")
            .join(self.language)
            .join(self.into);
        assert!(
            installed.exists(),
            "{} is not there: run `cargo xtask setup`",
            installed.display()
        );
        symlink(installed.canonicalize().unwrap(), project.join(self.into)).unwrap();
    }

    /// From an empty folder to a component that is built, tested and measured; the example's answers.
    pub(super) fn is_whole(&self) {
        let author = Author::new();
        let project = self.begin(&author, "zebra-2");
        self.names_how_to_install(&author, &project);
        self.install(&project);
        // The same sources make the same component, which is compiled once for all runs of the tests.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies");
        let built = author.build_cached(&project, &cache);
        assert_eq!(built["name"], "zebra-2", "{built}");
        assert_eq!(built["version"], "1.0.0", "{built}");
        assert_eq!(built["imports"], serde_json::json!([]), "{built}");
        let cached = |words: &[&str]| {
            let words = [words, &["--cache", cache.to_str().unwrap()]].concat();
            let output = author.run_in(&project, &words);
            assert!(output.status.success(), "{words:?}: {}", show(&output));
        };
        cached(&["policy", "test"]);
        cached(&["policy", "test", "--pack", "ssrf"]);
        cached(&["policy", "bench", "--budget", "--samples", "0"]);
        // One process for all: what has no place in the cache is compiled once.
        let shared = SHARED.map(|file| vectors(&format!("partners/{file}.json")));
        let mut words = vec!["policy", "test", "zebra-2.wasm"];
        for file in &shared {
            words.extend(["--vectors", file.to_str().unwrap()]);
        }
        cached(&words);
    }

    fn names_how_to_install(&self, author: &Author, project: &Path) {
        let mut command = crate::support::pinfold(["policy", "build"]);
        // Another compiler of the machine does not count here.
        command.env("PATH", author.dir.path()).current_dir(project);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", show(&output));
        let Self {
            compiler, install, ..
        } = self;
        let expected =
            format!("error: `{compiler}` is missing\n\nhint: install it with `{install}`\n");
        assert_eq!(told(&output), expected);
    }

    /// Builds a project in which something of the policy is replaced; that must fail. What is said of it.
    pub(super) fn spoiled(&self, project: &Path, author: &Author, from: &str, to: &str) -> String {
        let file = project.join(self.source);
        let good = fs::read_to_string(&file).unwrap();
        assert!(good.contains(from), "{from}");
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let output = author.run_in(project, &["policy", "build"]);
        fs::write(&file, good).unwrap();
        is_about_the_policy(&output);
        told(&output).to_owned()
    }
}

/// An error, with what to do, and without the compiler's own affairs.
fn is_about_the_policy(output: &Output) {
    assert_eq!(output.status.code(), Some(2), "{}", show(output));
    let told = told(output);
    let end = "\nerror: the policy cannot be built\n\n\
               hint: mend what it says above, then build again\n";
    assert!(told.ends_with(end), "{told}");
    assert!(told.lines().count() < 20, "{told}");
    for noise in ["backtrace", "wizer", "node_modules", "/tmp"] {
        assert!(!told.contains(noise), "{noise}: {told}");
    }
}
