//! `pinfold fetch`: a guarded curl. Every hop is judged, and only judged addresses are connected to.

mod body;
mod input;
mod plain;
mod sink;
mod trail;
mod transfer;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use http::Method;
use pinfold::{Denial, Guard};
use pinfold_addr::{Reason, Target};
use pinfold_http::{
    Client, Error, FailedRedirect, Hop, Limits, RequestBuilder, Response, TlsRoots,
};
use tokio::time::Instant;

use self::{
    input::{Bytes, Data, Header, Seconds},
    trail::Trail,
};
use crate::{
    exit::Exit,
    explain, hint,
    options::{self, Judging},
    output::{self, BAD, LABEL, Output},
    record::{RecordOptions, Recorder},
    text::Printable,
};

/// Fetch a URL: judged, resolved once, connected only to judged addresses
///
/// The body goes to standard output, everything else to standard error. Redirects are followed and
/// judged like the first URL; credentials do not cross origins. Environment proxies are ignored.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to fetch
    url: String,

    /// Method. Default: GET, or POST with data
    #[arg(
        short = 'X',
        long,
        value_name = "METHOD",
        conflicts_with = "head",
        help_heading = "Request"
    )]
    #[arg(visible_alias = "request", value_parser = options::method)]
    method: Option<Method>,

    /// Fetch the head only
    #[arg(short = 'I', long, conflicts_with = "data", help_heading = "Request")]
    head: bool,

    /// Header to send. May be repeated
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME: VALUE",
        help_heading = "Request"
    )]
    headers: Vec<Header>,

    /// Body to send; `@FILE` sends a file as it is, `@-` standard input
    #[arg(short, long, value_name = "DATA", help_heading = "Request")]
    data: Option<Data>,

    /// Write the body to a file, `-` for standard output. The file appears when it is complete; until
    /// then it is a new file beside it, `FILE.RANDOM.part`
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Write the head before the body
    #[arg(short, long, help_heading = "Output")]
    include: bool,

    /// Fail on a status of 400 or more: no body is written, and the exit code is 1
    #[arg(short, long, help_heading = "Output")]
    fail: bool,

    /// Explain each decision on standard error
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,

    /// No progress bar
    #[arg(short, long, help_heading = "Output")]
    silent: bool,

    /// Time for everything, redirects and bodies included; loading the policy comes before
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "30",
        help_heading = "Budgets"
    )]
    max_time: Seconds,

    /// Size of the body, as received and again as decoded; `k`, `M` and `G` count in 1024
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "1G",
        help_heading = "Budgets"
    )]
    max_bytes: Bytes,

    /// Redirects to follow; with 0 the redirect itself is the response
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "5",
        help_heading = "Budgets"
    )]
    max_redirects: u8,

    /// Trust these certificate authorities (PEM) instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    cacert: Option<PathBuf>,

    #[command(flatten)]
    judging: Judging,

    #[command(flatten)]
    record: RecordOptions,
}

const EXAMPLES: &str = "\
Examples:
  pinfold fetch https://example.com/
  pinfold fetch -v -o page.html https://example.com/
  pinfold fetch -H 'Accept: application/json' -d '{\"a\": 1}' https://api.example/v1
  pinfold fetch -d @order.json --max-time 5 https://api.example/orders
  pinfold fetch --grant 127.0.0.2:8080 --resolve app.example=127.0.0.2 http://app.example:8080/

Exit codes: 0 fetched, 1 denied or failed, 2 error.";

/// Runs the verb.
pub(crate) fn run(args: &Args, _: &mut Output) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(fetch(args))
}

async fn fetch(args: &Args) -> anyhow::Result<Exit> {
    // Files first: a name that is mistyped is told before a policy is compiled.
    if let Some(data) = &args.data {
        data.is_there()?;
        if *data == Data::Stdin {
            args.judging.policy.leaves_stdin_to("--data @-")?;
        }
    }
    let roots = args.cacert.as_deref().map(roots).transpose()?;
    let recorder = args.record.open()?;
    let trail = Trail::new(args.verbose, recorder.clone());
    let client = client(args, roots.unwrap_or_default(), &trail, &recorder)?;
    let exit = match respond(args, &client, &trail).await? {
        Ok(response) => {
            narrate(args, response.hops());
            deliver(args, response).await
        }
        Err(error) => {
            narrate(args, error.redirect().map_or(&[], FailedRedirect::hops));
            Ok(refused(&error))
        }
    }?;
    recorder.finish()?;
    Ok(exit)
}

async fn deliver(args: &Args, response: Response) -> anyhow::Result<Exit> {
    if args.fail && is_failure(&response) {
        Ok(failed(&response))
    } else {
        transfer::run(args, response).await
    }
}

