//! A response, and the way to it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use pinfold_addr::Target;

use crate::{Error, ResponseBody};

/// A response to the last request of a chain of redirects.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) hops: Vec<Hop>,
    pub(crate) body: ResponseBody,
    pub(crate) request: pinfold::Request,
}

/// One request that was sent on the way to a response. Each had a decision of its own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hop {
    /// Where it went.
    pub target: Target,
    /// With which method.
    pub method: Method,
    /// What came back.
    pub status: StatusCode,
    /// The judged address it was sent to. For the operator: never shown to a client.
    pub peer: SocketAddr,
    /// Whether a kept connection served it.
    pub reused: bool,
    /// Generation of the policy that judged it.
    pub generation: u64,
    /// Number of its decision record ([`Decision::id`](pinfold::Decision::id)); of the second one, when
    /// the hop was judged again because a kept connection was dead.
    pub decision: u64,
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers. When the body is decoded, `Content-Encoding` and `Content-Length` are gone.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Where it came from in the end, after all redirects.
    pub fn url(&self) -> &Target {
        self.request.target()
    }

    /// Every request that was sent, the last one included; never empty.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// The next bytes of the body; none at the end.
    ///
    /// # Errors
    ///
    /// As [`ResponseBody::chunk`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.body.chunk().await
    }

    /// The whole body. The byte budget bounds it.
    ///
    /// # Errors
    ///
    /// As [`ResponseBody::bytes`].
    pub async fn bytes(self) -> Result<Bytes, Error> {
        self.body.bytes().await
    }

    /// The whole body as UTF-8, ill-formed sequences replaced. The byte budget bounds it.
    ///
    /// # Errors
    ///
    /// As [`ResponseBody::text`].
    pub async fn text(self) -> Result<String, Error> {
        self.body.text().await
    }

    /// The body alone.
    pub fn into_body(self) -> ResponseBody {
        self.body
    }

    /// As the type that other HTTP libraries take. The hops are in its extensions, as `Arc<[Hop]>`.
    pub fn into_http(self) -> http::Response<ResponseBody> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
            .extensions_mut()
            .insert(std::sync::Arc::<[Hop]>::from(self.hops));
        response
    }
}
