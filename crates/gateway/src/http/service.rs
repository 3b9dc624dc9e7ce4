//! From a request to its answer.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, PROXY_AUTHORIZATION, UPGRADE},
};
use hyper::body::Incoming;
use pinfold_addr::Target;
use tokio::sync::Notify;

use super::{
    activity::Activity,
    answer::{self, Format},
    connect, exchange, fields, forward,
    onward::Onward,
    reply::Reply,
    scope::Scope,
    target, upgrade,
};
use crate::{
    client::{Client, RequestId},
    egress::Ask,
    event::{Event, Exchange, Turned},
    identity::{self, Presented},
    refusal::{Kind, Refusal},
    shared::Shared,
    subject::Subject,
};

/// Answers the requests of one client connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proxy {
    parts: Arc<Parts>,
}

struct Parts {
    shared: Arc<Shared>,
    client: Arc<Client>,
    scope: Scope,
    activity: Arc<Activity>,
    /// What a connection of HTTP/1 becomes after its last answer.
    onward: Mutex<Option<Onward>>,
    /// It becomes one.
    becomes: Notify,
}

/// Why there is no other answer.
pub(crate) struct No {
    refusal: Refusal,
    /// Whether a decision tells of it already.
    judged: bool,
    subject: Option<Subject>,
}

impl Proxy {
    pub(crate) fn new(shared: Arc<Shared>, client: Arc<Client>, scope: Scope) -> Self {
        let parts = Parts {
            shared,
            client,
            scope,
            activity: Activity::new(),
            onward: Mutex::default(),
            becomes: Notify::new(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.parts.shared
    }

    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.parts.activity)
    }

    pub(crate) fn scope(&self) -> Scope {
        self.parts.scope.clone()
    }

    /// A tunnel begins, once the client has its answer.
    pub(crate) fn go_on(&self, version: Version, tunnel: Onward) {
        match version {
            Version::HTTP_2 => {
                let shared = Arc::clone(self.shared());
                self.parts.scope.spawn(tunnel.within(shared));
            }
            _ => {
                *self.slot() = Some(tunnel);
                self.parts.becomes.notify_one();
            }
        }
    }

    /// Waits until there is a tunnel to come, and that is told to close: a client that does not take its answer holds
    /// nothing open. One waiter.
    pub(crate) async fn told_to_close(&self) {
        loop {
            self.parts.becomes.notified().await;
            let ear = self.slot().as_ref().map(|tunnel| tunnel.live.ear());
            if let Some(ear) = ear {
                ear.told_to_close().await;
                return;
            }
        }
    }

    /// What the connection has become.
    pub(crate) fn onward(&self) -> Option<Onward> {
        self.slot().take()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Onward>> {
        let slot = self.parts.onward.lock();
        slot.unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Reply> {
        let busy = self.parts.activity.enter();
        let id = RequestId::next();
        let mut manner = Manner::of(&request);
        let answered = match self.parts.activity.next() {
            // What came is a stand-in of the gate.
            Some(refusal) => {
                manner.read = false;
                Err(refusal.into())
            }
            None => self.route(id, request).await,
        };
        let mut response = answered.unwrap_or_else(|no| self.refuse(id, &manner, no));
        manner.apply(&mut response);
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert(answer::REQUEST_ID, id);
        }
        response.body_mut().keep(busy);
        response
    }

    async fn route(
        &self,
        id: RequestId,
        request: Request<Incoming>,
    ) -> Result<Response<Reply>, No> {
        let fields = self.shared().config.load().limits.headers;
        target::served(&request, fields)?;
        if request.method() == Method::CONNECT {
            let target = target::of_connect(&request)?;
            let ask = self.ask(id, Exchange::Connect, target, &request).await?;
            return connect::connect(self, ask, request).await;
        }
        let target = target::of_forward(&request)?;
        if request.version() == Version::HTTP_11 && fields::wants_websocket(request.headers()) {
            let ask = self.ask(id, Exchange::Upgrade, target, &request).await?;
            return upgrade::upgrade(self, ask, request).await;
        }
        let ask = self.ask(id, Exchange::Forward, target, &request).await?;
        forward::forward(self, ask, request).await
    }

    /// Who asks, and for what.
    async fn ask(
        &self,
        id: RequestId,
        kind: Exchange,
        target: Target,
        request: &Request<Incoming>,
    ) -> Result<Ask, No> {
        let parts = &self.parts;
        let presented = presented(request.headers())?;
        let subject = parts.shared.identities.subject(&parts.client, presented);
        Ok(Ask {
            id,
            client: Arc::clone(&parts.client),
            subject: subject.await?,
            kind,
            target,
            method: Some(request.method().as_str().to_owned()),
            traceparent: traceparent(request.headers()),
            correlation: None,
            labels: Vec::new(),
            until: None,
        })
    }

    fn refuse(&self, id: RequestId, manner: &Manner, no: No) -> Response<Reply> {
        let client = &self.parts.client;
        let challenges = self.shared().identities.challenges(client);
        let mut response = answer::refusal(&no.refusal, id, manner.format, &challenges);
        if no.refusal.code == identity::LAPSED && manner.version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if !no.judged {
            let turned = Turned {
                at: SystemTime::now(),
                id,
                client: Arc::clone(client),
                subject: no.subject,
                correlation: None,
                refusal: no.refusal,
                detail: manner.describe(),
            };
            self.shared().bus.tell(&Event::Refused(Arc::new(turned)));
        }
        response
    }
}

impl hyper::service::Service<Request<Incoming>> for Proxy {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Reply>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move { Ok(proxy.answer(request).await) })
    }
}

