//! A request in absolute form: judged, sent over a kept connection or a new one, its answer handed back as it comes.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use pinfold::Session;
use pinfold_addr::Target;
use pinfold_http::{Body, Forwarded, ForwardedBody, Forwarder};

use super::{
    exchange::{Bounds, Exchange},
    fields,
    reply::Reply,
    service::{No, Proxy},
    upload::Upload,
};
use crate::{
    egress::{self, Admitted, Ask},
    event::{Asked, Event, TunnelNotice},
    live::Closing,
    refusal::{Kind, Refusal},
    shared::Shared,
};

pub(crate) async fn forward(
    proxy: &Proxy,
    ask: Ask,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, No> {
    if *request.method() == Method::OPTIONS && fields::is_last_hop(request.headers_mut()) {
        return answered_here(proxy.shared(), ask);
    }
    let Journey {
        forwarder,
        session,
        what,
        request,
        exchange,
    } = Journey::begin(proxy.shared(), ask, request)?;
    let sent = forwarder.send(&session, what, request, |decision, held| {
        exchange.open(decision, held);
    });
    let forwarded = arrived(&exchange, sent).await?;
    deliver(proxy, exchange, forwarded)
}

/// A request that is for us, and goes no further. It counts against limits like any other.
fn answered_here(shared: &Shared, ask: Ask) -> Result<Response<Reply>, No> {
    let subject = ask.subject.clone();
    let admitted = egress::admit(shared, ask);
    let admitted = admitted.map_err(|refusal| No::of_egress(refusal, subject))?;
    note(shared, &admitted.asked, "max-forwards", None);
    Ok(Response::new(Reply::empty()))
}

/// A request that may go, and who watches over it.
pub(crate) struct Journey {
    pub(crate) forwarder: Forwarder,
    pub(crate) session: Session,
    pub(crate) what: pinfold::Request,
    pub(crate) request: Request<Body>,
    pub(crate) exchange: Arc<Exchange>,
}

impl Journey {
    /// Limits, and the request as the server gets it.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        ask: Ask,
        request: Request<Incoming>,
    ) -> Result<Self, No> {
        let (subject, target) = (ask.subject.clone(), ask.target.clone());
        let admitted = egress::admit(shared, ask);
        let Admitted {
            session,
            request: what,
            asked,
            permit,
        } = admitted.map_err(|refusal| No::of_egress(refusal, subject))?;
        let bounds = Bounds::of(&shared.config.load().tunnels);
        let registry = Arc::clone(&shared.live);
        let exchange = Exchange::new(registry, Arc::clone(&asked), permit, bounds);
        Ok(Self {
            forwarder: shared
                .forwarder
                .patience(bounds.silence)
                .partition(partition(&asked)),
            session,
            what,
            request: outgoing(shared, request, &target, &asked, &exchange),
            exchange,
        })
    }
}

/// Whose connections to servers it may use: those of the same subject, through the same listener.
fn partition(asked: &Asked) -> String {
    let listener = &asked.client.listener.name;
    match &asked.subject {
        // No name holds a line break.
        Some(subject) => format!("{listener}\n{subject}"),
        None => listener.clone(),
    }
}

/// Waits for the answer, as long as the exchange may take.
pub(crate) async fn arrived<T>(
    exchange: &Arc<Exchange>,
    sent: impl Future<Output = Result<T, pinfold_http::Error>>,
) -> Result<T, No> {
    let arrived = exchange.until(sent).await.map_err(No::closed)?;
    arrived.map_err(|error| {
        exchange.close(closing(&error));
        No::judged(Refusal::from(&error))
    })
}

/// Hands the answer to the client, as it comes.
pub(crate) fn deliver(
    proxy: &Proxy,
    exchange: Arc<Exchange>,
    forwarded: Forwarded,
) -> Result<Response<Reply>, No> {
    let (parts, body) = forwarded.response.into_parts();
    if parts.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        exchange.close(Closing::Server);
        return Err(No::judged(not_a_proxy()));
    }
    let body = ForwardedBody::map_err(body, Into::into).boxed_unsync();
    let download = exchange.download(&proxy.scope(), body);
    Ok(head(parts.status, parts.headers).map(|()| Reply::download(download)))
}

/// A client would take the challenge of a server for one of ours, and send it the credentials that are for us.
fn not_a_proxy() -> Refusal {
    Refusal::new(Kind::Unreachable, "exchange", "response-proxy-auth")
        .hint("the server asks for credentials of a proxy, which it is not")
}

/// The head of an answer as the client gets it.
pub(crate) fn head(status: StatusCode, mut headers: HeaderMap) -> Response<()> {
    fields::for_client(&mut headers);
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Who ended an exchange that failed.
pub(crate) fn closing(error: &pinfold_http::Error) -> Closing {
    match error {
        pinfold_http::Error::Caller(_) => Closing::Client,
        error if error.is_timeout() => Closing::Idle,
        _ => Closing::Server,
    }
}

/// The request as the server gets it; its path and its `Host` are the forwarder's, who has the judged target.
fn outgoing(
    shared: &Shared,
    request: Request<Incoming>,
    target: &Target,
    asked: &Arc<Asked>,
    exchange: &Arc<Exchange>,
) -> Request<Body> {
    let (mut parts, incoming) = request.into_parts();
    if let Some(said) = fields::for_server(&mut parts.headers, target) {
        note_host(shared, asked, &said);
    }
    let body = match incoming.is_end_stream() {
        true => Body::empty(),
        false => Body::wrap(Upload::new(incoming, Arc::clone(exchange))),
    };
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = parts.method;
    *outgoing.headers_mut() = parts.headers;
    outgoing
}

/// The target is what counts (RFC 9112, 3.2.2); who says something else may be up to something.
fn note_host(shared: &Shared, asked: &Arc<Asked>, said: &HeaderValue) {
    let mut seen = String::from_utf8_lossy(said.as_bytes()).into_owned();
    seen.truncate(seen.floor_char_boundary(SEEN));
    note(shared, asked, "host-differs", Some(seen));
}

fn note(shared: &Shared, asked: &Arc<Asked>, code: &'static str, seen: Option<String>) {
    shared.bus.tell(&Event::Tunnel(Arc::new(TunnelNotice {
        at: SystemTime::now(),
        asked: Arc::clone(asked),
        code,
        seen,
        enforced: false,
    })));
}

/// Bytes of a `Host` that are told.
const SEEN: usize = 255;
