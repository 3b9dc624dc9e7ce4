//! The client, and what it is built from.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method};
use pinfold::Guard;
use pinfold_addr::Target;

use crate::{
    Body, Error, Limits, RequestBuilder, ResponseBody, TlsRoots, dial::Dialer, link::Parser,
    pool::Pool,
};

/// An HTTP client whose every request, redirects included, is judged by a guard. Cheap to clone;
/// clones share the kept connections.
///
/// # Example
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use pinfold::Guard;
/// use pinfold_http::Client;
///
/// let client = Client::new(Guard::new()?);
/// match client.get("https://example.com/avatar.png").send().await {
///     Ok(response) => println!("{}", response.bytes().await?.len()),
///     Err(error) if error.is_denied() => println!("{error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// Builds a [`Client`]. Everything has a safe default.
///
/// # Example
///
/// ```
/// use pinfold::{Guard, resolve::Fixed};
/// use pinfold_http::{Client, Limits};
///
/// let guard = Guard::builder().resolver(Fixed::default()).build()?;
/// let mut limits = Limits::default();
/// limits.redirects = 2;
/// let client = Client::builder(guard).limits(limits).build();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ClientBuilder {
    guard: Guard,
    limits: Limits,
    roots: TlsRoots,
    user_agent: HeaderValue,
    decode: bool,
}

/// What all requests of a client share.
pub(crate) struct Shared {
    pub(crate) guard: Guard,
    pub(crate) limits: Limits,
    pub(crate) pool: Pool,
    pub(crate) user_agent: HeaderValue,
    pub(crate) decode: bool,
    pub(crate) dialer: Dialer,
}

impl Client {
    /// A client with default limits that trusts the roots of the operating system.
    pub fn new(guard: Guard) -> Self {
        Self::builder(guard).build()
    }

    /// Starts a builder.
    pub fn builder(guard: Guard) -> ClientBuilder {
        ClientBuilder {
            guard,
            limits: Limits::default(),
            roots: TlsRoots::default(),
            user_agent: HeaderValue::from_static(concat!("pinfold/", env!("CARGO_PKG_VERSION"))),
            decode: true,
        }
    }

    /// A `GET` request.
    pub fn get(&self, url: &str) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A `HEAD` request.
    pub fn head(&self, url: &str) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A `POST` request.
    pub fn post(&self, url: &str) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A `PUT` request.
    pub fn put(&self, url: &str) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A `DELETE` request.
    pub fn delete(&self, url: &str) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A request with any method but `CONNECT`, which opens a tunnel, and `TRACE`, which reflects
    /// what it is sent.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url)
    }

    /// A request to a target that was parsed before.
    pub fn request_target(&self, method: Method, target: Target) -> RequestBuilder {
        RequestBuilder::to_target(self.clone(), method, target)
    }

    /// The guard that judges.
    pub fn guard(&self) -> &Guard {
        &self.shared.guard
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl ClientBuilder {
    /// Bounds. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whose certificates are trusted. Default: the roots of the operating system.
    #[must_use]
    pub fn tls_roots(mut self, roots: TlsRoots) -> Self {
        self.roots = roots;
        self
    }

    /// What is sent as `User-Agent`. Default: `pinfold/` and the version.
    #[must_use]
    pub fn user_agent(mut self, name: HeaderValue) -> Self {
        self.user_agent = name;
        self
    }

    /// Whether coded bodies are asked for and decoded: `gzip`, `deflate`, `br`. Default: yes.
    #[must_use]
    pub fn decode(mut self, decode: bool) -> Self {
        self.decode = decode;
        self
    }

    /// Makes the client. Reads the operating system's roots, when those are asked for.
    pub fn build(self) -> Client {
        let shared = Shared {
            dialer: Dialer::new(&self.guard, &self.roots, Parser::new(&self.limits)),
            pool: Pool::new(&self.limits, self.guard.generation()),
            guard: self.guard,
            limits: self.limits,
            user_agent: self.user_agent,
            decode: self.decode,
        };
        Client {
            shared: Arc::new(shared),
        }
    }
}

/// A request in the types that other HTTP libraries use. Its URI must be absolute.
impl tower_service::Service<http::Request<Body>> for Client {
    type Response = http::Response<ResponseBody>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        let mut builder = self.request(head.method, &head.uri.to_string()).body(body);
        for (name, value) in &head.headers {
            builder = builder.header(name, value);
        }
        Box::pin(async move { builder.send().await.map(crate::Response::into_http) })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("guard", &self.shared.guard)
            .field("limits", &self.shared.limits)
            .field("pool", &self.shared.pool)
            .finish_non_exhaustive()
    }
}
