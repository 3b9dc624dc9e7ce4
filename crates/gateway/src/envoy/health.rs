//! Whether an Envoy should ask here: the health service of gRPC (`grpc.health.v1`).

use std::{fmt, task::Poll};

use futures_util::{StreamExt, stream};
use http::{HeaderMap, Response};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Frame;
use tonic::body::Body;

use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use super::wire::SERVICE;

/// The health of the gateway, as a whole (the empty name) and as a decision service.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// It serves.
    pub(crate) async fn serving() -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
        };
        health.tell(ServingStatus::Serving).await;
        health
    }

    /// It drains: Envoy is to ask another one.
    pub(crate) async fn leave(&self) {
        self.tell(ServingStatus::NotServing).await;
    }

    async fn tell(&self, status: ServingStatus) {
        for name in ["", SERVICE] {
            self.reporter.set_service_status(name, status).await;
        }
    }

    pub(super) fn server(&self) -> HealthServer<HealthService> {
        let health = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(health).max_decoding_message_size(LONGEST)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health(..)")
    }
}

/// Whoever watches is let go at the end of the connection, which comes with its last answer, but hears the news before:
/// what is there to be told goes first.
pub(super) fn until(
    response: Response<Body>,
    end: impl Future<Output = ()> + Send + 'static,
) -> Response<Body> {
    response.map(|body| {
        let (mut body, mut end) = (BodyStream::new(body), Box::pin(end));
        let told = stream::poll_fn(move |cx| match body.poll_next_unpin(cx) {
            Poll::Pending => end.as_mut().poll(cx).map(|()| None),
            frame => frame,
        });
        let last = stream::once(async { Ok(Frame::trailers(gone())) });
        Body::new(StreamBody::new(told.chain(last)))
    })
}

fn gone() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // What it says can be a header: it is ours.
    let _ = tonic::Status::unavailable("the connection ends").add_header(&mut trailers);
    trailers
}

/// Bytes of a question about health: the name of a service.
const LONGEST: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn news_are_told_though_the_end_is_there_too() {
        let news =
            ["one", "two"].map(|news| Ok::<_, tonic::Status>(Frame::data(Bytes::from(news))));
        let body = StreamBody::new(stream::iter(news).chain(stream::pending()));
        let response = until(Response::new(Body::new(body)), async {});
        let all = response.into_body().collect().await.unwrap();
        assert_eq!(all.trailers().unwrap()["grpc-status"], "14");
        assert_eq!(all.to_bytes(), "onetwo");
    }
}
