//! `pinfold inspect`.

use insta::assert_snapshot;

use crate::support::{run, shown};

#[test]
fn the_shipped_policy_imports_nothing() {
    assert_snapshot!(shown(&["inspect"]), @r#"
    exit: 0
    --- stdout
    digest    sha256:[DIGEST]
    size      382452 bytes
    world     pinfold:policy/policy@0.1.0
    imports   none: it can reach nothing
    exports   pinfold:policy/settings@0.1.0#describe
              pinfold:policy/settings@0.1.0#configure
              pinfold:policy/decide@0.1.0#check-target
              pinfold:policy/decide@0.1.0#check-addresses
    name      egress 0.1.0
    summary   public addresses only, every rule a typed setting
    settings  check_chain      Whether the aliases that an answer came through are held against `hosts.deny` and the metadata names as well
              hosts            Names by pattern
              ip_literals      Address literals in place of a name
              limits           What an allowed request must obey
              literals         An address literal that is not written canonically (`0x7f.1`, `2130706433`): `deny` refuses it, `normalise` judges the address that the URL standard reads
              mixed_answers    A name of which one address is refused: `deny` refuses all of them, `filter` allows the others
              names            Exceptions for names that are otherwise refused before any lookup
              networks         Addresses by network
              ports            Ports that may be dialled: numbers, and ranges with both ends included
              schemes          Schemes that may be fetched
              special_global   Addresses that are registered for a special purpose and yet globally reachable (AS112, AMT, anycast of protocols)
              subjects         Rules for some of those who ask
              unknown_subject  Whoever is in no `match`, and whoever does not say who asks: `allow` judges by the rules of the document, `deny` refuses
              userinfo         A URL with `user:password@`: `deny` refuses it, `drop` judges the rest; it is never sent
              wrapped          IPv6 addresses that carry IPv4 (mapped, NAT64, 6to4, Teredo and others): `deny` refuses them, `judge` judges the IPv4 address inside by the same rules
    "#);
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