fn client(
    args: &Args,
    roots: TlsRoots,
    trail: &Trail,
    recorder: &Recorder,
) -> anyhow::Result<Client> {
    let guard = recorder.on(Guard::builder().observer(trail.clone()));
    let guard = args.judging.build(guard)?;
    Ok(Client::builder(guard)
        .limits(limits(args))
        .tls_roots(roots)
        .build())
}

fn limits(args: &Args) -> Limits {
    let mut limits = Limits::default();
    limits.total = Duration::from(args.max_time);
    limits.response_bytes = args.max_bytes.into();
    limits.redirects = args.max_redirects;
    limits
}

fn roots(file: &Path) -> anyhow::Result<TlsRoots> {
    let shown = file.display();
    let pem = std::fs::read(file).with_context(|| format!("cannot read `{shown}`"))?;
    TlsRoots::pem(&pem).with_context(|| format!("`{shown}` cannot be used"))
}

/// Sends the request. The outer error is the caller's own fault: exit code 2.
async fn respond(
    args: &Args,
    client: &Client,
    trail: &Trail,
) -> anyhow::Result<Result<Response, Error>> {
    let until = Instant::now() + Duration::from(args.max_time);
    let target = match Target::parse(&args.url) {
        Ok(target) => target,
        Err(refusal) => return Ok(Err(pinfold::Error::from(refusal).into())),
    };
    let data = match body::given(args, &target, client.guard(), trail, until).await? {
        Ok(data) => data,
        Err(error) => return Ok(Err(error)),
    };
    let request = client.request_target(method(args), target);
    let request = fill_in(args, request, data).timeout(until - Instant::now());
    match request.send().await {
        Err(error @ Error::Caller(_)) => Err(error.into()),
        result => Ok(result),
    }
}

/// What the options say of a request, beside method and target.
fn fill_in(args: &Args, mut request: RequestBuilder, data: Option<Vec<u8>>) -> RequestBuilder {
    for Header { name, value } in &args.headers {
        request = request.header(name, value);
    }
    if let Some(data) = data {
        if !has_content_type(args) {
            request = request.header(http::header::CONTENT_TYPE, FORM);
        }
        request = request.body(data);
    }
    let asks = &args.judging.request;
    if let Some(subject) = asks.subject() {
        request = request.subject(subject);
    }
    for (key, value) in asks.labels() {
        request = request.label(key, value);
    }
    request
}

fn has_content_type(args: &Args) -> bool {
    let mut names = args.headers.iter().map(|header| &header.name);
    names.any(|name| *name == http::header::CONTENT_TYPE)
}

/// What data is sent as unless a header says otherwise, as with curl.
const FORM: &str = "application/x-www-form-urlencoded";

fn method(args: &Args) -> Method {
    match &args.method {
        Some(method) => method.clone(),
        None if args.head => Method::HEAD,
        None if args.data.is_some() => Method::POST,
        None => Method::GET,
    }
}

fn is_failure(response: &Response) -> bool {
    response.status().as_u16() >= 400
}

fn failed(response: &Response) -> Exit {
    output::note(format_args!(
        "{BAD}error{BAD:#}: the server answered `{}`",
        response.status()
    ));
    output::hint("without `--fail` the body is written all the same");
    Exit::Refused
}

/// Tells why there is no response, or no more of it.
fn refused(error: &Error) -> Exit {
    let verb = if error.is_denied() {
        "denied"
    } else {
        "failed"
    };
    let redirect = error.redirect().map_or_else(String::new, redirect);
    let text = match error.denial() {
        Some(denial) => {
            let (stage, rule) = (denial.stage(), explain::rule(denial));
            format!("{redirect}{verb} at stage `{stage}` {rule}")
        }
        None => error.to_string(),
    };
    output::note(format_args!("{BAD}error{BAD:#}: {}", Printable(&text)));
    let hint = error.denial().and_then(|denial| match error.decision() {
        Some(decision) => hint::of_decision(denial, decision),
        None => hint::of(denial, &[], None, None),
    });
    if let Some(hint) = hint {
        output::hint(hint);
    }
    Exit::Refused
}

/// Which redirect it was, to stand before what became of it.
fn redirect(failed: &FailedRedirect) -> String {
    let (number, from) = (failed.number(), failed.from());
    match failed.to() {
        Some(to) => format!("redirect {number} from {from} to {to}: "),
        None => format!("redirect {number} from {from}: "),
    }
}

/// The budget of time is spent.
fn late(detail: &str) -> Error {
    let denial = Denial::new(Reason::DeadlineExceeded, detail);
    let decision = None;
    pinfold::Error::Network { denial, decision }.into()
}

/// Tells what came back, redirects first, for `--verbose`. What led there, the trail has told as it
/// happened.
fn narrate(args: &Args, hops: &[Hop]) {
    for hop in hops.iter().filter(|_| args.verbose) {
        let (method, target, status) = (&hop.method, &hop.target, hop.status);
        output::note(format_args!(
            "{LABEL}*{LABEL:#} {method} {target} answered {status}"
        ));
    }
}
