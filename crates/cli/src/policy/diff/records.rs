//! `--decisions`: recorded decisions, asked again.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use pinfold::record::{Entry, Input};
use serde::Serialize;

use crate::{
    fault::Fault,
    policy::{bench::progress::Progress, questions::Question},
    replay::{Left, of_left, replayable},
    vectors::{Asked, Line, Lines},
};

/// The questions of a log, read one after the other: a log may be larger than memory.
pub(super) struct Records {
    name: String,
    lines: Lines,
    bar: Progress,
    counts: Counts,
}

/// What became of records. Of one that was not judged whole nobody can say that it was not loosened: a policy that is
/// asked about `/withheld` may deny it, old and new, and let through what was asked.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Asked without what is withheld in them.
    redacted: u64,
    /// Not asked, by reason, as `pinfold replay` has it.
    not_asked: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Records that were asked in part, or not at all although a policy was asked or may have been.
    pub(super) fn not_whole(&self) -> u64 {
        let left = self.not_asked.iter();
        let left = left.filter(|(why, _)| **why != Left::NotAsked.as_str());
        left.map(|(_, number)| number).sum::<u64>() + self.redacted
    }

    /// As lines, without those that are zero.
    pub(super) fn lines(&self) -> Vec<String> {
        let left = self.not_asked.iter();
        let left = left.map(|(why, number)| format!("  {number} not asked: {}", of_left(why)));
        let redacted = (self.redacted > 0)
            .then(|| format!("  {} asked without what is withheld in them", self.redacted));
        left.chain(redacted).collect()
    }

    fn add(&mut self, entry: &Entry) {
        match replayable(entry) {
            Ok(_) => self.redacted += u64::from(!entry.redacted.is_empty()),
            Err(left) => *self.not_asked.entry(left.as_str()).or_default() += 1,
        }
    }
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
            counts: Counts::default(),
        })
    }

    /// The log, without its folders.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Records that were not asked: without input, refused before a policy was asked, or marked.
    pub(super) fn skipped(&self) -> usize {
        let skipped = self.counts.not_asked.values().sum::<u64>();
        usize::try_from(skipped).unwrap_or(usize::MAX)
    }

    /// What became of those that were read.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
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
            // A line of a gateway's log that holds no decision.
            let Some(entry) = self.entry(&line)? else {
                continue;
            };
            self.counts.add(&entry);
            if let Ok(input) = replayable(&entry) {
                return Ok(Some(question(entry.id, &self.name, input.clone())));
            }
        }
    }

    fn entry(&self, line: &Line) -> anyhow::Result<Option<Entry>> {
        let text = line.text.as_ref().map_err(|error| (*error).to_owned());
        let entry = text.and_then(|text| {
            Entry::read(text).map_err(|error| {
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
