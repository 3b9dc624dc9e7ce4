//! `--from egress`: the source of the shipped policy as a project of its own.

use super::{File, lock, rust, vendor};

/// The files of a policy with this name.
pub(super) fn files(name: &str) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for (path, content) in SOURCES.iter().chain(TEMPLATES) {
        files.push(File {
            path: (*path).into(),
            content: adapted(path, content, name)?,
        });
    }
    for template in rust::FILES {
        if SHARED.contains(&template.path) {
            files.push(template.named(name));
        }
    }
    files.extend(vendor::files());
    Ok(files)
}

/// The name of the new policy where that of the shipped one stands. The tests that need the repository
/// around them stay there; vectors take their place.
fn adapted(path: &str, content: &str, name: &str) -> anyhow::Result<String> {
    let replace = |places: &[&str]| {
        places.iter().fold(content.to_owned(), |content, place| {
            content.replace(place, &place.replace("egress", name))
        })
    };
    Ok(match path {
        "Cargo.lock" => lock::renamed(content, "egress", name)?,
        "src/lib.rs" => replace(&["name: \"egress\""])
            .replace(
                "use pinfold_egress::",
                &format!("use {}::", name.replace('-', "_")),
            )
            .replace(TESTS, ""),
        "src/conflicts/mod.rs" => content.replace(TESTS, ""),
        _ => replace(&["name = \"egress\"", "egress.wasm", "olicy `egress`"]),
    })
}

const TESTS: &str = "#[cfg(test)]\nmod tests;\n";

/// Files that are the same as for the example.
const SHARED: [&str; 2] = [".github/workflows/policy.yml", ".gitignore"];

/// A file below a folder of the repository, and where it goes.
macro_rules! from {
    ($root:literal, $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../", $root, $path)))),*]
    };
}

type Sources = &'static [(&'static str, &'static str)];

const SOURCES: Sources = from![
    "guest/policies/egress/",
    "settings.example.toml",
    "settings.schema.json",
    "src/allowable.rs",
    "src/compile.rs",
    "src/conflicts/hosts.rs",
    "src/conflicts/limits.rs",
    "src/conflicts/mod.rs",
    "src/conflicts/names.rs",
    "src/conflicts/networks.rs",
    "src/hosts.rs",
    "src/lib.rs",
    "src/networks.rs",
    "src/order.rs",
    "src/pattern.rs",
    "src/ports.rs",
    "src/problems.rs",
    "src/rules.rs",
    "src/schemes.rs",
    "src/settings.rs",
    "src/slots.rs",
    "src/subjects.rs",
];

/// What a project has besides the source.
const TEMPLATES: Sources = &[
    (
        "Cargo.lock",
        include_str!("../../../templates/egress/lock.toml"),
    ),
    (
        "Cargo.toml",
        include_str!("../../../templates/egress/manifest.toml"),
    ),
    (
        "README.md",
        include_str!("../../../templates/egress/README.md"),
    ),
    (
        "pinfold.toml",
        include_str!("../../../templates/egress/pinfold.toml"),
    ),
    (
        "tests/defaults.toml",
        include_str!("../../../templates/egress/tests/defaults.toml"),
    ),
    (
        "tests/rules.toml",
        include_str!("../../../templates/egress/tests/rules.toml"),
    ),
    (
        "tests/settings.toml",
        include_str!("../../../templates/egress/tests/settings.toml"),
    ),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn repository() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    fn sources_in(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                sources_in(&path, &format!("{below}{name}/"), found);
            } else if name != "tests.rs" {
                found.insert(format!("{below}{name}"));
            }
        }
    }

    #[test]
    fn every_source_comes_along() {
        let mut there = BTreeSet::new();
        sources_in(
            &repository().join("guest/policies/egress/src"),
            "src/",
            &mut there,
        );
        let here = SOURCES.iter().map(|(path, _)| (*path).to_owned());
        assert_eq!(
            here.filter(|path| path.starts_with("src/"))
                .collect::<BTreeSet<_>>(),
            there
        );
    }

    #[test]
    fn the_name_arrives_and_the_tests_of_the_repository_stay() {
        let files = files("our-egress").unwrap();
        let find = |path: &str| &files.iter().find(|file| file.path == path).unwrap().content;
        for (path, held) in [
            ("Cargo.lock", "name = \"our-egress\"\n"),
            ("Cargo.toml", "name = \"our-egress\"\n"),
            ("README.md", "# Policy `our-egress`\n"),
            ("pinfold.toml", "component = \"our-egress.wasm\"\n"),
            ("settings.example.toml", "policy `our-egress`"),
            ("src/lib.rs", "name: \"our-egress\".into()"),
            ("src/lib.rs", "use our_egress::Egress;"),
            (".gitignore", "/our-egress.wasm\n"),
        ] {
            assert!(find(path).contains(held), "{path}: {held}");
        }
        for path in ["src/lib.rs", "src/conflicts/mod.rs"] {
            assert!(!find(path).contains("mod tests;"), "{path}");
        }
    }

    /// What is fetched for a project is what was reviewed with the repository.
    #[test]
    fn locked_versions_are_those_of_the_repository() {
        let versions = |lock: &str| -> BTreeSet<(String, String)> {
            let packages = lock.split("[[package]]\n").skip(1);
            let quoted = |package: &str, at| package.split('"').nth(at).unwrap().to_owned();
            packages
                .filter(|package| package.contains("\nsource = "))
                .map(|package| (quoted(package, 1), quoted(package, 3)))
                .collect()
        };
        let ours = versions(&fs::read_to_string(repository().join("Cargo.lock")).unwrap());
        let example = rust::FILES
            .iter()
            .find(|file| file.path == "Cargo.lock")
            .unwrap();
        for (lock, row) in [(TEMPLATES[0].1, "egress"), (example.content, "example")] {
            let strangers: Vec<_> = versions(lock).difference(&ours).cloned().collect();
            assert!(strangers.is_empty(), "{row}: {strangers:?}");
        }
    }
}
