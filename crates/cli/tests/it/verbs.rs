//! The small verbs, and what is true of all.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::support::{pinfold, run, shown};

#[test]
fn help_names_every_verb_and_shows_examples() {
    assert_snapshot!(shown(&["--help"]), @"");
}

#[test]
fn every_verb_has_help_with_examples() {
    for verb in ["check", "fetch", "inspect", "codes", "completions", "man"] {
        let output = run([verb, "--help"]);
        let help = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{verb}");
        assert!(help.contains("Examples:\n  pinfold "), "{verb}: {help}");
    }
}

#[test]
fn a_code_is_explained() {
    assert_snapshot!(shown(&["codes", "answers-mixed", "url-ambiguous"]), @"");
    assert_snapshot!(shown(&["codes", "no-such-code"]), @"");
}

#[test]
fn every_code_is_listed_with_stage_summary_and_hint() {
    let output = run(["codes", "--json"]);
    let codes: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let table = String::from_utf8(run(["codes"]).stdout).unwrap();
    assert!(codes.len() > 50);
    assert_eq!(table.lines().count(), codes.len() * 2);
    for code in codes {
        for field in ["code", "stage", "summary", "hint"] {
            let text = code[field].as_str().unwrap();
            assert!(
                !text.is_empty() && !text.ends_with('.') && !text.contains('\n'),
                "{code}"
            );
        }
        assert!(table.contains(code["code"].as_str().unwrap()));
    }
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("inspect"),
            "{shell}"
        );
    }
}

#[test]
fn manual_pages_are_written_for_each_verb() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("man1");
    let output = run(["man".as_ref(), folder.as_os_str()]);
    assert_eq!(output.status.code(), Some(0));
    for page in [
        "pinfold.1",
        "pinfold-check.1",
        "pinfold-fetch.1",
        "pinfold-inspect.1",
    ] {
        assert!(folder.join(page).is_file(), "{page}");
    }
    assert!(
        String::from_utf8(run(["man"]).stdout)
            .unwrap()
            .starts_with(".ie")
    );
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for args in [
        &["codes"][..],
        &["completions", "bash"],
        &["check", "http://8.8.8.8/"],
        &["man"],
    ] {
        let mut command = pinfold(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), error.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn a_verdict_is_no_other_when_nobody_reads_it() {
    let mut child = pinfold(["check", "http://127.0.0.1/"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
