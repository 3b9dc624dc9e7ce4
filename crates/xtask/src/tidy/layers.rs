//! Who may depend on whom. A crate depends on lower layers only, never on a sibling.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Report, tree::Tree};
use crate::shell;

/// The crates of the repository, from `cargo metadata`.
pub(crate) struct Workspace {
    pub(crate) members: Vec<Member>,
}

/// One crate.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Its folder, relative to the root.
    pub(crate) folder: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    development: bool,
}

impl Workspace {
    /// Reads the manifests; needs no network.
    pub(crate) fn read() -> Result<Self> {
        let words = ["metadata", "--format-version=1", "--no-deps"];
        let printed = shell::output(&mut shell::command("cargo", &words))?;
        let metadata: Value =
            serde_json::from_str(&printed).context("cargo metadata is not JSON")?;
        let packages = metadata["packages"]
            .as_array()
            .context("cargo metadata has no packages")?;
        Ok(Self {
            members: packages.iter().map(member).collect(),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }
}

fn member(package: &Value) -> Member {
    let manifest = std::path::Path::new(text(&package["manifest_path"]));
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    Member {
        name: text(&package["name"]).to_owned(),
        folder: shell::relative(manifest.parent().unwrap_or(manifest)),
        dependencies: dependencies
            .map(|dependency| Dependency {
                name: text(&dependency["name"]).to_owned(),
                development: dependency["kind"] == "dev",
            })
            .collect(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Upward and sibling edges, and what single crates may never use.
pub(crate) fn check(workspace: &Workspace, report: &mut Report) {
    for member in &workspace.members {
        let Some(layer) = layer(&member.name) else {
            report.violation(
                &member.folder,
                "is in no layer: add it to `LAYERS` of `tidy`",
            );
            continue;
        };
        for dependency in &member.dependencies {
            if workspace.has(&dependency.name) {
                inner_edge(member, layer, dependency, report);
            } else if !dependency.development {
                outer_edge(member, dependency, report);
            }
        }
    }
}

fn inner_edge(member: &Member, layer: Layer, dependency: &Dependency, report: &mut Report) {
    let target = layer_of(&dependency.name);
    let allowed = match layer {
        Layer::Alone => false,
        Layer::Test => true,
        Layer::Product(level) => match target {
            Layer::Product(lower) => lower < level,
            // Tests of a product crate may be attacked by the lab.
            Layer::Alone => dependency.development && dependency.name == "pinfold-lab",
            Layer::Test => false,
        },
    };
    if !allowed {
        let what = format!(
            "{} ({layer}) must not depend on {} ({target})",
            member.name, dependency.name
        );
        report.violation(format!("{}/Cargo.toml", member.folder), what);
    }
}

fn outer_edge(member: &Member, dependency: &Dependency, report: &mut Report) {
    let place = format!("{}/Cargo.toml", member.folder);
    for (name, rule, reason) in OUTSIDE {
        let broken = match rule {
            Outside::Only(list) => !list.contains(&dependency.name.as_str()),
            Outside::Never(list) => list.contains(&dependency.name.as_str()),
        };
        if *name == member.name && broken {
            report.violation(
                &place,
                format!("{name} must not use {}: {reason}", dependency.name),
            );
        }
    }
}

/// No second TLS stack, no second HTTP client, nothing that is not from crates.io.
pub(crate) fn check_lock(tree: &Tree, report: &mut Report) {
    let Some(lock) = tree.get("Cargo.lock") else {
        report.violation("Cargo.lock", "is not committed");
        return;
    };
    let ignored = tree.get(".gitignore").map_or("", |file| &file.text);
    if ignored
        .lines()
        .any(|line| line.trim_start_matches('/') == "Cargo.lock")
    {
        report.violation(".gitignore", "ignores Cargo.lock");
    }
    let banned: BTreeSet<&str> = BANNED.iter().copied().collect();
    for (key, value) in lock.text.lines().filter_map(|line| line.split_once(" = ")) {
        let value = value.trim_matches('"');
        if key == "name" && banned.contains(value) {
            report.violation("Cargo.lock", format!("holds {value}, see `deny.toml`"));
        }
        if key == "source" && value != CRATES_IO {
            report.violation("Cargo.lock", format!("holds a crate from {value}"));
        }
    }
}

/// Where a crate stands.
#[derive(Clone, Copy)]
enum Layer {
    /// May depend on lower numbers.
    Product(u8),
    /// May depend on everything.
    Test,
    /// Depends on nothing of ours.
    Alone,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Product(level) => write!(f, "layer {level}"),
            Self::Test => f.write_str("for tests"),
            Self::Alone => f.write_str("on its own"),
        }
    }
}

fn layer(name: &str) -> Option<Layer> {
    LAYERS
        .iter()
        .find(|(member, _)| *member == name)
        .map(|(_, layer)| *layer)
}

/// A crate in no layer is reported once already: here it counts as the lowest.
fn layer_of(name: &str) -> Layer {
    layer(name).unwrap_or(Layer::Product(0))
}

enum Outside {
    Only(&'static [&'static str]),
    Never(&'static [&'static str]),
}

const LAYERS: &[(&str, Layer)] = &[
    ("pinfold-addr", Layer::Product(0)),
    ("pinfold-policy", Layer::Product(1)),
    ("pinfold-egress", Layer::Product(2)),
    ("pinfold", Layer::Product(2)),
    ("pinfold-http", Layer::Product(3)),
    ("pinfold-gateway", Layer::Product(4)),
    ("pinfold-python", Layer::Product(4)),
    ("pinfold-cli", Layer::Product(5)),
    ("pinfold-lab", Layer::Alone),
    ("xtask", Layer::Alone),
    ("pinfold-bench", Layer::Test),
    ("pinfold-tests", Layer::Test),
];

const OUTSIDE: &[(&str, Outside, &str)] = &[
    (
        "pinfold-addr",
        Outside::Only(&["idna", "ipnet", "percent-encoding", "serde", "url"]),
        "it is pure and runs in guests",
    ),
    (
        "pinfold-policy",
        Outside::Never(&["tokio", "url", "wasmtime"]),
        "it is compiled into guests",
    ),
    (
        "pinfold",
        Outside::Never(&[
            "clap",
            "h2",
            "http",
            "hyper",
            "hyper-util",
            "reqwest",
            "rustls",
        ]),
        "the host knows no HTTP, no TLS and no command line",
    ),
    (
        "pinfold-http",
        Outside::Never(&["wasmtime", "hickory-resolver"]),
        "the host alone judges",
    ),
    (
        "pinfold-cli",
        Outside::Never(&["hickory-resolver", "rustls", "wasmtime"]),
        "a verb talks to the libraries",
    ),
];

const BANNED: &[&str] = &[
    "curl",
    "isahc",
    "native-tls",
    "openssl",
    "openssl-sys",
    "reqwest",
    "surf",
    "ureq",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::File;

    #[test]
    fn edges() {
        let cases = [
            ("downward", "pinfold-http", "pinfold", false, 0),
            ("upward", "pinfold", "pinfold-http", false, 1),
            ("upward for tests", "pinfold", "pinfold-http", true, 1),
            ("sibling", "pinfold", "pinfold-egress", false, 1),
            ("lab in tests", "pinfold-http", "pinfold-lab", true, 0),
            (
                "lab in the product",
                "pinfold-http",
                "pinfold-lab",
                false,
                1,
            ),
            (
                "lab on the product",
                "pinfold-lab",
                "pinfold-addr",
                false,
                1,
            ),
            ("task on the product", "xtask", "pinfold-addr", false, 1),
            ("tests on all", "pinfold-tests", "pinfold-http", false, 0),
            ("product on tests", "pinfold", "pinfold-tests", true, 1),
            ("address crate on tokio", "pinfold-addr", "tokio", false, 1),
            ("address crate on url", "pinfold-addr", "url", false, 0),
            ("host on hyper", "pinfold", "hyper", false, 1),
            ("host on hyper in tests", "pinfold", "hyper", true, 0),
            ("unknown crate", "pinfold-new", "url", false, 1),
        ];
        for (name, from, to, development, expected) in cases {
            let dependencies = vec![Dependency {
                name: to.into(),
                development,
            }];
            let mut members = vec![crate_of(from, dependencies)];
            if to.starts_with("pinfold") {
                members.push(crate_of(to, Vec::new()));
            }
            let mut report = Report::default();
            check(&Workspace { members }, &mut report);
            assert_eq!(
                report.violations.len(),
                expected,
                "{name}: {:?}",
                report.violations
            );
        }
    }

    #[test]
    fn the_lock_file_is_read() {
        let text = "name = \"openssl\"\nsource = \"git+https://example.com/x\"\nname = \"url\"\n";
        let files = vec![File {
            path: "Cargo.lock".into(),
            text: text.into(),
        }];
        let mut report = Report::default();
        check_lock(&Tree { files }, &mut report);
        assert_eq!(report.violations.len(), 2, "{:?}", report.violations);
    }

    fn crate_of(name: &str, dependencies: Vec<Dependency>) -> Member {
        Member {
            name: name.into(),
            folder: name.into(),
            dependencies,
        }
    }
}
