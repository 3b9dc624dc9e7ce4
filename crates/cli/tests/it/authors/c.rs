//! A policy in C.

use std::fs;

use super::{Author, answers_like_the_others, is_reproducible, is_whole};
use crate::support::{show, told};

#[test]
fn a_new_policy_in_c_is_whole() {
    let author = Author::new();
    let project = author.begin("zebra-c", &["--language", "c"]);
    is_whole(&author, &project, "zebra-c");
    answers_like_the_others(&author, &project);
    is_reproducible(&author, &project, "zebra-c", &["--language", "c"]);
}

/// The support files are tested where they run. What is wrong is a problem of the settings.
#[test]
fn the_support_files_read_any_json() {
    let author = Author::new();
    let project = author.begin("json", &["--language", "c"]);
    fs::write(project.join("policy.c"), include_str!("json.c")).unwrap();
    fs::write(project.join("settings.schema.json"), "{}").unwrap();
    author.build(&project);
    for (settings, code, said) in [
        (r#"{"fail": false}"#, 0, ""),
        (r#"{"fail": true}"#, 2, "asked to fail"),
    ] {
        fs::write(project.join("settings.json"), settings).unwrap();
        let output = author.run_in(
            &project,
            &[
                "check",
                "--policy",
                "json.wasm",
                "--settings",
                "settings.json",
                "http://93.184.216.34/",
            ],
        );
        assert_eq!(output.status.code(), Some(code), "{}", show(&output));
        assert!(told(&output).contains(said), "{}", show(&output));
        let problems = told(&output)
            .lines()
            .filter(|line| line.starts_with("  `"))
            .count();
        assert_eq!(problems, usize::from(code != 0), "{}", show(&output));
    }
}

#[test]
fn a_missing_compiler_is_named_with_how_it_is_installed() {
    let author = Author::new();
    let project = author.begin("zebra-c", &["--language", "c"]);
    let mut command = crate::support::pinfold(["policy", "build"]);
    // A folder without any program.
    command.env("PATH", author.dir.path()).current_dir(&project);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    let told = told(&output);
    assert!(told.starts_with("error: `wasm-ld` is missing\n"), "{told}");
    assert!(told.contains("\n\nhint: install it with `"), "{told}");
}

#[test]
fn what_does_not_compile_is_said_by_the_compiler_and_leaves_the_last_component() {
    let author = Author::new();
    let project = author.begin("zebra-c", &["--language", "c"]);
    author.build(&project);
    let component = project.join("zebra-c.wasm");
    let before = fs::read(&component).unwrap();
    fs::write(
        project.join("broken.c"),
        "int broken(void) { return nothing; }\n",
    )
    .unwrap();
    let output = author.run_in(&project, &["policy", "build"]);
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    let told = told(&output);
    assert!(told.contains("broken.c:1:"), "{told}");
    assert!(told.contains("error: `clang` failed"), "{told}");
    assert_eq!(fs::read(&component).unwrap(), before);
}
