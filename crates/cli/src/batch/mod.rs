//! `pinfold check --batch`: judges cases that carry their own answers, one JSON object a line.
//!
//! Each case is judged by the guard itself, with a resolver that answers what the case says. A
//! redirect is judged along the chain in one session, as a client would follow it.

pub(crate) mod progress;

use std::path::Path;

use anyhow::Context;
use pinfold::JudgedAddress;
use pinfold_addr::Stage;
use serde::Serialize;

use self::progress::Progress;
use crate::{
    check::Judge,
    exit::Exit,
    explain::Verdict,
    output::Output,
    record::Recorder,
    vectors::{self, Caller, Case, Line, Lines, Runner},
};

/// Judges every case of `file`, `-` for standard input, in order.
pub(crate) async fn run(file: &Path, judge: Judge<'_>, out: &mut Output) -> anyhow::Result<Exit> {
    let mut lines = Lines::open(file)?;
    let bench = Bench::new(judge)?;
    let progress = Progress::new(lines.size());
    let mut worst = Exit::Ok;
    while let Some(line) = lines
        .next()
        .with_context(|| format!("cannot read `{}`", file.display()))?
    {
        let verdict = bench.line(&line, judge.recorder).await;
        worst = worst.max(verdict.exit());
        out.json(&verdict)?;
        progress.advance(lines.position());
        if lines.would_wait() {
            out.flush()?;
        }
        if out.is_closed() {
            break;
        }
    }
    Ok(worst)
}

/// What is printed for a line of input.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    /// The case was judged.
    Judged {
        /// The case's own name, or the number of its line.
        id: serde_json::Value,
        verdict: Verdict,
        stage: Option<Stage>,
        code: Option<String>,
        /// Those of the hop that decided.
        addresses: Vec<Address>,
    },
    /// The line is no case.
    Malformed {
        id: serde_json::Value,
        line: usize,
        error: String,
    },
}

/// One address of the deciding hop.
#[derive(Serialize)]
struct Address {
    address: String,
    class: pinfold_addr::Class,
    verdict: Verdict,
    code: Option<String>,
}

impl Answer {
    fn malformed(id: Option<serde_json::Value>, line: usize, error: String) -> Self {
        let id = id.unwrap_or_else(|| line.into());
        Self::Malformed { id, line, error }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Judged {
                verdict: Verdict::Allow,
                ..
            } => Exit::Ok,
            Self::Judged { .. } => Exit::Refused,
            Self::Malformed { .. } => Exit::Error,
        }
    }
}

/// The guard that judges the lines.
struct Bench(Runner);

impl Bench {
    fn new(judge: Judge<'_>) -> anyhow::Result<Self> {
        let request = &judge.options.request;
        let caller = Caller {
            method: judge.method.as_str().to_owned(),
            subject: request.subject().map(str::to_owned),
            labels: request.labels().to_vec(),
        };
        Runner::of(caller, |guard| {
            judge.options.policy.build(judge.recorder.on(guard))
        })
        .map(Self)
    }

    async fn line(&self, line: &Line, recorder: &Recorder) -> Answer {
        let number = line.number;
        let text = match &line.text {
            Ok(text) => text,
            Err(error) => return Answer::malformed(None, number, (*error).to_owned()),
        };
        match Case::parse(text) {
            Ok(case) => self.case(number, &case, recorder).await,
            Err(error) => Answer::malformed(vectors::id_of(text), number, error),
        }
    }

    async fn case(&self, number: usize, case: &Case, recorder: &Recorder) -> Answer {
        let judged = self.0.judge(case).await;
        recorder.take(&judged.decisions);
        Answer::Judged {
            id: case.id().unwrap_or_else(|| number.into()),
            verdict: judged.verdict,
            stage: judged.stage,
            code: judged.code().map(str::to_owned),
            addresses: judged.addresses.iter().map(Address::from).collect(),
        }
    }
}

impl From<&JudgedAddress> for Address {
    fn from(judged: &JudgedAddress) -> Self {
        Self {
            address: judged.address.to_string(),
            class: judged.class,
            verdict: Verdict::of(judged.denial.as_ref()),
            code: judged
                .denial
                .as_ref()
                .map(|denial| denial.code().to_owned()),
        }
    }
}
