//! Rust: cargo, for a target without a system.

use std::{ffi::OsString, path::Path, process::Command};

use anyhow::Context;
use serde_json::Value;

use super::{
    encode, files,
    tool::{Install, Tool, missing},
};
use crate::{fault::Fault, policy::project::Project};

const CARGO: Tool = Tool {
    program: "cargo",
    install: RUST,
};

const RUSTC: Tool = Tool {
    program: "rustc",
    install: RUST,
};

const RUST: Install = Install::Packages {
    apt: "rustup && rustup default stable",
    dnf: "rustup && rustup-init",
    apk: "rustup && rustup-init",
    brew: "rustup && rustup default stable",
};

/// A WASI target would bring imports along.
const TARGET: &str = "wasm32-unknown-unknown";

/// The shadow stack in bytes. It is part of every instance's memory, and the default would be 1 MiB. It
/// lies first, so that an overflow traps instead of overwriting data.
const STACK: u32 = 32 << 10;

/// A build never chooses versions: what is in `Cargo.lock` is what was reviewed.
const AFTER_A_CHANGE: &str = "mend what cargo says above; after a change of the dependencies run \
     `cargo update --workspace`, which brings `Cargo.lock` up to date";

/// What would change the build from outside: flags and folders that are meant for other targets.
const UNSET: [&str; 6] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

/// The bytes of the component.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let root = std::path::absolute(&project.root)?;
    require_target(&root)?;
    let flags = flags(&packages(&root)?)?;
    let messages = CARGO.output_or(AFTER_A_CHANGE, |cargo| {
        in_project(cargo, &root)
            .args(["build", "--locked", "--release", "--target", TARGET])
            .args(["--message-format", "json-render-diagnostics"])
            .env("CARGO_ENCODED_RUSTFLAGS", &flags);
    })?;
    let module = module(&messages)?;
    encode::component(&files::module(Path::new(&module))?)
}

fn in_project<'a>(command: &'a mut Command, root: &Path) -> &'a mut Command {
    for name in UNSET {
        command.env_remove(name);
    }
    // The folder of the project, so that a `rust-toolchain.toml` in it is obeyed.
    command
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.join("target"))
}

/// Without the target the build fails in a way that does not say what to do.
fn require_target(root: &Path) -> anyhow::Result<()> {
    let folder = RUSTC.output(|rustc| {
        in_project(rustc, root).args(["--print", "target-libdir", "--target", TARGET]);
    })?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    let what = format!("the target `{TARGET}` of this Rust toolchain");
    Err(missing(
        &what,
        Install::Command("rustup target add wasm32-unknown-unknown"),
    )
    .into())
}

/// A crate that takes part in the build: `name-version` and its folder.
struct Package {
    name: String,
    folder: String,
}

fn packages(root: &Path) -> anyhow::Result<Vec<Package>> {
    let printed = CARGO.output_or(AFTER_A_CHANGE, |cargo| {
        in_project(cargo, root)
            .args(["metadata", "--locked", "--format-version", "1"])
            .args(["--filter-platform", TARGET]);
    })?;
    let metadata: Value = serde_json::from_str(&printed).context("cargo metadata is no JSON")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut packages: Vec<_> = packages.filter_map(package).collect();
    // The last prefix that fits counts, and a project may hold crates below it.
    packages.sort_by_key(|package| package.folder.len());
    Ok(packages)
}

fn package(package: &Value) -> Option<Package> {
    let manifest = package["manifest_path"].as_str()?;
    let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
    Some(Package {
        name: format!("{name}-{version}"),
        folder: Path::new(manifest).parent()?.to_str()?.to_owned(),
    })
}

/// The compiler's flags, as cargo wants them. Paths of this machine do not get into the component: they
/// are no business of who receives it, and the same sources have the same digest anywhere.
///
/// # Errors
///
/// A folder whose name would end its flag and begin another.
fn flags(packages: &[Package]) -> Result<OsString, Fault> {
    let mut flags = format!("-Clink-arg=-zstack-size={STACK}\x1f-Clink-arg=--stack-first");
    for Package { name, folder } in packages {
        if folder.contains(char::is_control) {
            let message = format!("the folder `{}` cannot be built", folder.escape_debug());
            return Err(Fault::new(message, "name it without control characters"));
        }
        flags.push_str(&format!("\x1f--remap-path-prefix={folder}=/{name}"));
    }
    Ok(flags.into())
}

/// The module that cargo says it made.
fn module(messages: &str) -> anyhow::Result<String> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let modules: Vec<String> = messages.flat_map(|message| modules_of(&message)).collect();
    match modules.as_slice() {
        [module] => Ok(module.clone()),
        [] => Err(Fault::new(
            "the crate is no module of its own",
            "let `Cargo.toml` say `crate-type = [\"cdylib\"]` under `[lib]`",
        )
        .into()),
        _ => Err(Fault::new(
            format!("cargo made several modules: {}", modules.join(", ")),
            "a project holds one policy: let the other crates be libraries (`rlib`)",
        )
        .into()),
    }
}

fn modules_of(message: &Value) -> Vec<String> {
    let is_library = message["target"]["crate_types"]
        .as_array()
        .is_some_and(|types| types.iter().any(|each| each == "cdylib"));
    let files = message["filenames"].as_array().into_iter().flatten();
    files
        .filter_map(Value::as_str)
        .filter(|file| is_library && file.ends_with(".wasm"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_one_that_cargo_says_it_made() {
        let message = |kind: &str, file: &str| {
            format!(
                r#"{{"target":{{"crate_types":["{kind}"]}},"filenames":["/t/lib.rlib","{file}"]}}"#
            )
        };
        let good = message("cdylib", "/t/p.wasm");
        assert_eq!(module(&good).unwrap(), "/t/p.wasm");
        for (row, messages, said) in [
            (
                "a library",
                message("lib", "/t/p.wasm"),
                "no module of its own",
            ),
            ("nothing", String::new(), "no module of its own"),
            (
                "two",
                format!("{good}\nnoise\n{}", message("cdylib", "/t/q.wasm")),
                "several",
            ),
        ] {
            let error = module(&messages).unwrap_err().to_string();
            assert!(error.contains(said), "{row}: {error}");
        }
    }

    #[test]
    fn the_name_of_a_folder_is_no_flag() {
        let package = |folder: &str| Package {
            name: "a-1".into(),
            folder: folder.into(),
        };
        assert!(flags(&[package("/p/vendor")]).is_ok());
        assert!(flags(&[package("/p/x\x1f-Clinker=evil")]).is_err());
    }

    #[test]
    fn a_crate_below_another_keeps_its_own_name() {
        let package = |name: &str, folder: &str| Package {
            name: name.into(),
            folder: folder.into(),
        };
        let flags = flags(&[package("a-1", "/p"), package("b-2", "/p/vendor/b")]).unwrap();
        let flags = flags.into_string().unwrap();
        assert!(
            flags.ends_with(
                "\x1f--remap-path-prefix=/p=/a-1\x1f--remap-path-prefix=/p/vendor/b=/b-2"
            ),
            "{flags}"
        );
    }
}
