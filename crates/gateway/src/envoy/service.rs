//! From a question to its answer, within the deadline.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::ACCEPT};
use hyper::body::Incoming;
use pinfold::Error;
use tokio::time::timeout;
use tonic::{body::Body, codegen::Service, server::UnaryService};
use tonic_prost::ProstCodec;

use super::{
    answer::{self, Pins},
    deadline,
    question::{Asker, Question},
    wire::{self, CheckRequest, CheckResponse},
};
use crate::{
    client::{Client, ClientAddress, RequestId},
    egress::{self, Admitted, Ask},
    event::{Event, Turned},
    http::{Activity, Format},
    identity::Presented,
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
        let _busy = self.parts.activity.enter();
        match request.uri().path() {
            wire::CHECK => self.check(request).await,
            path if path.starts_with(HEALTH) => self.health(request).await,
            _ => {
                tonic::Status::unimplemented("this service decides, and says whether it is healthy")
                    .into_http()
            }
        }
    }

    async fn check(self, request: Request<Incoming>) -> Response<Body> {
        let configured = self.parts.shared.config.load().envoy.deadline.get();
        let within = deadline::within(configured, request.headers());
        let check = Check {
            decisions: self,
            within,
        };
        let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
            .apply_max_message_size_config(Some(LONGEST_QUESTION), None);
        grpc.unary(check, request).await
    }

    async fn health(self, request: Request<Incoming>) -> Response<Body> {
        let mut server = self.parts.shared.health.server();
        let Ok(response) = server.call(request).await;
        response
    }

    /// The decision, whatever it is: errors of gRPC are for what is not even a question.
    async fn decide(&self, question: CheckRequest, within: Duration) -> CheckResponse {
        let id = RequestId::next();
        let attributes = question.attributes.unwrap_or_default();
        let asker = Asker::of(&attributes);
        let decided = timeout(within, self.decided(id, &asker, &attributes)).await;
        let decided = decided.unwrap_or_else(|_| Err(No::judged(too_late())));
        decided.unwrap_or_else(|no| self.refuse(id, &asker, no))
    }

    async fn decided(
        &self,
        id: RequestId,
        asker: &Asker,
        attributes: &wire::Attributes,
    ) -> Result<CheckResponse, No> {
        let envoy = self.parts.shared.config.load().envoy.clone();
        let question = Question::read(attributes, envoy.tls_port)?;
        let subject = self.subject(asker).await?;
        let target = question.target.clone();
        let ask = self.ask(id, asker, subject.clone(), question);
        let Admitted {
            session,
            request,
            permit: _permit,
            ..
        } = egress::admit(&self.parts.shared, ask).map_err(|refusal| No::of(refusal, subject))?;
        let pinned = session.pin(request).await.map_err(|e| No::of_guard(&e))?;
        let handed = pinned.hand_over().map_err(|e| No::of_guard(&e))?;
        let pins = Pins::of(&handed.addresses, envoy.pins);
        let pins = pins.ok_or_else(|| No::judged(unfit()))?;
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

    fn refuse(&self, id: RequestId, asker: &Asker, no: No) -> CheckResponse {
        let No {
            refusal,
            judged,
            subject,
        } = no;
        let answer = answer::denied(id, &refusal, format(asker));
        if !judged {
            let turned = Turned {
                at: SystemTime::now(),
                id,
                client: self.client(asker),
                subject,
                correlation: asker.correlation.clone(),
                refusal,
                detail: String::new(),
            };
            self.parts
                .shared
                .bus
                .tell(&Event::Refused(Arc::new(turned)));
        }
        answer
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

/// One question.
struct Check {
    decisions: Decisions,
    within: Duration,
}

impl UnaryService<CheckRequest> for Check {
    type Response = CheckResponse;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<CheckResponse>, tonic::Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let (decisions, within) = (self.decisions.clone(), self.within);
        Box::pin(async move {
            let answer = decisions.decide(request.into_inner(), within).await;
            Ok(tonic::Response::new(answer))
        })
    }
}

/// Why Envoy may not connect.
struct No {
    refusal: Refusal,
    /// Whether a decision tells of it already.
    judged: bool,
    subject: Option<Subject>,
}

impl No {
    fn of(refusal: Refusal, subject: Option<Subject>) -> Self {
        Self {
            refusal,
            judged: false,
            subject,
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

fn too_late() -> Refusal {
    Refusal::new(Kind::TimedOut, "resolve", "deadline-exceeded")
        .hint("no decision in the time that there was: most often the name servers are slow")
}

fn unfit() -> Refusal {
    Refusal::new(Kind::Denied, "address", "address-not-dialable")
        .hint("an address of the answer would not be dialled as it was judged")
}

/// Bytes of a question. Fields of 64 KiB, which Envoy takes by default, and the rest.
const LONGEST_QUESTION: usize = 256 << 10;
/// Where questions about health begin.
const HEALTH: &str = "/grpc.health.v1.Health/";
