//! Which route asks what of whom.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, header};
use hyper::body::Incoming;
use serde_json::json;

use super::{
    access::{Needs, Peer},
    answer::{self, Answer, Problem},
    backend::Change,
    body, page, recent,
    server::Admin,
    stream,
};
use crate::{policy, telemetry::Telemetry};

/// Answers one request.
pub(super) async fn answer(admin: &Arc<Admin>, peer: Peer, request: Request<Incoming>) -> Answer {
    let head = request.method() == Method::HEAD;
    let mut answer = match answered(admin, peer, request).await {
        Ok(answer) => answer,
        Err(problem) => problem.into(),
    };
    if head {
        // The length stays as it would be; hyper sends no body for `HEAD`.
        answer.headers_mut().remove(header::TRANSFER_ENCODING);
    }
    answer
}

/// What is behind a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    Page(&'static page::File),
    Health,
    Ready,
    Status,
    Metrics,
    Policies,
    Connections,
    Denials,
    Decisions,
    Shadow,
    Config,
    Swap,
    Rollback,
    Reload,
    ShadowStart,
    ShadowStop,
    ShadowPromote,
    Drain,
    Close,
}

async fn answered(
    admin: &Arc<Admin>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    // A client that takes this for the proxy is told so, whoever it is.
    if request.uri().authority().is_some() || request.method() == Method::CONNECT {
        return Err(NO_PROXY);
    }
    let what = route(request.method(), request.uri().path());
    let needs = what.as_ref().map_or(Needs::Reading, |what| what.needs());
    let allowed = admin.access.check(peer, needs, request.headers());
    allowed.inspect_err(|problem| admin.turned_away(peer, problem))?;
    let what = what?;
    match needs {
        Needs::Change => changed(admin, what, request).await,
        _ => read(admin, what, &request),
    }
}

/// The route of a path; with a wrong method the right one.
pub(super) fn route(method: &Method, path: &str) -> Result<What, Problem> {
    let (expected, what) = known(path).ok_or(NOT_FOUND)?;
    let method = match *method {
        Method::HEAD => &Method::GET,
        ref other => other,
    };
    if *method == expected {
        return Ok(what);
    }
    Err(WRONG_METHOD.detail(format!("`{path}` takes {expected}")))
}

fn known(path: &str) -> Option<(Method, What)> {
    if let Some(file) = page::file(path) {
        return Some((Method::GET, What::Page(file)));
    }
    if path.starts_with(CLOSE) {
        return Some((Method::DELETE, What::Close));
    }
    let row = ROUTES.iter().find(|(known, ..)| *known == path)?;
    Some((row.1.clone(), row.2))
}

const ROUTES: &[(&str, Method, What)] = &[
    ("/healthz", Method::GET, What::Health),
    ("/readyz", Method::GET, What::Ready),
    ("/status", Method::GET, What::Status),
    ("/metrics", Method::GET, What::Metrics),
    ("/policies", Method::GET, What::Policies),
    ("/connections", Method::GET, What::Connections),
    ("/denials", Method::GET, What::Denials),
    ("/decisions", Method::GET, What::Decisions),
    ("/shadow", Method::GET, What::Shadow),
    ("/config", Method::GET, What::Config),
    ("/policies/swap", Method::POST, What::Swap),
    ("/policies/rollback", Method::POST, What::Rollback),
    ("/policies/reload", Method::POST, What::Reload),
    ("/shadow/start", Method::POST, What::ShadowStart),
    ("/shadow/stop", Method::POST, What::ShadowStop),
    ("/shadow/promote", Method::POST, What::ShadowPromote),
    ("/drain", Method::POST, What::Drain),
];

impl What {
    pub(super) fn needs(self) -> Needs {
        match self {
            Self::Health | Self::Ready => Needs::Nothing,
            Self::Page(_)
            | Self::Status
            | Self::Metrics
            | Self::Policies
            | Self::Connections
            | Self::Denials
            | Self::Decisions
            | Self::Shadow
            | Self::Config => Needs::Reading,
            Self::Swap
            | Self::Rollback
            | Self::Reload
            | Self::ShadowStart
            | Self::ShadowStop
            | Self::ShadowPromote
            | Self::Drain
            | Self::Close => Needs::Change,
        }
    }
}

fn read(admin: &Admin, what: What, request: &Request<Incoming>) -> Result<Answer, Problem> {
    let backend = &admin.backend;
    let value = match what {
        What::Page(file) => return Ok(file.answer()),
        What::Health => json!({"status": "ok"}),
        What::Ready if backend.is_ready() => json!({"status": "ready"}),
        What::Ready => return Err(DRAINING),
        What::Metrics => return Ok(answer::text(METRICS, backend.metrics())),
        What::Decisions if wants_stream(request) => {
            return stream::answer(&admin.recent, last_seen(request));
        }
        What::Decisions => admin.recent.decisions(most(request, recent::DECISIONS)?),
        What::Denials => admin.recent.denials(most(request, recent::DENIALS)?),
        What::Connections => backend.connections(most(request, CONNECTIONS)?),
        What::Policies => {
            let mut policies = backend.policies();
            policies["changes"] = admin.recent.changes();
            policies
        }
        What::Shadow => backend.shadow(),
        What::Config => backend.config(),
        _ => {
            let mut status = backend.status();
            status["traffic"] = admin.recent.summary();
            status["last_reload_error"] = admin.recent.reload_errors();
            status
        }
    };
    Ok(answer::json(&value))
}

