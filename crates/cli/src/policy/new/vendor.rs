//! The SDK as part of a project. It is on no registry yet, so its sources are inside this binary, and a
//! project gets a copy that is its own to keep.

use super::File;

/// The sources below `vendor/`.
pub(super) fn files() -> Vec<File> {
    let all = ABOUT.iter().chain(SDK).chain(ADDR);
    all.map(|(path, content)| File {
        path: format!("vendor/{path}"),
        content: (*content).into(),
    })
    .collect()
}

/// A file of the repository, and where it goes.
macro_rules! from {
    ($root:literal, $to:literal, $($path:literal),* $(,)?) => {
        &[$((concat!($to, $path), include_str!(concat!("../../../../../", $root, $path)))),*]
    };
}

type Sources = &'static [(&'static str, &'static str)];

const ABOUT: Sources = &[
    (
        "README.md",
        include_str!("../../../templates/vendor/README.md"),
    ),
    (
        "LICENSE-APACHE",
        include_str!("../../../../../LICENSE-APACHE"),
    ),
    ("LICENSE-MIT", include_str!("../../../../../LICENSE-MIT")),
    (
        "pinfold-addr/Cargo.toml",
        include_str!("../../../templates/vendor/pinfold-addr.toml"),
    ),
    (
        "pinfold-policy/Cargo.toml",
        include_str!("../../../templates/vendor/pinfold-policy.toml"),
    ),
];

const SDK: Sources = from![
    "guest/sdk/",
    "pinfold-policy/",
    "src/bindings.rs",
    "src/glue.rs",
    "src/lib.rs",
    "src/locate.rs",
    "src/pattern.rs",
    "src/settings.rs",
    "src/types.rs",
];

/// Without the URL parser (`target`), which a guest does not need: it is handed parsed targets.
const ADDR: Sources = from![
    "crates/addr/",
    "pinfold-addr/",
    "src/bits.rs",
    "src/class.rs",
    "src/classify.rs",
    "src/embedded.rs",
    "src/lib.rs",
    "src/names.rs",
    "src/networks.rs",
    "src/prefix_map.rs",
    "src/reason.rs",
    "src/registry.rs",
    "src/tables.rs",
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use toml::{Table, Value};

    use super::*;

    fn repository() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    fn table(path: &str) -> Table {
        fs::read_to_string(repository().join(path))
            .unwrap()
            .parse()
            .unwrap()
    }

    #[test]
    fn every_source_comes_along() {
        for (folder, sources, prefix, left_out) in [
            (
                "guest/sdk/src",
                SDK,
                "pinfold-policy/src/",
                &["tests.rs"][..],
            ),
            (
                "crates/addr/src",
                ADDR,
                "pinfold-addr/src/",
                &["target"][..],
            ),
        ] {
            let entries = fs::read_dir(repository().join(folder)).unwrap();
            let there: BTreeSet<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| !left_out.contains(&name.as_str()))
                .collect();
            let here = sources
                .iter()
                .map(|(path, _)| path.strip_prefix(prefix).unwrap());
            assert_eq!(
                here.map(String::from).collect::<BTreeSet<_>>(),
                there,
                "{folder}"
            );
        }
    }

    /// A vendored manifest says by itself what the one of the repository takes from its workspace.
    #[test]
    fn vendored_manifests_are_those_of_the_repository() {
        let workspace = table("Cargo.toml");
        for (folder, optional) in [
            ("guest/sdk", &[][..]),
            ("crates/addr", &["idna", "percent-encoding", "url"]),
        ] {
            let original = table(&format!("{folder}/Cargo.toml"));
            let name = original["package"]["name"].as_str().unwrap();
            let vendored = table(&format!("crates/cli/templates/vendor/{name}.toml"));
            for key in [
                "name",
                "description",
                "version",
                "edition",
                "rust-version",
                "license",
                "publish",
            ] {
                let value = &original["package"][key];
                let inherits = value.get("workspace").is_some();
                let value = if inherits {
                    &workspace["workspace"]["package"][key]
                } else {
                    value
                };
                assert_eq!(&vendored["package"][key], value, "{name}: {key}");
            }
            let mut expected = Table::new();
            for (key, value) in original["dependencies"].as_table().unwrap() {
                if !optional.contains(&key.as_str()) {
                    let shared = &workspace["workspace"]["dependencies"][key];
                    expected.insert(key.clone(), dependency(key, value, shared));
                }
            }
            assert_eq!(
                vendored["dependencies"].as_table().unwrap(),
                &expected,
                "{name}"
            );
        }
    }

    /// What a member asks for, joined with what its workspace says.
    fn dependency(name: &str, own: &Value, shared: &Value) -> Value {
        let mut joined = match shared {
            Value::String(version) => {
                Table::from_iter([("version".into(), Value::String(version.clone()))])
            }
            other => other.as_table().unwrap().clone(),
        };
        if joined.contains_key("path") {
            joined = Table::from_iter([("path".into(), format!("../{name}").into())]);
        }
        for key in ["features", "optional"] {
            if let Some(value) = own.get(key) {
                assert!(
                    !(key == "features" && joined.contains_key(key)),
                    "{name}: join the features"
                );
                joined.insert(key.into(), value.clone());
            }
        }
        joined.into()
    }
}
