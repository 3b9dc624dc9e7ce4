//! The bindings in `src/bindings.rs` are generated ahead of time; here they are held against `wit/`, as
//! are the types that a policy author sees.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, path::Path};

use pinfold_policy::addr::{Class, Embedding};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{PackageId, Resolve, TypeDefKind};

/// The world that the bindings say a component of theirs has, as text.
#[test]
fn the_bindings_are_those_of_the_contract() {
    let DecodedWasm::WitPackage(resolve, package) =
        wit_component::decode(&embedded_type()).unwrap()
    else {
        panic!("the section holds no package");
    };
    let (contract, contract_package) = contract();
    assert_eq!(
        print(&resolve, package),
        print(&contract, contract_package),
        "`wit/` has changed: make `guest/sdk/src/bindings.rs` again, as its first lines say"
    );
}

#[test]
fn classes_and_embeddings_are_those_of_the_contract() {
    let enums = enums();
    let classes: Vec<_> = Class::ALL
        .iter()
        .map(|class| class.as_str().to_owned())
        .collect();
    let forms: Vec<_> = Embedding::ALL
        .iter()
        .map(|form| form.as_str().to_owned())
        .collect();
    assert_eq!(enums["address-class"], classes);
    assert_eq!(enums["embedding"], forms);
}

/// The guide shows the example that is compiled and run with the documentation of the crate.
#[test]
fn the_guide_shows_the_example_that_runs() {
    let guide = include_str!("../../../docs/policies.md");
    let shown = guide.split("```rust\n").nth(1).expect("an example");
    let (shown, _) = shown.split_once("```").expect("its end");
    let documented: String = include_str!("../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n")
        .collect();
    assert!(documented.contains(shown), "they differ: {shown}");
}

#[test]
fn the_guide_names_the_encoder_that_is_used_here() {
    let manifest = include_str!("../../../Cargo.toml");
    let version = manifest.split("wit-component = \"").nth(1);
    let version = version
        .and_then(|rest| rest.split('"').next())
        .expect("a version");
    let guide = include_str!("../../../docs/policies.md");
    assert!(
        guide.contains(&format!("`wit-component`, version {version}")),
        "{version}"
    );
}

/// `__WIT_BINDGEN_COMPONENT_TYPE` of the `export!` macro exists on wasm32 only, so it is read as text.
fn embedded_type() -> Vec<u8> {
    let source = include_str!("../src/bindings.rs");
    let exports = source
        .split("policy:imports and exports")
        .nth(1)
        .expect("the exported section");
    let literal = exports.split("b\"").nth(1).expect("its bytes");
    unescape(literal)
}

/// Reads a byte string literal up to its closing quote.
fn unescape(literal: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = literal.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' => return bytes,
            '\\' => match rest.next().expect("an escape") {
                '\n' => while rest.next_if(char::is_ascii_whitespace).is_some() {},
                'x' => {
                    let digits: String = rest.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
                }
                '0' => bytes.push(0),
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                'r' => bytes.push(b'\r'),
                other => bytes.push(u8::try_from(other).expect("ASCII")),
            },
            other => bytes.push(u8::try_from(other).expect("ASCII")),
        }
    }
    panic!("the literal does not end")
}

fn contract() -> (Resolve, PackageId) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder).expect("the contract parses");
    (resolve, package)
}

/// The package as text, interface by interface in the order of their names.
fn print(resolve: &Resolve, package: PackageId) -> Vec<String> {
    let mut printer = WitPrinter::default();
    printer.emit_docs(false);
    printer
        .print(resolve, package, &[])
        .expect("a package prints");
    let text = printer.output.to_string();
    let (_, text) = text
        .split_once(";\n\n")
        .expect("the name of the package comes first");
    let mut items: Vec<_> = text
        .split("\n}\n")
        .map(|item| item.trim().to_owned())
        .collect();
    items.sort();
    items
}

fn enums() -> BTreeMap<String, Vec<String>> {
    let (resolve, _) = contract();
    let cases = |kind: &TypeDefKind| match kind {
        TypeDefKind::Enum(cases) => {
            Some(cases.cases.iter().map(|case| case.name.clone()).collect())
        }
        _ => None,
    };
    resolve
        .types
        .iter()
        .filter_map(|(_, ty)| Some((ty.name.clone()?, cases(&ty.kind)?)))
        .collect()
}
