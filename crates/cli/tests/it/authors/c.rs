//! A policy in C.

use std::fs;

use insta::assert_snapshot;

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

#[test]
fn a_new_project_says_how_to_go_on_and_what_it_does_not_take() {
    let author = Author::new();
    let new = |args: &[&str]| show(&author.run(&[&["policy", "new"], args].concat()));
    assert_snapshot!(new(&["zebra-c", "--language", "c"]), @"
    exit: 0
    --- stderr
    wrote 19 files to `zebra-c`

    next:
      cd zebra-c
      apt-get install clang lld  once: the compiler
      pinfold policy build       makes the component
      pinfold policy test        holds it to its vectors
      pinfold policy bench       says what a decision costs

    `README.md` says what is what, and how to go on
    ");
    assert_snapshot!(new(&["zebra-c", "--language", "c"]), @"
    exit: 2
    --- stderr
    error: `zebra-c` is there and not empty

    hint: name another folder with `--dir`; nothing is overwritten
    ");
    assert_snapshot!(new(&["../zebra", "--language", "c"]), @"
    exit: 2
    --- stderr
    error: `../zebra` is no name for a policy

    hint: use lower-case letters and digits, with `-` between words, at most 64, such as `partners-eu`
    ");
    assert_snapshot!(new(&["zebra", "--from", "egress", "--language", "c"]), @"
    exit: 2
    --- stderr
    error: the shipped policy is written in Rust, not in c

    hint: leave out `--language`
    ");
    assert_eq!(
        author.run(&["policy", "new", "zebra"]).status.code(),
        Some(2)
    );
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

#[test]
fn a_policy_that_does_not_answer_has_no_cost() {
    let author = Author::new();
    let project = author.begin("zebra-c", &["--language", "c"]);
    let source = project.join("policy.c");
    let good = fs::read_to_string(&source).unwrap();
    let begin = "policy_check_target(const pf_request *request) {";
    assert!(good.contains(begin));
    let traps = format!("{begin}\n  if (!is_partner(request)) __builtin_trap();");
    fs::write(&source, good.replacen(begin, &traps, 1)).unwrap();
    author.build(&project);
    let report = project.join("report.json");
    let words = ["policy", "bench", "--samples", "0", "--save", "report.json"];
    let output = author.run_in(&project, &words);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    let said = told(&output);
    assert!(
        said.contains("refused: the policy does not answer `"),
        "{said}"
    );
    assert!(said.contains("policy-trapped: "), "{said}");
    assert!(!report.exists() && output.stdout.is_empty());
}

/// What a hostile project tries: names that are options of the compiler, and a component elsewhere.
#[test]
fn a_project_in_c_runs_nothing_and_writes_nowhere_else() {
    let author = Author::new();
    let project = author.begin("zebra-c", &["--language", "c"]);
    for name in ["@response.c", "-fplugin=evil.c"] {
        let file = project.join(name);
        fs::write(&file, "-fplugin=./evil.so").unwrap();
        let output = author.run_in(&project, &["policy", "build"]);
        assert_eq!(output.status.code(), Some(2), "{}", show(&output));
        assert!(
            told(&output).contains("is no name for a file of C"),
            "{}",
            show(&output)
        );
        fs::remove_file(file).unwrap();
    }
    let elsewhere = author.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, project.join("out")).unwrap();
    let manifest = project.join("pinfold.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace("\"zebra-c.wasm\"", "\"out/zebra-c.wasm\""),
    )
    .unwrap();
    let output = author.run_in(&project, &["policy", "build"]);
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    assert!(
        told(&output).contains("is not inside the project"),
        "{}",
        show(&output)
    );
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
}
