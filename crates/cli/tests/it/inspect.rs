//! `pinfold inspect`.

use insta::assert_snapshot;

use crate::support::{run, shown};

#[test]
fn the_shipped_policy_imports_nothing() {
    assert_snapshot!(shown(&["inspect"]), @"");
}

#[test]
fn the_schema_alone_is_json_schema() {
    let output = run(["inspect", "--schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"].is_object(), "{schema}");
    assert!(output.stderr.is_empty());
}

#[test]
fn json_holds_what_the_text_shows() {
    let output = run(["inspect", "--json"]);
    let inspection: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(inspection["digest"].as_str().map(str::len), Some(64));
    assert_eq!(inspection["imports"], serde_json::json!([]));
    assert_eq!(inspection["description"]["name"], "egress");
}

#[test]
fn a_file_that_is_no_component_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.wasm");
    std::fs::write(&file, "not wasm").unwrap();
    let output = run(["inspect".as_ref(), file.as_os_str()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.starts_with("error: ") && error.contains("\n\nhint: "),
        "{error}"
    );
}
