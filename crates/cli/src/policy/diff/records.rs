//! `--decisions`: recorded decisions, asked again.

use std::path::Path;

use anyhow::Context;
use pinfold::record::{Entry, Input};

use crate::{
    fault::Fault,
    policy::{bench::progress::Progress, questions::Question},
    vectors::{Asked, Line, Lines},
};

/// The questions of a log, read one after the other: a log may be larger than memory.
pub(super) struct Records {
    name: String,
    lines: Lines,
    bar: Progress,
    skipped: usize,
}

impl Records {
    /// Opens a log; `-` is standard input.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(super) fn open(log: &Path) -> anyhow::Result<Self> {
        let lines = Lines::open(log)?;
        let name = log.file_name().unwrap_or(log.as_os_str());
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            bar: Progress::new("bytes of the log", lines.size().unwrap_or(0) as usize),
            lines,
            skipped: 0,
        })
    }

    /// The log, without its folders.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Records that hold nothing to ask: without input, or refused before a policy was asked.
    pub(super) fn skipped(&self) -> usize {
        self.skipped
    }

    /// The next question.
    ///
    /// # Errors
    ///
    /// A line that is no record, with its number.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Question>> {
        loop {
            let line = self.lines.next();
            let line = line.with_context(|| format!("cannot read `{}`", self.name))?;
            self.bar.set(self.lines.position() as usize);
            let Some(line) = line else {
                return Ok(None);
            };
            let entry = self.entry(&line)?;
            match entry.input.filter(Input::was_asked) {
                Some(input) => return Ok(Some(question(entry.id, &self.name, input))),
                None => self.skipped += 1,
            }
        }
    }

    fn entry(&self, line: &Line) -> anyhow::Result<Entry> {
        let text = line.text.as_ref().map_err(|error| (*error).to_owned());
        let entry = text.and_then(|text| {
            serde_json::from_str(text).map_err(|error| {
                let error = error.to_string();
                // Each record has a line of its own: the parser's count of lines says nothing.
                error.split(" at line ").next().unwrap_or(&error).to_owned()
            })
        });
        entry.map_err(|error| {
            let message = format!("`{}`, line {}: {error}", self.name, line.number);
            Fault::new(message, "a log holds decisions as JSON, one a line").into()
        })
    }
}

fn question(id: u64, log: &str, input: Input) -> Question {
    Question {
        name: format!("decision {id}"),
        file: log.to_owned(),
        asked: Asked {
            request: input.request,
            chain: input.chain,
            answers: input.answers,
        },
    }
}
