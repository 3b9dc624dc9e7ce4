//! `pinfold inspect`.

use insta::assert_snapshot;

use crate::support::{run, shown, told};

#[test]
fn the_shipped_policy_imports_nothing() {
    let output = run(["inspect", "--json"]);
    let inspection: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let size = format!("{} bytes", inspection["size"]);
    let text = shown(&["inspect"]).replace(&size, "[SIZE]");
    // The settings, and what is said of them, are the policy's to change.
    let (head, settings) = text.split_once("settings  ").unwrap();
    assert_snapshot!(head, @r#"
    exit: 0
    --- stdout
    digest    sha256:[DIGEST]
    size      [SIZE]
    world     pinfold:policy/policy@0.1.0
    imports   none: it can reach nothing
    exports   pinfold:policy/settings@0.1.0#describe
              pinfold:policy/settings@0.1.0#configure
              pinfold:policy/decide@0.1.0#check-target
              pinfold:policy/decide@0.1.0#check-addresses
    name      egress 0.1.0
    summary   public addresses only, every rule a typed setting
    "#);
    let schema = &inspection["description"]["settings_schema"]["properties"];
    let names = settings
        .lines()
        .map(|line| line.split_whitespace().next().unwrap());
    assert!(names.eq(schema.as_object().unwrap().keys()), "{settings}");
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
    let error = told(&output);
    assert!(
        error.starts_with(&format!("error: cannot inspect `{}`\n", file.display()))
            && error.contains("\n\nhint: "),
        "{error}"
    );
}

/// The smallest component there is: it imports nothing, and it is no policy.
#[test]
fn what_would_not_be_loaded_is_shown_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.wasm");
    std::fs::write(&file, b"\0asm\x0d\0\x01\0").unwrap();
    let output = run(["inspect".as_ref(), file.as_os_str()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let labels = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let labels = labels.collect::<Vec<_>>();
    assert_eq!(
        labels,
        ["digest", "size", "world", "imports", "fault", "says"]
    );
    assert!(text.contains("none that this host accepts"), "{text}");

    let schema = run(["inspect".as_ref(), "--schema".as_ref(), file.as_os_str()]);
    assert_eq!(schema.status.code(), Some(2));
    assert!(told(&schema).contains("so it has no settings schema"));
}

/// What one verb compiled, the other goes on with.
#[cfg(unix)]
#[test]
fn what_was_compiled_to_inspect_is_kept_for_other_verbs() {
    let parent = tempfile::tempdir().unwrap();
    let cache = parent.path().join("cache");
    let entries = || {
        let files = std::fs::read_dir(&cache).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".code")).count()
    };
    for (name, verb, expected) in [
        ("inspected", &["inspect"][..], 1),
        ("again", &["inspect"], 1),
        (
            "loaded",
            &[
                "check",
                "https://example.com/",
                "--resolve",
                "example.com=93.184.216.34",
            ],
            2,
        ),
    ] {
        let args = verb.iter().map(AsRef::as_ref);
        let output = run(args.chain(["--cache".as_ref(), cache.as_os_str()]));
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        assert_eq!(entries(), expected, "{name}");
    }
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, "").unwrap();
    let output = run(["inspect".as_ref(), "--cache".as_ref(), cache.as_os_str()]);
    assert_eq!(output.status.code(), Some(2), "no directory");
}
