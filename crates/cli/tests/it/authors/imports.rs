//! A policy imports nothing. One that does is refused by its import's name, by whatever looks at it.

use std::{fs, path::Path};

use wasm_encoder::{
    ComponentBuilder, ComponentTypeRef, ComponentValType, InstanceType, PrimitiveValType,
};

use super::Author;
use crate::support::{show, told};

const CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.0";

/// In C, because there an import is one line. Rust's go the same way.
const IMPORTED: &str = r#"
__attribute__((import_module("wasi:clocks/monotonic-clock@0.2.0"), import_name("now"))) unsigned long long now(void);
__attribute__((import_module("env"), import_name("log"))) void log_(int);
"#;

#[test]
fn build_refuses_imports_by_name_and_keeps_the_last_good_component() {
    let author = Author::new();
    let project = author.begin("zebra-c", &["--language", "c"]);
    author.build(&project);
    let component = project.join("zebra-c.wasm");
    let before = fs::read(&component).unwrap();

    let source = project.join("policy.c");
    let policy = fs::read_to_string(&source).unwrap();
    let policy = policy.replace(
        "static bool is_partner(const pf_request *request) {\n",
        "static bool is_partner(const pf_request *request) {\n  log_((int)now());\n",
    );
    fs::write(&source, IMPORTED.to_owned() + &policy).unwrap();
    let output = author.run_in(&project, &["policy", "build"]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    insta::assert_snapshot!(show(&output), @"
    exit: 1
    --- stderr
    refused: the policy has 2 imports, and a policy imports nothing
      wasi:clocks/monotonic-clock@0.2.0#now
      env#log
    `zebra-c.wasm` stays as it was

    hint: define the function in the project, or do without it
    ");
    assert_eq!(fs::read(&component).unwrap(), before);
}

/// A component that was built elsewhere.
#[test]
fn every_verb_refuses_a_component_that_imports_by_the_name_of_the_import() {
    let author = Author::new();
    let component = author.dir.path().join("clock.wasm");
    fs::write(&component, with_a_clock()).unwrap();
    let component = component.to_str().unwrap();
    let vectors = author.dir.path().join("vectors.toml");
    fs::write(
        &vectors,
        "[settings]\n[[case]]\nname = \"a\"\nurl = \"https://a.example/\"\nexpect = \"deny\"\n",
    )
    .unwrap();
    let vectors = vectors.to_str().unwrap();

    let inspected = author.run(&["inspect", "--json", component]);
    let inspection: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(
        inspection["imports"],
        serde_json::json!([format!("{CLOCK}#now")])
    );
    assert!(inspection["description"].is_null(), "{inspection}");

    for words in [
        &["check", "--policy", component, "https://a.example/"][..],
        &["policy", "test", component, "--vectors", vectors],
        &["policy", "bench", component, "--vectors", vectors],
    ] {
        let output = author.run(words);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            show(&output)
        );
        assert!(
            told(&output).contains(&format!("`{CLOCK}#now`")),
            "{words:?}: {}",
            show(&output)
        );
    }
    assert!(Path::new(component).exists());
}

/// A component that imports one function of one interface.
fn with_a_clock() -> Vec<u8> {
    let mut clock = InstanceType::new();
    clock
        .ty()
        .function()
        .params([] as [(&str, ComponentValType); 0])
        .result(Some(PrimitiveValType::U64.into()));
    clock.export("now", ComponentTypeRef::Func(0));
    let mut component = ComponentBuilder::default();
    let clock = component.type_instance(None, &clock);
    component.import(CLOCK, ComponentTypeRef::Instance(clock));
    component.finish()
}
