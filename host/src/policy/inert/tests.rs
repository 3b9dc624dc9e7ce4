//! What is granted, to whom, and what a policy hears of it.

use pinfold_addr::{Class, Target};
use serde_json::json;

use super::*;
use crate::{
    Denial, JudgedAddress, Limits, Request, Terms,
    policy::{
        Evaluator, LoadError, LoadOptions, Meter, Source, inspect,
        limits::INERT_HANDLES,
        tests::guests::{self, Expect},
    },
};

fn limits() -> Limits {
    Limits {
        policy_instances: 64,
        ..Limits::default()
    }
}

fn fixture(name: &str) -> Source {
    Source::Bytes(guests::component(name).into())
}

fn load(name: &str, granted: bool) -> Result<Evaluator, LoadError> {
    let options = LoadOptions::new().inert_wasi(granted);
    Evaluator::load_with(fixture(name), json!({}), &limits(), &options)
}

fn decide(policy: &Evaluator) -> Result<(Terms, Vec<Option<Denial>>), Denial> {
    let mut evaluation = policy.start()?;
    let request = Request::new(Target::parse("https://example.com/").unwrap());
    let answer = JudgedAddress {
        address: "192.0.2.1".parse().unwrap(),
        class: Class::Public,
        embedded: vec![],
        granted: false,
        denial: None,
    };
    let terms = evaluation.check_target(&request)?;
    let verdicts = evaluation.check_addresses(&request, &[], &[answer])?;
    Ok((terms, verdicts))
}

fn granted() -> impl Iterator<Item = (String, Expect)> {
    let outcome = |(name, _): (String, Expect)| {
        let outcome = guests::granted(&name)?;
        Some((name, outcome))
    };
    guests::all().into_iter().filter_map(outcome)
}

#[test]
fn what_is_granted_ends_as_its_fixture_says() {
    assert!(granted().count() > 4);
    for (name, expect) in granted() {
        let loaded = load(&name, true);
        match expect {
            Expect::Load(text) => {
                let error = loaded.expect_err(&name).to_string();
                assert!(error.starts_with(&text), "{name}: {error}");
            }
            Expect::Allow => {
                let policy = loaded.unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(policy.policy().inert_wasi, "{name}: nobody is told");
                // More often than there are spares.
                for _ in 0..40 {
                    assert_eq!(decide(&policy).unwrap().1, [None], "{name}");
                }
            }
            Expect::Target(code) | Expect::Addresses(code) => {
                let policy = loaded.unwrap_or_else(|e| panic!("{name}: {e}"));
                for _ in 0..3 {
                    let denial = decide(&policy).unwrap_err();
                    assert_eq!(denial.code(), code, "{name}: {}", denial.detail());
                }
            }
        }
    }
}

#[test]
fn without_the_grant_each_import_is_named() {
    let Err(LoadError::Imports(imports)) = load("load-import-wasi", false) else {
        panic!("loaded");
    };
    assert!(imports.iter().all(|import| covers(import)), "{imports:?}");
    let now = "wasi:clocks/monotonic-clock@0.2.6#now".to_owned();
    assert!(imports.contains(&now), "{imports:?}");
    let hint = LoadError::Imports(imports).hint();
    assert!(hint.contains("inert WASI"), "{hint}");
    let foreign = LoadError::Imports(vec![now, "secrets#get".into()]);
    assert!(!foreign.hint().contains("inert WASI"));
}

#[test]
fn an_inspection_tells_what_would_be_covered() {
    for (name, covered, all) in [
        ("good", 0, 0),
        ("load-import-wasi-exit", 1, 1),
        ("load-import-wasi-and-more", 2, 3),
    ] {
        let inspection = inspect(&fixture(name)).unwrap();
        assert_eq!(inspection.inert_wasi.len(), covered, "{name}");
        assert_eq!(inspection.imports.len(), all, "{name}");
        assert_eq!(inspection.fault.is_some(), all > 0, "{name}");
    }
}

#[test]
fn the_grant_changes_nothing_for_who_does_not_need_it() {
    let policy = load("good", true).unwrap();
    assert!(!policy.policy().inert_wasi);
    let says = serde_json::to_value(policy.policy()).unwrap();
    assert_eq!(says.get("inert_wasi"), None);
    assert_eq!(decide(&policy).unwrap().1, [None]);
}

#[test]
fn only_wasi_of_the_known_versions_is_covered() {
    for (import, covered) in [
        ("wasi:clocks/monotonic-clock@0.2.0#now", true),
        ("wasi:io/streams@0.2.12#output-stream", true),
        ("wasi:clocks/monotonic-clock@0.3.0#now", false),
        ("wasi:clocks/monotonic-clock@0.20.0#now", false),
        ("wasi:clocks/monotonic-clock#now", false),
        ("not-wasi:clocks/monotonic-clock@0.2.0#now", false),
        ("secrets#wasi:io/poll@0.2.0", false),
        ("and more", false),
    ] {
        assert_eq!(covers(import), covered, "{import}");
    }
}

#[test]
fn it_is_metered_and_kept_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let options = LoadOptions::new()
        .inert_wasi(true)
        .code_cache(dir.path().join("cache"));
    let request = Request::new(Target::parse("https://example.com/").unwrap());
    let measured = || {
        let source = fixture("load-import-wasi");
        let meter = Meter::load_with(source, json!({}), &limits(), &options).unwrap();
        let measured = meter.measure(&request, &[], &[]).unwrap();
        assert_eq!(measured.target, Ok(Terms::default()));
        (measured.fuel_start, measured.fuel_target)
    };
    let first = measured();
    assert!(
        first.0 > 0 && first.1 > 0,
        "it takes its settings each time"
    );
    assert_eq!(first, measured(), "from the cache");
}

#[test]
fn handles_are_counted() {
    let engine = crate::policy::engine::inspecting().unwrap();
    let budget = crate::policy::limits::Budget::of_decision(&limits());
    let mut store = crate::policy::limits::store(&engine, budget);
    let data = store.data_mut();
    (0..INERT_HANDLES).for_each(|_| data.handle_made().unwrap());
    assert!(data.handle_made().is_err());
    data.handle_dropped();
    assert!(data.handle_made().is_ok());
}
