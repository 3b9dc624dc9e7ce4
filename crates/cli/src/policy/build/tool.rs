//! The programs that compile policies. None is part of Pinfold: one that is missing is named, with the
//! command that installs it here.

use std::{
    io,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::Context;

use crate::fault::Fault;

/// A program, and how to get it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// What is run; found by `PATH`.
    pub(crate) program: &'static str,
    /// How it is installed.
    pub(crate) install: Install,
}

/// How something is installed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Install {
    /// One command on every system.
    Command(&'static str),
    /// The packages of the system's package manager.
    Packages {
        /// Debian, Ubuntu.
        apt: &'static str,
        /// Fedora, Red Hat.
        dnf: &'static str,
        /// Alpine.
        apk: &'static str,
        /// macOS.
        brew: &'static str,
    },
}

impl Tool {
    /// Runs the program to its end. What it says goes to standard error, where an author reads it.
    ///
    /// # Errors
    ///
    /// A [`missing`] program, and one that fails.
    pub(crate) fn run(&self, prepare: impl FnOnce(&mut Command)) -> anyhow::Result<()> {
        let mut command = Command::new(self.program);
        prepare(&mut command);
        // Standard output is for the data of the verb.
        command.stdin(Stdio::null()).stdout(io::stderr());
        let status = command.status().map_err(|error| self.not_run(error))?;
        self.succeeded(status, MEND)
    }

    /// Runs the program and takes its standard output, of at most [`MAX_OUTPUT`] bytes.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub(crate) fn output(&self, prepare: impl FnOnce(&mut Command)) -> anyhow::Result<String> {
        self.output_or(MEND, prepare)
    }

    /// As [`output`](Self::output), with what to do when the program fails.
    pub(crate) fn output_or(
        &self,
        hint: &'static str,
        prepare: impl FnOnce(&mut Command),
    ) -> anyhow::Result<String> {
        let mut command = Command::new(self.program);
        prepare(&mut command);
        command.stdin(Stdio::null()).stderr(io::stderr());
        let output = command.output().map_err(|error| self.not_run(error))?;
        self.succeeded(output.status, hint)?;
        anyhow::ensure!(
            output.stdout.len() <= MAX_OUTPUT,
            "`{}` says more than {} MiB",
            self.program,
            MAX_OUTPUT >> 20
        );
        String::from_utf8(output.stdout)
            .with_context(|| format!("what `{}` says is no UTF-8", self.program))
    }

    /// The error for when it is not there.
    pub(crate) fn missing(&self) -> Fault {
        missing(&format!("`{}`", self.program), self.install)
    }

    fn not_run(&self, error: io::Error) -> anyhow::Error {
        if error.kind() == io::ErrorKind::NotFound {
            return self.missing().into();
        }
        anyhow::Error::from(error).context(format!("cannot run `{}`", self.program))
    }

    fn succeeded(&self, status: ExitStatus, hint: &str) -> anyhow::Result<()> {
        if status.success() {
            return Ok(());
        }
        let message = format!("`{}` failed ({status})", self.program);
        Err(Fault::new(message, hint).into())
    }
}

/// The error for something that a build needs and that is not there.
pub(crate) fn missing(what: &str, install: Install) -> Fault {
    Fault::new(
        format!("{what} is missing"),
        format!("install it with `{}`", install.command()),
    )
}

impl Install {
    /// The command for this system.
    fn command(self) -> String {
        match self {
            Self::Command(command) => command.into(),
            Self::Packages {
                apt,
                dnf,
                apk,
                brew,
            } => {
                let managers = [
                    ("/usr/bin/apt-get", "apt-get install", apt),
                    ("/usr/bin/dnf", "dnf install", dnf),
                    ("/sbin/apk", "apk add", apk),
                ];
                let here = managers.iter().find(|(path, ..)| Path::new(path).exists());
                match here {
                    Some((_, verb, packages)) => format!("{verb} {packages}"),
                    None if cfg!(target_os = "macos") => format!("brew install {brew}"),
                    None => format!("apt-get install {apt}"),
                }
            }
        }
    }
}

/// What to do about a program that failed: it has said why.
const MEND: &str = "mend what it says above, then build again";

/// The most that a program may answer, in bytes.
const MAX_OUTPUT: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Tool = Tool {
        program: "pinfold-no-such-program",
        install: Install::Command("somewhere install it"),
    };

    #[test]
    fn a_missing_program_is_named_with_how_it_is_installed() {
        let error = ABSENT.run(|_| {}).unwrap_err();
        let fault = error.downcast_ref::<Fault>().unwrap();
        assert_eq!(fault.to_string(), "`pinfold-no-such-program` is missing");
        assert_eq!(fault.hint(), "install it with `somewhere install it`");
    }
}
