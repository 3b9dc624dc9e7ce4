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
