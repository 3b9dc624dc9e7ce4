//! From a question to its answer, within the deadline.

use std::{convert::Infallible, pin::Pin, sync::Arc, task::Poll, time::SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Incoming;
use pinfold::{Error, HandedOver, Pinned, PolicyRef};
use pinfold_addr::Reason;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::{body::Body, codegen::Service, server::UnaryService};
use tonic_prost::ProstCodec;

use super::{
    answer::{self, Pins},
    deadline, health,
    question::{self, Asker, Question},
    wire::{self, CheckRequest, CheckResponse},
};
use crate::{
    client::{Client, ClientAddress, RequestId},
    egress::{self, Admitted, Ask},
    event::{Event, Turned},
    http::{Activity, Format},
    identity::{self, Presented},
    refusal::{Kind, Refusal},
    shared::Shared,
    subject::Subject,
};

/// Decides for one connection of an Envoy. Cheap to clone.
#[derive(Clone)]
pub(super) struct Decisions {
    parts: Arc<Parts>,
}

struct Parts {
    shared: Arc<Shared>,
    client: Arc<Client>,
    activity: Arc<Activity>,
}

impl Decisions {
    pub(super) fn new(shared: Arc<Shared>, client: Arc<Client>, activity: Arc<Activity>) -> Self {
        let parts = Parts {
            shared,
            client,
            activity,
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let busy = self.parts.activity.enter();
        let response = self.route(request).await;
        // A watch goes on after its head.
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _until_dropped = &busy;
                frame
            }))
        })
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        if let Err(status) = is_grpc(&request) {
            return plain(status);
        }
        match request.uri().path() {
            wire::CHECK => self.check(request).await,
            path if path.starts_with(HEALTH) => self.health(request).await,
            path => {
                self.tell_of(no_such_method(), shortened(path));
                let says = "this service decides, and says whether it is healthy";
                tonic::Status::unimplemented(says).into_http()
            }
        }
    }

    /// What Envoy waits for begins with the head of its request: a question that comes late leaves less.
    async fn check(&self, request: Request<Incoming>) -> Response<Body> {
        let configured = self.parts.shared.config.load().envoy.deadline.get();
        let within = deadline::within(configured, request.headers());
        let until = Instant::now() + within;
        let check = Check {
            decisions: self.clone(),
            until,
        };
        let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
            .apply_max_message_size_config(Some(LONGEST_QUESTION), None);
        let response = grpc
            .unary(check, request.map(|body| in_time(body, until)))
            .await;
        self.tell_of_unread(&response);
        response
    }

    async fn health(&self, request: Request<Incoming>) -> Response<Body> {
        let mut server = self.parts.shared.health.server();
        let time = self.parts.shared.config.load().limits.head_time.get();
        let watches = request.uri().path().ends_with(WATCH);
        match timeout(time, server.call(request)).await {
            Ok(Ok(response)) if watches => health::until(response, self.parts.activity.left()),
            Ok(Ok(response)) => response,
            Err(_) => {
                tonic::Status::deadline_exceeded("the request did not come in time").into_http()
            }
        }
    }

    /// The decision, whatever it is: errors of gRPC are for what is not even a question, and for whom nobody decides.
    async fn decide(
        &self,
        question: CheckRequest,
        until: Instant,
    ) -> Result<CheckResponse, tonic::Status> {
        let id = RequestId::next();
        let attributes = question.attributes.unwrap_or_default();
        let asker = Asker::of(&attributes);
        match self.decided(id, &asker, &attributes, until).await {
            Ok(answer) => Ok(answer),
            Err(no) => {
                let lapsed = no.refusal.code == identity::LAPSED;
                let answer = answer::denied(id, &no.refusal, no.policy.as_ref(), format(&asker));
                self.tell(id, &asker, &attributes, no);
                if !lapsed {
                    return Ok(answer);
                }
                // It is the certificate of Envoy: on another connection, with another one, it may ask again.
                self.parts.activity.end();
                Err(tonic::Status::unavailable(identity::LAPSED))
            }
        }
    }

    async fn decided(
        &self,
        id: RequestId,
        asker: &Asker,
        attributes: &wire::Attributes,
        until: Instant,
    ) -> Result<CheckResponse, No> {
        let envoy = self.parts.shared.config.load().envoy.clone();
        let question = Question::read(attributes, envoy.tls_port)?;
        let subject = timeout_at(until, self.subject(asker)).await;
        let subject = subject.map_err(|_| too_late())??;
        let target = question.target.clone();
        let ask = self.ask(id, asker, subject.clone(), question, until);
        let admitted = egress::admit(&self.parts.shared, ask);
        let admitted = admitted.map_err(|refusal| No::of(refusal, subject))?;
        let handed = judged(admitted, until).await?;
        let pins = Pins::of(&handed, envoy.pins);
        Ok(answer::allowed(id, pins, &target, &handed))
    }

    async fn subject(&self, asker: &Asker) -> Result<Option<Subject>, Refusal> {
        let identities = &self.parts.shared.identities;
        let presented = Presented::Principal(&asker.principal);
        identities.subject(&self.parts.client, presented).await
    }

    fn ask(
        &self,
        id: RequestId,
        asker: &Asker,
        subject: Option<Subject>,
        question: Question,
        until: Instant,
    ) -> Ask {
        Ask {
            id,
            client: self.client(asker),
            subject,
            kind: question.kind,
            target: question.target,
            method: question.method,
            traceparent: asker.traceparent.clone(),
            correlation: asker.correlation.clone(),
            labels: question.labels,
            until: Some(until),
        }
    }

    /// Whose request it is, as far as Envoy says; it came by the connection of Envoy all the same.
    fn client(&self, asker: &Asker) -> Arc<Client> {
        let envoy = &self.parts.client;
        match asker.address {
            None => Arc::clone(envoy),
            Some(address) => Arc::new(Client {
                address: ClientAddress::Tcp(address),
                ..Client::clone(envoy)
            }),
        }
    }

    /// Of a refusal, unless a decision tells of it.
    fn tell(&self, id: RequestId, asker: &Asker, attributes: &wire::Attributes, no: No) {
        if no.judged {
            return;
        }
        let turned = Turned {
            at: SystemTime::now(),
            id,
            client: self.client(asker),
            subject: no.subject,
            correlation: asker.correlation.clone(),
            refusal: no.refusal,
            detail: question::described(attributes),
        };
        let refused = Event::Refused(Arc::new(turned));
        self.parts.shared.bus.tell(&refused);
    }

    /// Of what is no question: Envoy gets an error of gRPC for it.
    fn tell_of_unread(&self, response: &Response<Body>) {
        let status = tonic::Status::from_header_map(response.headers());
        // Who may ask again has been told of.
        let unread = status
            .filter(|status| !matches!(status.code(), tonic::Code::Ok | tonic::Code::Unavailable));
        if let Some(status) = unread {
            self.tell_of(unreadable(), shortened(status.message()));
        }
    }

    fn tell_of(&self, refusal: Refusal, detail: String) {
        let turned = Turned::unread(Arc::clone(&self.parts.client), refusal, detail);
        let refused = Event::Refused(Arc::new(turned));
        self.parts.shared.bus.tell(&refused);
    }
}

