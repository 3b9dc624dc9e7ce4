//! The package for Python: its checks and its tests against an installed wheel, and the wheels that ship.
//!
//! Everything that is installed goes into `target/python`. The wheel of the tests is made from what the other tests of
//! the workspace were built from (`crates/python/workspace-cargo.sh` says why); the one that ships by maturin alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{demo, setup, shell};

/// Lint, format, types, tests; and that the wheel installs where there is nothing else.
pub(crate) fn run() -> Result<()> {
    setup::run()?;
    let pythons = Pythons::find()?;
    let venv = Venv::with_requirements(&pythons.first)?;
    let checked = CHECKS.map(|words| venv.check(words));
    println!("building the wheel (slow the first time)");
    let programs = Programs::build()?;
    let wheel = build(&venv, WHEEL_OF_TESTS, &["--profile", "dev"], true)?;
    for python in pythons.all() {
        installs_alone(python, &wheel)?;
    }
    let tested = venv.tests(&wheel, &programs);
    all(checked.into_iter().chain([tested]))
}

/// The wheel of this machine, as it ships: into `target/wheels`.
pub(crate) fn wheel(more: &[&str]) -> Result<()> {
    setup::run()?;
    let pythons = Pythons::find()?;
    let venv = Venv::with_requirements(&pythons.first)?;
    let words = [&["--release"], more].concat();
    let wheel = build(&venv, WHEELS, &words, false)?;
    for python in pythons.all() {
        installs_alone(python, &wheel)?;
    }
    println!("{}", shell::relative(&wheel));
    Ok(())
}

