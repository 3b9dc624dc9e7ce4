//! What a build and its tests need and a fresh machine may lack.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{compilers, shell};

/// The target that policies are compiled for.
const WASM: &str = "wasm32-unknown-unknown";

/// Programs that tests run.
const PROGRAMS: &[Program] = &[
    Program::new("chromium", "chromium"),
    Program::new("clang", "clang"),
    Program::new("curl", "curl"),
    Program::new("git", "git"),
    Program::new("wasm-ld", "lld"),
    Program::new("node", "nodejs"),
    Program::new("npm", "npm"),
    Program::new("python3", "python3-venv"),
];

/// A program, and the package of Debian that has it.
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
    /// What it answers without doing anything.
    asked: &'static str,
}

impl Program {
    pub(crate) const fn new(name: &'static str, package: &'static str) -> Self {
        Self {
            name,
            package,
            asked: "--version",
        }
    }

    /// For one that does not know `--version`.
    pub(crate) const fn asked(self, asked: &'static str) -> Self {
        Self { asked, ..self }
    }
}

/// Installs what is missing, and says so.
pub(crate) fn run() -> Result<()> {
    wasm_target()?;
    programs(PROGRAMS)?;
    compilers::run()
}

fn wasm_target() -> Result<()> {
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

/// Installs those that are missing.
pub(crate) fn programs(programs: &[Program]) -> Result<()> {
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !may_install()? {
        bail!(
            "missing: {packages}\n\n\
             hint: run `apt-get install {packages}` as root, or install them the way this system does"
        );
    }
    println!("missing: {packages}; installing with `apt-get install -y {packages}`");
    if install(&missing).is_err() {
        // The lists of a fresh image are empty, or old.
        shell::status(&mut shell::command("apt-get", &["update", "-qq"]))?;
        install(&missing)?;
    }
    println!("installed {packages}");
    Ok(())
}

/// The packages of the programs that are not there.
fn missing(programs: &[Program]) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs
        .iter()
        .filter(|program| !shell::is_there(program.name, &[program.asked]))
        .map(|program| program.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Debian or a child of it, and root: a task of the repository asks for no password.
fn may_install() -> Result<bool> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Ok(false);
    }
    Ok(shell::output(&mut shell::command("id", &["-u"]))?.trim() == "0")
}

fn install(packages: &[&str]) -> Result<()> {
    let mut command = shell::command(
        "apt-get",
        &["install", "-y", "-qq", "--no-install-recommends"],
    );
    shell::status(
        command
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