impl hyper::service::Service<Request<Incoming>> for Decisions {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let decisions = self.clone();
        Box::pin(async move { Ok(decisions.answer(request).await) })
    }
}

/// What the policy says, and the record of it.
async fn judged(admitted: Admitted, until: Instant) -> Result<HandedOver, No> {
    let Admitted {
        session,
        request,
        permit: _permit,
        ..
    } = admitted;
    let policy = session.policy();
    let pinned = timeout_at(until, session.pin(request)).await;
    let pinned = pinned.map_err(|_| No::judged(too_late()).by(policy))?;
    let handed = pinned.and_then(Pinned::hand_over);
    handed.map_err(|e| No::of_guard(&e).by(policy))
}

/// One question.
struct Check {
    decisions: Decisions,
    until: Instant,
}

impl UnaryService<CheckRequest> for Check {
    type Response = CheckResponse;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<CheckResponse>, tonic::Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let (decisions, until) = (self.decisions.clone(), self.until);
        Box::pin(async move {
            let answer = decisions.decide(request.into_inner(), until).await;
            answer.map(tonic::Response::new)
        })
    }
}

/// Why Envoy may not connect.
struct No {
    refusal: Refusal,
    /// Whether a decision tells of it already.
    judged: bool,
    subject: Option<Subject>,
    /// The policy that was asked, when it came to that.
    policy: Option<PolicyRef>,
}

