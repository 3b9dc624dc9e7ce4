//! A policy in Rust, the example and the shipped one.

use std::fs;

use super::{Author, answers_like_the_others, is_reproducible, is_whole};
use crate::support::{run, show, told, vectors};

#[test]
fn a_new_policy_in_rust_is_whole() {
    let author = Author::new();
    let project = author.begin("zebra", &["--language", "rust"]);
    is_whole(&author, &project, "zebra");
    answers_like_the_others(&author, &project);
    is_reproducible(&author, &project, "zebra", &["--language", "rust"]);
}

#[test]
fn the_shipped_policy_as_a_project_answers_like_the_shipped_policy() {
    let author = Author::new();
    let project = author.begin("our-egress", &["--from", "egress"]);
    is_whole(&author, &project, "our-egress");
    let component = project.join("our-egress.wasm");
    for file in ["corpus.jsonl", "more.jsonl"] {
        let file = vectors(file);
        let batch = ["check", "--json", "--batch", file.to_str().unwrap()];
        let own = ["--policy", component.to_str().unwrap()];
        assert!(
            verdicts(&batch) == verdicts(&[&batch[..], &own[..]].concat()),
            "{} is judged differently",
            file.display()
        );
    }
}

/// What is decided, without what names the component and the time that it took.
fn verdicts(args: &[&str]) -> Vec<serde_json::Value> {
    let output = run(args);
    let mut lines = crate::support::json_lines(&output);
    assert!(lines.len() > 300, "{}", told(&output));
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("decision");
    }
    lines
}

#[test]
fn a_dependency_that_is_not_locked_is_not_chosen_by_a_build() {
    let author = Author::new();
    let project = author.begin("zebra", &["--language", "rust"]);
    let manifest = project.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let text = text.replace("[dependencies]\n", "[dependencies]\nmemchr = \"2\"\n");
    fs::write(&manifest, text).unwrap();
    let output = author.run_in(&project, &["policy", "build"]);
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    let told = told(&output);
    assert!(told.contains("cargo update --workspace"), "{told}");
}