async fn changed(admin: &Admin, what: What, request: Request<Incoming>) -> Result<Answer, Problem> {
    // Held until the change is done: what was sent is in memory as long.
    let _place = match what {
        What::Swap | What::ShadowStart => {
            let place = Arc::clone(&admin.uploads).try_acquire_owned();
            Some(place.map_err(|_| BUSY.retry_after(RETRY))?)
        }
        _ => None,
    };
    let change = meant(what, request).await?;
    // On a task of its own: what has begun goes on when the operator goes away.
    let change = tokio::spawn(admin.backend.change(change));
    match tokio::time::timeout(CHANGE_TIME, change).await {
        Err(_) => Err(NOT_DONE),
        Ok(Err(error)) => Err(BROKEN.detail(error.to_string())),
        Ok(Ok(result)) => result.map(|value| answer::json(&value)),
    }
}

async fn meant(what: What, request: Request<Incoming>) -> Result<Change, Problem> {
    Ok(match what {
        What::Swap => Change::Swap(candidate(request).await?),
        What::ShadowStart => Change::ShadowStart(candidate(request).await?),
        What::Rollback => Change::Rollback(back_to(request).await?),
        What::ShadowStop => Change::ShadowStop,
        What::ShadowPromote => Change::ShadowPromote,
        What::Drain => Change::Drain,
        What::Close => Change::Close(request.uri().path().replacen(CLOSE, "", 1)),
        What::Reload => Change::Reload,
        // `needs` says which routes change something; none is left.
        _ => return Err(NOT_FOUND),
    })
}

async fn candidate(request: Request<Incoming>) -> Result<policy::Change, Problem> {
    let layer = query(&request, "layer").map(str::to_owned);
    let (parts, body) = request.into_parts();
    body::candidate(&parts.headers, layer, body).await
}

/// `{"generation": 3}`, or nothing for the one before.
async fn back_to(request: Request<Incoming>) -> Result<Option<u64>, Problem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Back {
        generation: Option<u64>,
    }
    let bytes = body::read(request.into_body(), body::SMALL).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    body::object::<Back>(&bytes).map(|back| back.generation)
}

fn wants_stream(request: &Request<Incoming>) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

fn last_seen(request: &Request<Incoming>) -> Option<u64> {
    let value = request.headers().get("last-event-id")?;
    value.to_str().ok()?.parse().ok()
}

/// `?limit=N`, and never more than there may be.
fn most(request: &Request<Incoming>, bound: usize) -> Result<usize, Problem> {
    match query(request, "limit") {
        None => Ok(bound),
        Some(text) => match text.parse::<usize>() {
            Ok(limit) => Ok(limit.min(bound)),
            Err(_) => Err(NO_LIMIT),
        },
    }
}

/// A parameter of the query. Its values here are numbers and names of layers, which are never percent-encoded.
fn query<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let pairs = request.uri().query()?.split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

const METRICS: HeaderValue = HeaderValue::from_static(Telemetry::METRICS_TYPE);
/// Before the id of a request.
const CLOSE: &str = "/connections/";
/// Connections in one answer.
const CONNECTIONS: usize = 1_000;
/// For a change: a policy of an interpreted language is compiled for some seconds, and tested by its vectors.
const CHANGE_TIME: Duration = Duration::from_secs(120);
const RETRY: Duration = Duration::from_secs(1);

const NO_PROXY: Problem = Problem::new(
    421,
    "admin-is-no-proxy",
    "this is the interface for operators: send requests to a listener of the proxy",
);
const NOT_FOUND: Problem = Problem::new(404, "not-found", "docs/gateway-admin.md lists the routes");
const WRONG_METHOD: Problem = Problem::new(
    405,
    "method-wrong",
    "docs/gateway-admin.md lists the routes",
);
const DRAINING: Problem = Problem::new(
    503,
    "draining",
    "nothing new is accepted, what is open may end: send requests to another gateway",
);
const BUSY: Problem = Problem::new(503, "busy", "other policies are being taken in: try again");
const NOT_DONE: Problem = Problem::new(
    504,
    "change-not-done",
    "the change goes on: `/policies` says what came of it",
);
const BROKEN: Problem = Problem::new(
    500,
    "change-broken",
    "nothing was changed if `/policies` does not say so; this is a defect",
);
const NO_LIMIT: Problem = Problem::new(400, "limit-malformed", "write `?limit=50`");

#[cfg(test)]
pub(super) fn all_routes() -> impl Iterator<Item = (&'static str, Method, What)> {
    ROUTES.iter().cloned()
}