impl No {
    fn of(refusal: Refusal, subject: Option<Subject>) -> Self {
        Self {
            refusal,
            judged: false,
            subject,
            policy: None,
        }
    }

    fn judged(refusal: Refusal) -> Self {
        Self {
            judged: true,
            ..Self::of(refusal, None)
        }
    }

    fn of_guard(error: &Error) -> Self {
        Self::judged(Refusal::from(error))
    }

    fn by(self, policy: &PolicyRef) -> Self {
        Self {
            policy: Some(policy.clone()),
            ..self
        }
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::of(refusal, None)
    }
}

fn format(asker: &Asker) -> Format {
    let value = asker.accept.as_deref().map(HeaderValue::from_str);
    match value {
        Some(Ok(value)) => Format::wanted(&HeaderMap::from_iter([(ACCEPT, value)])),
        _ => Format::Text,
    }
}

/// gRPC is `POST`, and says so of its content.
fn is_grpc(request: &Request<Incoming>) -> Result<(), StatusCode> {
    let content = request.headers().get(CONTENT_TYPE);
    let content = content.map_or(&b""[..], HeaderValue::as_bytes);
    match (request.method(), content.starts_with(GRPC)) {
        (&Method::POST, true) => Ok(()),
        (&Method::POST, false) => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The body, until then; what has come by then is read, however late this looks.
fn in_time<B>(body: B, until: Instant) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<tonic::codegen::StdError>>
        + Send
        + Unpin
        + 'static,
{
    let (mut body, mut late) = (BodyStream::new(body), Box::pin(sleep_until(until)));
    let read = stream::poll_fn(move |cx| match body.poll_next_unpin(cx) {
        Poll::Pending => late.as_mut().poll(cx).map(|()| Some(Err(not_in_time()))),
        Poll::Ready(frame) => {
            Poll::Ready(frame.map(|read| read.map_err(|e| tonic::Status::from_error(e.into()))))
        }
    });
    Body::new(StreamBody::new(read))
}

fn not_in_time() -> tonic::Status {
    tonic::Status::deadline_exceeded("the question did not come in time")
}

/// For who does not speak gRPC.
fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// For the operator: the names of methods and the words of the library are as long as others like.
fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(DETAIL);
    text.get(..end).unwrap_or_default().to_owned()
}

fn too_late() -> Refusal {
    let reason = Reason::DeadlineExceeded;
    Refusal::new(Kind::TimedOut, reason.stage().as_str(), reason.code())
        .hint("no decision in the time that there was: most often the name servers are slow")
}

fn unreadable() -> Refusal {
    Refusal::new(Kind::Malformed, "request", "question-unreadable")
        .hint("ask by Envoy's `ext_authz` with gRPC, version 3 of its API, without compression, and in time")
}

fn no_such_method() -> Refusal {
    Refusal::new(Kind::Malformed, "request", "method-not-served")
        .hint("point `ext_authz` of Envoy at this listener, with `transport_api_version: V3`")
}

/// Bytes of a question. Fields of 64 KiB, which Envoy takes by default, and the rest.
const LONGEST_QUESTION: usize = 256 << 10;
/// Bytes of what an operator sees of what is no question.
const DETAIL: usize = 200;
/// How the method ends whose answer does not.
const WATCH: &str = "/Watch";
/// Where questions about health begin.
const HEALTH: &str = "/grpc.health.v1.Health/";
/// What a content type of gRPC begins with.
const GRPC: &[u8] = b"application/grpc";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::Full;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_question_that_has_come_is_read_however_late_it_is_looked_at() {
        let until = Instant::now() + Duration::from_millis(300);
        let come = in_time(Full::new(Bytes::from_static(b"here")), until);
        let never = in_time(
            StreamBody::new(stream::pending::<Result<_, Infallible>>()),
            until,
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(come.collect().await.unwrap().to_bytes(), "here");
        let late = never.collect().await.unwrap_err();
        assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
    }
}
