//! `pinfold check`: judges without connecting, and explains.

use std::path::PathBuf;

use pinfold::{Denial, Guard, Request};
use pinfold_addr::Target;

use crate::{
    batch,
    exit::Exit,
    explain::Report,
    options::{self, Judging},
    output::Output,
    record::{RecordOptions, Recorder},
};

/// Judge URLs without connecting, and explain each verdict
///
/// Names are looked up, but nothing is connected to. A name that cannot be resolved is denied.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// URLs to judge
    #[arg(value_name = "URL", required_unless_present = "batch")]
    urls: Vec<String>,

    /// Judge the cases of a file, one JSON object a line; `-` is standard input
    ///
    /// Prints one JSON object a case: `id`, `verdict` (`allow`, `deny`, `invalid`), `stage`, `code`,
    /// `addresses`; for a line that is no case, `id`, `line`, `error`. Nothing is looked up: a case
    /// carries its answers.
    ///
    /// A case has a `url` or an `ip`, and may have `id`, `method`, `subject`, `labels`, `resolves_to`
    /// (addresses; without it the name does not exist), `cname` (aliases), `redirects_to` (a location, or
    /// a list of them, followed and judged in turn), `redirect_resolves_to` (addresses, or a list for each
    /// redirect), and `then_resolves_to` (what the same name answers when it is asked again). Other fields
    /// are ignored.
    /// Like `pinfold fetch`, it follows 5 redirects and refuses the sixth.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["urls", "resolve", "dns"])]
    batch: Option<PathBuf>,

    /// HTTP method that the policy sees
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "GET",
        help_heading = "Request"
    )]
    #[arg(value_parser = options::method)]
    method: http::Method,

    /// Print one JSON object a URL
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    judging: Judging,

    #[command(flatten)]
    record: RecordOptions,
}

const EXAMPLES: &str = "\
Examples:
  pinfold check https://example.com/
  pinfold check --resolve app.example=10.0.0.7 http://app.example/
  pinfold check --dns 192.0.2.53:53 --settings egress.toml https://example.com/
  pinfold check --grant 127.0.0.2:8080 http://127.0.0.2:8080/
  pinfold check --json http://[::ffff:127.0.0.1]/ | jq -r .code
  pinfold check --batch cases.jsonl
  pinfold check --record decisions.jsonl --redact paths,queries https://example.com/

Exit codes: 0 all allowed, 1 at least one denied, 2 error. Of several the highest wins.";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let recorder = args.record.open()?;
    let judge = Judge {
        options: &args.judging,
        recorder: &recorder,
        method: &args.method,
    };
    let exit = match &args.batch {
        Some(file) => {
            if options::is_stdin(file) {
                args.judging.policy.leaves_stdin_to("--batch -")?;
            }
            runtime.block_on(batch::run(file, judge, out))
        }
        None => runtime.block_on(urls(args, judge, out)),
    }?;
    recorder.finish()?;
    Ok(exit)
}

/// What is asked of every URL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    /// Which policy judges, and who asks.
    pub(crate) options: &'a Judging,
    /// Who takes the decisions.
    pub(crate) recorder: &'a Recorder,
    /// How.
    pub(crate) method: &'a http::Method,
}

impl Judge<'_> {
    /// A first hop to `target`.
    pub(crate) fn request(&self, target: Target) -> Request {
        self.options.request.request(target, self.method)
    }
}

async fn urls(args: &Args, judge: Judge<'_>, out: &mut Output) -> anyhow::Result<Exit> {
    let guard = judge.recorder.on(Guard::builder());
    let guard = judge.options.build(guard)?;
    let mut worst = Exit::Ok;
    for (number, url) in args.urls.iter().enumerate() {
        if number > 0 && !args.json {
            out.line("")?;
        }
        worst = worst.max(one(&guard, url, judge, args.json, out).await?);
    }
    Ok(worst)
}

async fn one(
    guard: &Guard,
    url: &str,
    judge: Judge<'_>,
    json: bool,
    out: &mut Output,
) -> anyhow::Result<Exit> {
    let (target, decision, unreadable) = match Target::parse(url) {
        Ok(target) => {
            let decision = guard.check(judge.request(target.clone())).await;
            judge.recorder.take(std::slice::from_ref(&decision));
            (Some(target), Some(decision), None)
        }
        Err(refusal) => (None, None, Some(Denial::from(refusal))),
    };
    let denial = decision
        .as_deref()
        .map_or(unreadable.as_ref(), |made| made.outcome.denial());
    let report = Report {
        url,
        target: target.as_ref(),
        denial,
        decision: decision.as_deref(),
    };
    report.write(json, out)?;
    Ok(if denial.is_none() {
        Exit::Ok
    } else {
        Exit::Refused
    })
}
