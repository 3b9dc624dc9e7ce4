//! `pinfold check --batch`: judges cases that carry their own answers, one JSON object a line.
//!
//! Each case is judged by the guard itself, with a resolver that answers what the case says. A
//! redirect is judged along the chain in one session, as a client would follow it.

mod case;
mod lines;
mod progress;
mod script;

use std::path::Path;

use anyhow::Context;
use pinfold::{
    Denial, Guard, JudgedAddress, Request, Session,
    resolve::{Answers, ResolveError},
};
use pinfold_addr::{Host, Reason, Stage, Target};
use pinfold_http::Limits;
use serde::Serialize;

use self::{
    case::{Case, Start},
    lines::{Line, Lines},
    progress::Progress,
    script::{Recorder, Script},
};
use crate::{check::Judge, exit::Exit, explain::Verdict, output::Output};

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
        let verdict = bench.line(&line).await;
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

/// The guard with the two ends that a batch holds in its hands: what names resolve to, and the records.
struct Bench<'a> {
    judge: Judge<'a>,
    guard: Guard,
    script: Script,
    recorder: Recorder,
}

impl<'a> Bench<'a> {
    fn new(judge: Judge<'a>) -> anyhow::Result<Self> {
        let (script, recorder) = (Script::default(), Recorder::default());
        let guard = Guard::builder()
            .resolver(script.clone())
            .observer(recorder.clone());
        let guard = judge.options.policy.build(guard)?;
        Ok(Self {
            judge,
            guard,
            script,
            recorder,
        })
    }

    async fn line(&self, line: &Line) -> Answer {
        let number = line.number;
        let text = match &line.text {
            Ok(text) => text,
            Err(error) => return Answer::malformed(None, number, (*error).to_owned()),
        };
        match Case::parse(text) {
            Ok(case) => self.case(number, &case).await,
            Err(error) => Answer::malformed(case::id_of(text), number, error),
        }
    }

    async fn case(&self, number: usize, case: &Case) -> Answer {
        let mut trail = Vec::new();
        let refused = self.chain(case, &mut trail).await.err();
        let hop = trail.len().saturating_sub(1);
        let refused = refused.as_ref();
        Answer::Judged {
            id: case.id.clone().unwrap_or_else(|| number.into()),
            verdict: Verdict::of(refused),
            // What a later hop is refused for is a refused redirect.
            stage: refused.map(|denial| {
                if hop == 0 {
                    denial.stage()
                } else {
                    Stage::Redirect
                }
            }),
            code: refused.map(|denial| denial.code().to_owned()),
            addresses: match trail.last() {
                Some(Some(_)) => self.addresses(),
                _ => Vec::new(),
            },
        }
    }

    /// Judges the first URL and each redirect, in one session. The trail holds the host of each hop,
    /// none where the URL itself was refused.
    async fn chain(&self, case: &Case, trail: &mut Vec<Option<Host>>) -> Result<(), Denial> {
        let session = self.guard.session();
        let target = start(case).inspect_err(|_| trail.push(None))?;
        trail.push(Some(target.host().clone()));
        let mut request = self.judge.request(target);
        self.hop(&session, &request, case.answers(trail)).await?;
        for (number, location) in case.redirects().iter().enumerate() {
            within_budget(number).inspect_err(|_| trail.push(None))?;
            let target = redirect(request.target(), location).inspect_err(|_| trail.push(None))?;
            trail.push(Some(target.host().clone()));
            request = request.redirected(target, self.judge.method.as_str());
            self.hop(&session, &request, case.answers(trail)).await?;
        }
        Ok(())
    }

    /// The addresses of the hop that was judged last.
    fn addresses(&self) -> Vec<Address> {
        self.recorder.take().map_or_else(Vec::new, |decision| {
            decision.addresses.iter().map(Address::from).collect()
        })
    }

    async fn hop(
        &self,
        session: &Session,
        request: &Request,
        answers: Result<Answers, ResolveError>,
    ) -> Result<(), Denial> {
        self.script.set(answers);
        session
            .pin(request.clone())
            .await
            .map(drop)
            .map_err(|error| error.denial().clone())
    }
}

/// The first URL of a case.
fn start(case: &Case) -> Result<Target, Denial> {
    match case.start() {
        Start::Url(url) => Ok(Target::parse(&url)?),
        Start::Scoped(address) => Err(Denial::new(
            Reason::AddressScoped,
            format!("`{address}` carries a zone"),
        )),
    }
}

/// Refuses what the client of `pinfold fetch` does not follow by default.
fn within_budget(followed: usize) -> Result<(), Denial> {
    let budget = Limits::default().redirects;
    if followed < usize::from(budget) {
        return Ok(());
    }
    let detail = format!("more than {budget} redirects");
    Err(Denial::new(Reason::RedirectTooMany, detail))
}

/// The next URL of a chain. The case's own URL was valid: what is not a URL here is a bad redirect.
fn redirect(from: &Target, location: &str) -> Result<Target, Denial> {
    from.join(location).map_err(|refusal| match refusal.reason {
        Reason::UrlInvalid => Denial::new(Reason::RedirectInvalid, refusal.detail),
        _ => refusal.into(),
    })
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