impl No {
    /// A decision tells of it.
    pub(crate) fn judged(refusal: Refusal) -> Self {
        Self {
            refusal,
            judged: true,
            subject: None,
        }
    }

    /// The way out says no: limits before a judgement, or what a decision tells of.
    pub(crate) fn of_egress(refusal: Refusal, subject: Option<Subject>) -> Self {
        Self {
            judged: !matches!(refusal.kind, Kind::Limited | Kind::Overloaded),
            refusal,
            subject,
        }
    }

    /// The exchange was closed before it was answered.
    pub(crate) fn closed(closing: crate::live::Closing) -> Self {
        Self::judged(exchange::refusal(closing))
    }
}

/// Nothing was judged, and nobody is known.
impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            judged: false,
            subject: None,
        }
    }
}

/// What of a request shapes its answer, whatever it is.
struct Manner {
    method: Method,
    uri: Uri,
    format: Format,
    /// Whether the gate lets no request through after this one.
    last: bool,
    version: Version,
    /// Whether this is what the client asked.
    read: bool,
}

impl Manner {
    fn of<B>(request: &Request<B>) -> Self {
        let (method, headers) = (request.method(), request.headers());
        Self {
            method: method.clone(),
            uri: request.uri().clone(),
            format: Format::wanted(headers),
            last: *method == Method::CONNECT || headers.contains_key(UPGRADE),
            version: request.version(),
            read: true,
        }
    }

    fn apply(&self, response: &mut Response<Reply>) {
        let status = response.status();
        let tunnel = status == StatusCode::SWITCHING_PROTOCOLS
            || (self.method == Method::CONNECT && status.is_success());
        if self.method == Method::HEAD && self.version == Version::HTTP_2 {
            // Over HTTP/1 the library leaves it out.
            *response.body_mut() = Reply::empty();
        }
        let closes = status == StatusCode::REQUEST_TIMEOUT || self.last;
        if closes && !tunnel && self.version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }

    /// For the operator: what was asked for, without what may be secret in it.
    fn describe(&self) -> String {
        if !self.read {
            return "a head that was not let through".into();
        }
        let host = self.uri.authority().map(http::uri::Authority::as_str);
        let host = host.unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        // In origin form the path is all there is, and that is for nobody's eyes.
        let mut text = match host {
            "" => format!("{}, without a host", self.method),
            host => format!("{} {host}", self.method),
        };
        text.truncate(text.floor_char_boundary(DESCRIPTION));
        text
    }
}

fn presented(headers: &HeaderMap) -> Result<Presented<'_>, Refusal> {
    let mut values = headers.get_all(PROXY_AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Presented::Nothing),
        (Some(value), None) => Ok(Presented::Header(value.as_bytes())),
        (Some(_), Some(_)) => {
            let refusal = Refusal::new(Kind::Malformed, "identity", "credentials-repeated");
            Err(refusal.hint("send one `Proxy-Authorization`"))
        }
    }
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    (value.len() <= TRACEPARENT).then(|| value.to_owned())
}

/// Bytes of what an operator sees of a request that was refused.
const DESCRIPTION: usize = 300;

/// Bytes of a `traceparent`; version 00 has 55.
pub(crate) const TRACEPARENT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_described_without_what_may_be_secret() {
        for (method, uri, said) in [
            ("GET", "/secret?a=b", "GET, without a host"),
            ("GET", "http://u:p@a.example/secret", "GET a.example"),
            ("CONNECT", "a.example:443", "CONNECT a.example:443"),
        ] {
            let request = Request::builder().method(method).uri(uri);
            let manner = Manner::of(&request.body(()).unwrap());
            assert_eq!(manner.describe(), said);
        }
    }
}
