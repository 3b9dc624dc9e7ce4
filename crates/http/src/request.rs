//! A request before it is sent.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use pinfold_addr::Target;

use crate::{Client, Error, Response, exchange, limits::MAX_HEADERS};

/// Builds one request and sends it. Made by [`Client::get`] and its sisters.
///
/// What is wrong with it shows when it is sent.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    call: Result<Call, Error>,
}

/// A request that can be sent.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: pinfold::Request,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) total: Option<Duration>,
    pub(crate) response_bytes: Option<u64>,
    pub(crate) redirects: Option<u8>,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, url: &str) -> Self {
        let target = Target::parse(url).map_err(|refusal| Error::denied(refusal.into()));
        let call = target.and_then(|target| Call::new(method, target));
        Self { client, call }
    }

    pub(crate) fn to_target(client: Client, method: Method, target: Target) -> Self {
        Self {
            client,
            call: Call::new(method, target),
        }
    }

    /// Adds a header.
    ///
    /// `Host`, `Connection`, `Content-Length`, `Transfer-Encoding` and the others that steer the
    /// connection are the client's own and refused ([`Error::Caller`]), and so is a value with CR, LF
    /// or NUL; at most 128 are taken. A caller's `Accept-Encoding` turns decoding off: the body then comes as it was sent.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.change(|call| {
            let name = name
                .try_into()
                .map_err(|_| caller("ill-formed header name"))?;
            let value = value
                .try_into()
                .map_err(|_| caller(format!("ill-formed value of header `{name}`")))?;
            if FORBIDDEN.contains(&name) || name.as_str().starts_with("proxy-") {
                return Err(caller(format!("header `{name}` is the client's own")));
            }
            if call.headers.len() >= MAX_HEADERS {
                return Err(caller(format!("more than {MAX_HEADERS} headers")));
            }
            call.headers.append(name, value);
            Ok(())
        })
    }

    /// Sets the body: text or bytes, which a redirect can send again, or a [`Body::stream`], which
    /// it cannot.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|call| {
            call.body = body.into();
            Ok(())
        })
    }

    /// Who asks, as authenticated by the caller. The policy may have rules for each subject.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.change(|call| {
            call.request = call.request.clone().subject(subject);
            Ok(())
        })
    }

    /// Adds a label for the policy: tenant, feature, route.
    pub fn label(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.change(|call| {
            call.request = call.request.clone().label(key, value);
            Ok(())
        })
    }

    /// Tightens the time for the whole exchange, redirects and body included.
    pub fn timeout(self, total: Duration) -> Self {
        self.change(|call| {
            call.total = Some(total);
            Ok(())
        })
    }

    /// Tightens the bytes of response body, as received and again as decoded.
    pub fn max_bytes(self, bytes: u64) -> Self {
        self.change(|call| {
            call.response_bytes = Some(bytes);
            Ok(())
        })
    }

    /// Tightens the number of redirects to follow; 0 hands a redirect itself to the caller.
    pub fn max_redirects(self, redirects: u8) -> Self {
        self.change(|call| {
            call.redirects = Some(redirects);
            Ok(())
        })
    }

    /// Sends the request: judged, resolved once, pinned, and again for each redirect.
    ///
    /// The future owns the connection: dropped before it is done, it closes the socket.
    ///
    /// # Errors
    ///
    /// Each way to fail, by who is at fault: see [`Error`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its I/O and time drivers enabled.
    pub fn send(self) -> impl Future<Output = Result<Response, Error>> + Send + 'static {
        // Boxed: it takes several KiB, and would be copied wherever the caller's own future goes.
        Box::pin(async move { exchange::run(&self.client, self.call?).await })
    }

    fn change(mut self, change: impl FnOnce(&mut Call) -> Result<(), Error>) -> Self {
        if let Ok(call) = &mut self.call
            && let Err(error) = change(call)
        {
            self.call = Err(error);
        }
        self
    }
}

impl Call {
    fn new(method: Method, target: Target) -> Result<Self, Error> {
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(caller(format!("method `{method}` is not sent")));
        }
        Ok(Self {
            request: pinfold::Request::new(target).method(method.as_str()),
            method,
            headers: HeaderMap::new(),
            body: Body::empty(),
            total: None,
            response_bytes: None,
            redirects: None,
        })
    }
}

fn caller(problem: impl Into<String>) -> Error {
    Error::Caller(problem.into())
}

/// What steers the connection, the framing or an upgrade, and is decided by the client alone.
/// `Expect` is among them because nothing here waits for `100 Continue`.
const FORBIDDEN: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The body of a request.
///
/// # Example
///
/// ```
/// use pinfold_http::Body;
///
/// let text = Body::from("a=1&b=2");
/// assert!(text.is_replayable());
///
/// let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("chunk")]);
/// assert!(!Body::stream(stream).is_replayable());
/// ```
#[derive(Default)]
pub struct Body {
    kind: Kind,
}

type BoxError = Box<dyn StdError + Send + Sync>;

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
    /// A stream that was sent.
    Spent,
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that comes chunk by chunk, sent with chunked framing. It cannot be sent again: a
    /// redirect that needs it ends with `redirect-body`.
    pub fn stream<S, D, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<D, E>> + Send + 'static,
        D: Into<Bytes> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::wrap(StreamBody::new(stream.map(|chunk| match chunk {
            Ok(data) => Ok(Frame::data(data.into())),
            Err(error) => Err(error),
        })))
    }

    /// Any other body. When it knows its length, that is sent as `Content-Length`. Like a stream, it
    /// cannot be sent again.
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + 'static,
    {
        Self {
            kind: Kind::Stream(body.map_err(Into::into).boxed_unsync()),
        }
    }

    /// Whether a redirect or a retry can send it again.
    pub fn is_replayable(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Full(_))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.kind, Kind::Empty)
    }

    /// The body to send now. One that can be sent again stays; a stream is gone.
    pub(crate) fn take(&mut self) -> Self {
        match &self.kind {
            Kind::Empty => Self::empty(),
            Kind::Full(bytes) => Self {
                kind: Kind::Full(bytes.clone()),
            },
            Kind::Stream(_) | Kind::Spent => std::mem::replace(self, Self { kind: Kind::Spent }),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Empty => f.write_str("Empty"),
            Kind::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("Stream"),
            Kind::Spent => f.write_str("Spent"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self {
                kind: Kind::Full(bytes),
            }
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Spent => Poll::Ready(Some(Err("the body was already sent".into()))),
            Kind::Stream(stream) => Pin::new(stream).poll_frame(cx),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Spent => false,
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(stream) => stream.size_hint(),
            Kind::Spent => SizeHint::default(),
        }
    }
}
