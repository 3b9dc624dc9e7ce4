//! JavaScript: componentize-js puts an engine (StarlingMonkey) and the policy into a component, with every
//! feature of the engine disabled that would import something.

use std::{path::Path, process::Command};

use super::{
    interpreter::{self, Scratch},
    tool::{self, Install},
};
use crate::policy::project::Project;

/// The compiler, in the project's own `node_modules`: what lies in a folder above it, where node would look
/// next, is not what the author installed for it.
const COMPILER: &str = "@bytecodealliance/componentize-js";

/// How an author gets it.
const INSTALL: &str = "npm ci";

/// What runs the compiler.
const NODE: &str = "node";

/// The script that asks the compiler.
const SCRIPT: &str = include_str!("javascript/component.mjs");

/// The bytes of the component.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let root = std::path::absolute(&project.root)?;
    if !is_installed(&root) {
        return Err(interpreter::not_installed(COMPILER, INSTALL, project));
    }
    let scratch = Scratch::new()?;
    scratch.write("component.mjs", SCRIPT)?;
    let mut node = Command::new(NODE);
    // From standard input, a script resolves packages as one in the current folder would.
    node.current_dir(root)
        .stdin(scratch.open("component.mjs")?)
        .args(["--input-type=module", "-"])
        .arg(scratch.path())
        .arg(&project.name);
    scratch.component(&mut node, str::to_owned, || {
        tool::missing("`node`", INSTALL_NODE).into()
    })
}

fn is_installed(root: &Path) -> bool {
    root.join("node_modules").join(COMPILER).is_dir()
}

/// Node 20 or newer.
const INSTALL_NODE: Install = Install::Packages {
    apt: "nodejs npm",
    dnf: "nodejs npm",
    apk: "nodejs npm",
    brew: "node",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_projects_own_compiler_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        let install =
            |root: &Path| std::fs::create_dir_all(root.join("node_modules").join(COMPILER));
        install(dir.path()).unwrap();
        assert!(!is_installed(&project));
        install(&project).unwrap();
        assert!(is_installed(&project));
    }
}
