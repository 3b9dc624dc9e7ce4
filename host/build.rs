//! Builds the shipped policy from source and leaves it as `OUT_DIR/egress.wasm`, a component that
//! imports nothing. The library embeds it, so that it works with no file beside it.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Resolve, WorldId, WorldItem};

const PACKAGE: &str = "pinfold-egress";
const MODULE: &str = "pinfold_egress.wasm";
const TARGET: &str = "wasm32-unknown-unknown";

/// The guest's shadow stack in bytes. Small, because it is part of every instance's memory; the shipped
/// policy was seen to work with an eighth of it. The default would be 1 MiB.
const STACK: u32 = 32 * 1024;

/// What decides the component's bytes, relative to the repository.
const SOURCES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "crates/addr/Cargo.toml",
    "crates/addr/src",
    "guest/policies/egress/Cargo.toml",
    "guest/policies/egress/settings.schema.json",
    "guest/policies/egress/src",
    "guest/sdk/Cargo.toml",
    "guest/sdk/src",
    "wit",
];

/// Settings of the outer build that must not reach the nested one: flags meant for the native target,
/// another target or target folder, and clippy standing in for the compiler.
const UNSET: &[&str] = &[
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

fn main() -> Result<()> {
    let root = repository()?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let out = PathBuf::from(variable("OUT_DIR")?);

    require_target()?;
    let module = compile(&root, &nested_target_dir(&out))?;
    let component = encode(&module)?;
    require_no_imports(&component)?;
    fs::write(out.join("egress.wasm"), component).context("cannot write the component")
}

fn repository() -> Result<PathBuf> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    Ok(manifest
        .parent()
        .context("the crate has no parent folder")?
        .to_owned())
}

/// Without the target the nested build fails in a way that does not say what to do.
fn require_target() -> Result<()> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("cannot run rustc")?;
    let folder = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && Path::new(folder.trim()).is_dir(),
        "the policies are built for `{TARGET}`, which is not installed\n\n\
         hint: run `cargo xtask setup`, or `rustup target add {TARGET}`"
    );
    Ok(())
}

/// Cargo holds a lock on the outer target folder, so the nested build has one of its own. It stands beside
/// the folder of all build scripts (`target/<profile>/build`) where there is one: cargo runs this script
/// once for each set of features and lints, and the policy is the same for all of them.
fn nested_target_dir(out: &Path) -> PathBuf {
    let build = out
        .ancestors()
        .nth(2)
        .filter(|folder| folder.ends_with("build"));
    build.and_then(Path::parent).unwrap_or(out).join("guest")
}

/// Compiles the policy to a core module.
fn compile(root: &Path, target_dir: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(root)
        .args(["build", "--locked", "--lib", "--profile", "guest"])
        .args(["--package", PACKAGE, "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags());
    for name in UNSET {
        cargo.env_remove(name);
    }
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "the policy `{PACKAGE}` does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(target_dir.join(TARGET).join("guest").join(MODULE))
}

/// The compiler's flags, as cargo wants them. Paths of this machine do not get into the policy: they are no
/// business of who receives it, and the same sources have the same digest anywhere.
fn flags() -> OsString {
    let mut flags = OsString::from(format!("-Clink-arg=-zstack-size={STACK}"));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    if let Some(home) = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))) {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(home);
        flags.push("=/cargo");
    }
    flags
}

fn encode(module: &Path) -> Result<Vec<u8>> {
    let module = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .context("the policy is no component of the world `pinfold:policy/policy`")
}

/// A policy is a pure function. The host refuses one that imports anything; so does the build.
fn require_no_imports(component: &[u8]) -> Result<()> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("the encoder made no component");
    };
    let imports = imported_functions(&resolve, world);
    ensure!(
        imports.is_empty(),
        "the policy imports {}",
        imports.join(", ")
    );
    Ok(())
}

/// Interfaces that only hold types show as imports too; they ask for nothing.
fn imported_functions(resolve: &Resolve, world: WorldId) -> Vec<String> {
    let mut functions = Vec::new();
    for item in resolve.worlds[world].imports.values() {
        match item {
            WorldItem::Function(function) => functions.push(function.name.clone()),
            WorldItem::Interface { id, .. } => {
                functions.extend(resolve.interfaces[*id].functions.keys().cloned());
            }
            WorldItem::Type { .. } => {}
        }
    }
    functions
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("cargo does not set {name}"))
}
