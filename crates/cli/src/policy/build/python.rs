//! Python: componentize-py puts CPython and the policy into a component, with a system that is not there.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    files,
    interpreter::{self, Scratch},
};
use crate::policy::project::Project;

/// The compiler, looked for in the project's `.venv` and then in `PATH`.
const COMPILER: &str = "componentize-py";

/// How an author gets it.
const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";

/// The module that a component begins with.
const ENTRY: &str = "pinfold_entry";

/// Its source.
const ENTRY_SOURCE: &str = include_str!("python/pinfold_entry.py");

/// The bytes of the component.
pub(super) fn build(project: &Project) -> anyhow::Result<Vec<u8>> {
    let root = std::path::absolute(&project.root)?;
    let scratch = Scratch::new()?;
    scratch.write(&format!("{ENTRY}.py"), ENTRY_SOURCE)?;
    scratch.write("about.json", &about(project)?)?;
    scratch.component(&mut compiler(&root, &scratch), tidy, || {
        interpreter::not_installed(COMPILER, INSTALL, project)
    })
}

/// What the entry says of the policy that `policy.py` does not.
fn about(project: &Project) -> anyhow::Result<String> {
    let schema = files::schema(project)?;
    let about = serde_json::json!({ "name": project.name, "settings_schema": schema });
    Ok(about.to_string())
}

fn compiler(root: &Path, scratch: &Scratch) -> Command {
    let venv = root.join(".venv");
    let installed = venv
        .join(if cfg!(windows) { "Scripts" } else { "bin" })
        .join(COMPILER);
    let program = if installed.exists() {
        installed
    } else {
        PathBuf::from(COMPILER)
    };
    let mut command = Command::new(program);
    if venv.exists() {
        // What the project installed can be imported; nothing else of this machine.
        command.env("VIRTUAL_ENV", venv);
    }
    command.current_dir(scratch.path()).stdin(Stdio::null());
    command.args([
        "--quiet",
        "--wit-path",
        "wit",
        "--world",
        "policy",
        "componentize",
        "--stub-wasi",
    ]);
    command
        .arg("--python-path")
        .arg(root)
        .args(["--python-path", "."]);
    command.args(["--output", interpreter::COMPONENT, ENTRY]);
    command
}

/// The part of a traceback that is ours.
const ENTERED: &str = "  File \"/1/pinfold_entry.py\", line 9, in <module>\n    import policy\n";

/// Of a compiler that ends in "AssertionError: (what Python said) Caused by: (the compiler's stack)": what
/// Python said, with the project's files named from its folder. Folders have numbers in there.
fn tidy(said: &str) -> String {
    let about = said
        .split_once("AssertionError: ")
        .map_or(said, |(_, end)| end);
    let about = about
        .split_once("\n\nCaused by:")
        .map_or(about, |(begin, _)| begin);
    about.replace("File \"/0/", "File \"").replace(ENTERED, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_complaint_what_python_said_is_kept() {
        let python = "Traceback (most recent call last):\n  File \"/0/policy.py\", line 3, in <module>\n\
                      ModuleNotFoundError: No module named 'nosuch'";
        let said = format!(
            "Traceback (most recent call last):\n  sys.exit(script())\nAssertionError: {python}\n\n\n\
             Caused by:\n    it\n\nStack backtrace:\n   0: x"
        );
        let tidied = tidy(&said);
        assert!(
            tidied.starts_with("Traceback (most recent call last):\n  File \"policy.py\", line 3")
        );
        assert!(
            tidied.trim_end().ends_with("No module named 'nosuch'"),
            "{tidied}"
        );
        assert_eq!(tidy("error: something else"), "error: something else");
    }
}
