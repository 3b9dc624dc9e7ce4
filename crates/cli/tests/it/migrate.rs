//! `pinfold migrate smokescreen`: what the settings that it writes decide, case by case, beside what was decided
//! there; and that the gateway reads the configuration that it writes.
//!
//! The cases are data (`tests/vectors/smokescreen/cases.jsonl`): `there` is what the other proxy does, `difference`
//! explains each case that is meant to end otherwise. Without one, a case must end as there.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{json_lines, pinfold, run, show, vectors};

/// Translates the files of the vectors into `folder`.
fn migrated(folder: &Path) -> std::path::PathBuf {
    let dir = folder.join("gateway");
    let files = ["acl.yaml", "config.yaml"].map(|file| vectors("smokescreen").join(file));
    let output = pinfold(["migrate", "smokescreen"])
        .args(files)
        .arg("--dir")
        .arg(&dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", show(&output));
    dir
}

#[test]
fn what_was_decided_there_is_decided_here_or_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let dir = migrated(folder.path());
    let cases = vectors("smokescreen/cases.jsonl");
    let output = pinfold(["check", "--grant", "127.0.1.0/24", "--settings"])
        .arg(dir.join("settings.toml"))
        .arg("--batch")
        .arg(&cases)
        .output()
        .unwrap();
    let judged = json_lines(&output);
    let cases: Vec<Value> = fs::read_to_string(cases)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(judged.len(), cases.len());
    for (case, judged) in cases.iter().zip(&judged) {
        assert!(is_expected(&case["expect"], judged), "{case}\n{judged}");
        let refused_there = case["there"] == "deny";
        let refused_here = judged["verdict"] != "allow";
        let same = refused_there == refused_here;
        assert!(
            same || case["difference"].is_string(),
            "unexplained: {case}"
        );
    }
}

/// A verdict, or an object with the verdict and what else is said of it.
fn is_expected(expect: &Value, judged: &Value) -> bool {
    let Value::Object(expect) = expect else {
        return *expect == judged["verdict"];
    };
    expect.iter().all(|(key, value)| match key.as_str() {
        "addresses" => {
            let verdicts = judged["addresses"].as_array().unwrap().iter();
            verdicts
                .map(|address| &address["verdict"])
                .eq(value.as_array().unwrap())
        }
        key => *value == judged[key],
    })
}

#[test]
fn the_gateway_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = migrated(folder.path());
    let output = pinfold(["serve", "--check"])
        .arg(dir.join("pinfold.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", show(&output));
}

#[test]
fn nothing_is_overwritten_and_nothing_else_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = migrated(folder.path());
    let acl = vectors("smokescreen/acl.yaml");
    let again = pinfold(["migrate", "smokescreen"])
        .arg(&acl)
        .arg("--dir")
        .arg(&dir)
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(2), "{}", show(&again));

    let other = folder.path().join("other.yaml");
    fs::write(&other, "services: {}\n").unwrap();
    let output = run(["migrate", "smokescreen", &other.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
}

/// The last lines say what is to be done first.
#[test]
fn what_is_looser_is_counted_and_what_is_not_ready_is_said_last() {
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("acl.yaml");
    let reported = "global_deny_list: [evil.example]\nservices:\n  - {name: old, action: report, allowed_domains: [a.example]}\n";
    fs::write(&acl, reported).unwrap();
    let dir = folder.path().join("gateway");
    let migrate = |dir: &Path| {
        pinfold(["migrate", "smokescreen"])
            .arg(&acl)
            .arg("--dir")
            .arg(dir)
            .output()
            .unwrap()
    };
    let output = migrate(&dir);
    let said = String::from_utf8(output.stderr).unwrap();
    let last: Vec<_> = said.lines().rev().take(2).collect();
    assert_eq!(
        last,
        [
            "not ready: choose who asks in [listener.identity]",
            "16 differences, 1 looser: read it first"
        ]
    );
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.starts_with("looser   "), "{listed}");

    // What is missing is one line, which the file has ready.
    let file = dir.join("pinfold.toml");
    let check = || pinfold(["serve", "--check"]).arg(&file).output().unwrap();
    assert_eq!(check().status.code(), Some(2));
    let text = fs::read_to_string(&file).unwrap();
    let chosen = text.replace("# networks = {", "networks = {");
    assert!(chosen.contains("\nnetworks = { \"10.0.0.0/8\" = \"old\" }\n"));
    fs::write(&file, chosen).unwrap();
    assert!(check().status.success(), "{}", show(&check()));
}
