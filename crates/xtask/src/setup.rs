//! What a build needs and a fresh machine may lack.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::shell;

/// The target that policies are compiled for.
const WASM: &str = "wasm32-unknown-unknown";

/// Installs the target for policies when it is missing, and says so.
pub(crate) fn run() -> Result<()> {
    if has_wasm_target()? {
        return Ok(());
    }
    println!("the target {WASM} is missing: installing it with `rustup target add {WASM}`");
    if !shell::is_there("rustup", &["--version"]) {
        bail!("rustup is not there; install the standard library of {WASM} for this toolchain");
    }
    shell::status(&mut shell::command("rustup", &["target", "add", WASM]))?;
    println!("installed {WASM}");
    Ok(())
}

/// Looks for the standard library itself, so that it works without rustup too.
fn has_wasm_target() -> Result<bool> {
    let printed = shell::output(&mut shell::command("rustc", &["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(printed.trim());
    Ok(sysroot.join("lib/rustlib").join(WASM).join("lib").is_dir())
}
