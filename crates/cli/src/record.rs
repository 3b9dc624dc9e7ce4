//! `--record`: decisions, written to a file that `pinfold replay` reads.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use pinfold::{
    Decision, GuardBuilder, Observer,
    record::{Inputs, Log, Redaction},
};

use crate::{fault::Fault, files, options, text::count};

/// Where decisions are recorded.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Record")]
pub(crate) struct RecordOptions {
    /// Append each decision to this file, with what the policy was asked, for `pinfold replay`
    ///
    /// A record may hold secrets, in paths and queries, and addresses of the inner network: a new file is
    /// readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// What records leave out. Those whose verdict depends on it are marked, the others still replay
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        requires = "record"
    )]
    redact: Vec<Withheld>,
}

/// What may be left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Withheld {
    Paths,
    Queries,
}

impl RecordOptions {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened for appending.
    pub(crate) fn open(&self) -> anyhow::Result<Recorder> {
        let Some(file) = &self.record else {
            return Ok(Recorder::default());
        };
        if options::is_stdin(file) {
            let hint = "give a file; standard output holds the answers";
            return Err(Fault::new("`--record -` is no file", hint).into());
        }
        requires_no_reader(file)?;
        let opened = open(file).with_context(|| format!("cannot write `{}`", file.display()))?;
        let log = Log::builder().redact(self.redaction()).write_to(opened)?;
        Ok(Recorder(Some((Arc::new(log), file.clone()))))
    }

    fn redaction(&self) -> Redaction {
        let mut redaction = Redaction::NONE;
        redaction.paths = self.redact.contains(&Withheld::Paths);
        redaction.queries = self.redact.contains(&Withheld::Queries);
        redaction
    }
}

/// To open a pipe by its name is to wait for somebody who reads it, perhaps without end. One that the shell
/// made, as in `--record >(gzip > log.gz)`, has a reader.
fn requires_no_reader(file: &Path) -> Result<(), Fault> {
    let is_open = ["/dev/", "/proc/self/"].map(|begin| file.starts_with(begin));
    match std::fs::metadata(file) {
        Ok(found) if !is_open.contains(&true) => files::require_regular(file, &found),
        _ => Ok(()),
    }
}

fn open(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Takes decisions for the file. Clones share it. Without a file it takes nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Option<(Arc<Log>, PathBuf)>);

impl Recorder {
    /// A guard whose decisions hold what this needs.
    pub(crate) fn on(&self, guard: GuardBuilder) -> GuardBuilder {
        match &self.0 {
            Some(_) => guard.record_inputs(Inputs::Keep),
            None => guard,
        }
    }

    /// Takes the decisions of one case, and waits until they are written: nobody else does.
    pub(crate) fn take(&self, decisions: &[Arc<Decision>]) {
        if let Some((log, _)) = &self.0 {
            for decision in decisions {
                log.observe(decision);
            }
            log.flush(Log::PATIENCE);
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let Some((log, file)) = &self.0 else {
            return Ok(());
        };
        let flushed = log.flush(Log::PATIENCE);
        let lost = usize::try_from(log.dropped() + log.failed()).unwrap_or(usize::MAX);
        if flushed && lost == 0 {
            return Ok(());
        }
        let what = match lost {
            0 => String::from("decisions"),
            lost => count(lost, "decision", "decisions"),
        };
        let message = format!("`{}` lacks {what}", file.display());
        Err(Fault::new(message, "is the disk full?").into())
    }
}

impl Observer for Recorder {
    fn observe(&self, decision: &Arc<Decision>) {
        if let Some((log, _)) = &self.0 {
            log.observe(decision);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, new) = (dir.path().join("pipe"), dir.path().join("new"));
        files::testing::pipe(&pipe);
        let error = requires_no_reader(&pipe).unwrap_err().to_string();
        assert!(error.ends_with("is not a regular file"), "{error}");
        for file in [new.as_path(), Path::new("/dev/null")] {
            assert!(requires_no_reader(file).is_ok(), "{}", file.display());
        }
    }
}
