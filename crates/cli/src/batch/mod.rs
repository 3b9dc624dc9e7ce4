//! `pinfold check --batch`: judges cases that carry their own answers, one JSON object a line.
//!
//! Each case is judged by the guard itself, with a resolver that answers what the case says. A
//! redirect is judged along the chain in one session, as a client would follow it.

mod case;
mod lines;
mod progress;
mod script;

use std::path::Path;

use pinfold::{
    Decision, Denial, Guard, JudgedAddress, Request, Session,
    resolve::{Answers, ResolveError},
};
use pinfold_addr::{Reason, Stage, Target};
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
    while let Some(line) = lines.next()? {
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

/// Why a chain ended, and at which hop.
struct Refused {
    hop: usize,
    denial: Denial,
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
        let guard = judge.policy.apply(guard)?.build()?;
        Ok(Self {
            judge,
            guard,
            script,
            recorder,
        })
    }

    async fn line(&self, line: &Line) -> Answer {
        match line
            .text
            .as_deref()
            .map_err(ToString::to_string)
            .and_then(Case::parse)
        {
            Ok(case) => self.case(line.number, &case).await,
            Err(error) => Answer::Malformed {
                id: line.number.into(),
                line: line.number,
                error,
            },
        }
    }

    async fn case(&self, number: usize, case: &Case) -> Answer {
        self.recorder.take();
        let refused = self.chain(case).await.err();
        let last = self.recorder.take().filter(|last| {
            // A hop that was refused while its URL was read leaves no record: not the one before it.
            refused
                .as_ref()
                .is_none_or(|refused| usize::from(last.hop) == refused.hop)
        });
        Answer::Judged {
            id: case.id.clone().unwrap_or_else(|| number.into()),
            verdict: refused.as_ref().map_or(Verdict::Allow, Refused::verdict),
            stage: refused.as_ref().map(Refused::stage),
            code: refused
                .as_ref()
                .map(|refused| refused.denial.code().to_owned()),
            addresses: last.map_or_else(Vec::new, |last| addresses(&last)),
        }
    }

    /// Judges the first URL and each redirect, in one session.
    async fn chain(&self, case: &Case) -> Result<(), Refused> {
        let session = self.guard.session();
        let refused_at = |hop| move |denial| Refused { hop, denial };
        let target = start(case).map_err(refused_at(0))?;
        let mut hosts = vec![target.host().clone()];
        let mut request = self.judge.request.request(target, self.judge.method);
        self.hop(&session, &request, case.answers(&hosts))
            .await
            .map_err(refused_at(0))?;
        for (number, location) in (1..).zip(case.redirects()) {
            let target = redirect(request.target(), location).map_err(refused_at(number))?;
            hosts.push(target.host().clone());
            request = request.redirected(target, self.judge.method.as_str());
            let answers = case.answers(&hosts);
            self.hop(&session, &request, answers)
                .await
                .map_err(refused_at(number))?;
        }
        Ok(())
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

/// The next URL of a chain. The case's own URL was valid: what is not a URL here is a bad redirect.
fn redirect(from: &Target, location: &str) -> Result<Target, Denial> {
    from.join(location).map_err(|refusal| match refusal.reason {
        Reason::UrlInvalid => Denial::new(Reason::RedirectInvalid, refusal.detail),
        _ => refusal.into(),
    })
}

impl Refused {
    fn verdict(&self) -> Verdict {
        Verdict::of(Some(&self.denial))
    }

    /// What a later hop is refused for is a refused redirect.
    fn stage(&self) -> Stage {
        if self.hop == 0 {
            self.denial.stage()
        } else {
            Stage::Redirect
        }
    }
}

fn addresses(decision: &Decision) -> Vec<Address> {
    decision.addresses.iter().map(Address::from).collect()
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