/// One run shows everything that is wrong.
fn all(outcomes: impl Iterator<Item = Result<()>>) -> Result<()> {
    let failed: Vec<_> = outcomes
        .filter_map(|outcome| Some(format!("{:#}", outcome.err()?)))
        .collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// The interpreters that are there: one for the tests, one of each other version to see that the wheel works.
struct Pythons {
    first: Python,
    others: Vec<Python>,
}

/// An interpreter and its version.
#[derive(Clone)]
struct Python {
    program: String,
    minor: u32,
}

impl Pythons {
    fn find() -> Result<Self> {
        let mut found: Vec<Python> = Vec::new();
        for program in PROGRAMS {
            let new = Python::ask(program).filter(|python| python.minor >= OLDEST);
            found.extend(new.filter(|new| found.iter().all(|old| old.minor != new.minor)));
        }
        say_skipped(&found);
        let mut found = found.into_iter();
        let first = found.next().with_context(|| {
            format!(
                "no Python 3.{OLDEST} or later on PATH with the modules `venv` and `ensurepip`\n\n\
                 hint: Debian 12 and later have one: `apt-get install python3-venv`"
            )
        })?;
        Ok(Self {
            first,
            others: found.collect(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Python> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// The wheel is for versions that are not here, too.
fn say_skipped(found: &[Python]) {
    let is_there = |minor: &u32| found.iter().any(|python| python.minor == *minor);
    let skipped: Vec<_> = (OLDEST..=NEWEST)
        .filter(|minor| !is_there(minor))
        .map(|minor| format!("3.{minor}"))
        .collect();
    if !skipped.is_empty() {
        println!("not on PATH, so not tried: Python {}", skipped.join(", "));
    }
}

impl Python {
    /// None when it is not there, or cannot make a virtual environment.
    fn ask(program: &str) -> Option<Self> {
        let mut command = shell::command(program, &["-c", VERSION]);
        let output = command.output().ok()?;
        let minor = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
        Some(Self {
            program: program.to_owned(),
            minor,
        })
    }
}

/// A virtual environment.
struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// With what the tests run with; made anew when that changed.
    fn with_requirements(python: &Python) -> Result<Self> {
        let venv = Self {
            folder: home().join("venv"),
        };
        let wanted = fs::read_to_string(package().join(REQUIREMENTS))
            .with_context(|| format!("cannot read {REQUIREMENTS}"))?;
        let wanted = format!("3.{}\n{wanted}", python.minor);
        let note = venv.folder.join(".installed-for");
        if !fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
            println!(
                "installing: {REQUIREMENTS} into {}",
                shell::relative(&venv.folder)
            );
            venv.make(python)?;
            shell::status(&mut venv.pip(&["install", "-r", REQUIREMENTS]))?;
            fs::write(&note, wanted).context("cannot note what was installed")?;
        }
        Ok(venv)
    }

    /// Makes it, or makes it anew.
    fn make(&self, python: &Python) -> Result<()> {
        let folder = self.folder.to_string_lossy();
        shell::status(&mut shell::command(
            &python.program,
            &["-m", "venv", "--clear", &folder],
        ))
    }

    /// Runs a tool of the environment in the folder of the package.
    fn check(&self, words: &[&str]) -> Result<()> {
        let words = words.join(" ");
        println!("{words}");
        let mut command = self.python(&["-m"]);
        shell::status(command.args(words.split(' '))).with_context(|| words)
    }

    /// Runs the tests against the installed wheel.
    fn tests(&self, wheel: &Path, programs: &Programs) -> Result<()> {
        self.install(wheel)?;
        self.is_installed()?;
        let mut command = self.python(&["-m", "pytest", "--durations", "5"]);
        command
            .env("PINFOLD_LAB", &programs.lab)
            .env("PINFOLD_CLI", &programs.cli);
        shell::status_within(&mut command, LONGEST)
    }

    fn install(&self, wheel: &Path) -> Result<()> {
        let words = ["install", "--no-index", "--no-deps", "--force-reinstall"];
        shell::status(self.pip(&words).arg(wheel))
    }

    /// The tests mean the wheel, and not the folder beside them.
    fn is_installed(&self) -> Result<()> {
        let words = ["-c", "import pinfold; print(pinfold.__file__)"];
        let file = shell::output(&mut self.python(&words))?;
        if !Path::new(file.trim()).starts_with(&self.folder) {
            bail!("the tests would import {}", file.trim());
        }
        Ok(())
    }

    fn pip(&self, words: &[&str]) -> Command {
        let mut command = self.python(&["-m", "pip", "--quiet", "--disable-pip-version-check"]);
        command.args(words);
        command
    }

    /// Its interpreter, which takes nothing from the folders of the person who runs this.
    fn python(&self, words: &[&str]) -> Command {
        let program = self.bin().join("python");
        let mut command = shell::command(&program.to_string_lossy(), words);
        command
            .current_dir(package())
            .env_remove("PYTHONPATH")
            .env("PYTHONNOUSERSITE", "1");
        command
    }

    fn bin(&self) -> PathBuf {
        self.folder
            .join(if cfg!(windows) { "Scripts" } else { "bin" })
    }
}

/// The wheel installs into an empty environment, without an index and without a compiler on PATH, and works.
fn installs_alone(python: &Python, wheel: &Path) -> Result<()> {
    println!("installing the wheel alone, Python 3.{}", python.minor);
    let venv = Venv {
        folder: home().join(format!("alone-3.{}", python.minor)),
    };
    venv.make(python)?;
    let alone = |mut command: Command| shell::status(command.env("PATH", venv.bin()));
    let mut install = venv.pip(&["install", "--no-index"]);
    install.arg(wheel);
    alone(install)?;
    alone(venv.python(&["-I", "-W", "error", "-c", WORKS]))
}

/// What the tests start.
struct Programs {
    lab: String,
    cli: String,
}

impl Programs {
    /// The whole workspace is built with them, and the wheel from that.
    fn build() -> Result<Self> {
        let built = shell::output(&mut shell::command("cargo", BUILD))?;
        fs::write(home().join(BUILT), &built).context("cannot note what was built")?;
        let named = |name| demo::executable(&built, name);
        Ok(Self {
            lab: named(LAB).context("cargo built no lab")?,
            cli: named(CLI).context("cargo built no `pinfold`")?,
        })
    }
}

/// Lets maturin make a wheel, alone in this folder.
fn build(venv: &Venv, into: &str, words: &[&str], shared: bool) -> Result<PathBuf> {
    let folder = shell::root().join(into);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut maturin = venv.python(&["-m", "maturin", "build", "--locked", "--out"]);
    maturin.arg(&folder).args(words);
    if shared {
        maturin.env("CARGO", package().join("workspace-cargo.sh"));
    }
    shell::status(&mut maturin)?;
    only_wheel(&folder)
}

fn only_wheel(folder: &Path) -> Result<PathBuf> {
    let mut wheels = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        wheels.extend(
            path.extension()
                .is_some_and(|ending| ending == "whl")
                .then_some(path),
        );
    }
    match wheels.as_slice() {
        [wheel] => Ok(wheel.clone()),
        _ => bail!("{} wheels in {}", wheels.len(), shell::relative(folder)),
    }
}

fn package() -> PathBuf {
    shell::root().join("crates/python")
}

fn home() -> PathBuf {
    shell::root().join("target/python")
}

/// The oldest version that the package supports: 3.11.
const OLDEST: u32 = 11;
const CHECKS: [&[&str]; 3] = [
    &["ruff", "check", "."],
    &["ruff", "format", "--check", "."],
    &["mypy"],
];
/// The newest version that is looked for.
const NEWEST: u32 = 14;
/// Where interpreters are looked for, on PATH.
const PROGRAMS: [&str; 5] = [
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
];
/// Prints the minor version, if it can make virtual environments.
const VERSION: &str =
    "import ensurepip, sys, venv; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)";
const REQUIREMENTS: &str = "requirements-test.txt";
const WHEEL_OF_TESTS: &str = "target/python/wheel";
const WHEELS: &str = "target/wheels";
/// The example of the lab's crate that other languages drive.
const LAB: &str = "drive";
/// The command line, whose verdicts are compared with those of the package.
const CLI: &str = "pinfold";
/// What cargo told of that build: `crates/python/workspace-cargo.sh` tells maturin.
const BUILT: &str = "built.json";
const BUILD: &[&str] = &[
    "build",
    "--message-format=json-render-diagnostics",
    "--workspace",
    "--lib",
    "--bin=pinfold",
    "--example=drive",
];
/// For all tests. They take a tenth of it on two busy cores.
const LONGEST: Duration = Duration::from_secs(1800);
/// What must work after `pip install` and nothing else. The last line connects to nothing: a literal is judged alone.
const WORKS: &str = "\
import shutil
assert not any(map(shutil.which, ('cc', 'gcc', 'clang', 'rustc', 'cargo'))), 'a compiler is on PATH'
import pinfold
guard = pinfold.Guard()
assert guard.check('http://169.254.169.254/latest/meta-data/').verdict == 'deny'
assert guard.check('http://93.184.215.14/').verdict == 'allow'
print('pinfold', pinfold.__version__, 'works')
";
