//! HTTP on pinned sockets: fetch a URL that a stranger wrote.
//!
//! [`Client`] sends requests whose every hop is judged by a [`pinfold::Guard`]: the target before it is
//! looked up, each address before it is dialled, and the same again for every redirect.
//! [`GuardedConnector`] gives the judged sockets to those who use hyper themselves, and [`Forwarder`] sends the requests
//! of others: it is what a proxy is made of.
//!
//! ```no_run
//! use pinfold::Guard;
//! use pinfold_http::Client;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Guard::new()?);
//! let response = client.get("https://example.com/").subject("user-7").send().await?;
//! println!("{} from {}", response.status(), response.url());
//! println!("{}", response.text().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # What holds for every request
//!
//! - One [`pinfold::Session`], so one policy, for a request and all its redirects. Each hop leaves a
//!   [`pinfold::Decision`].
//! - `Host`, server name and certificate speak of the host in the URL, never of the address dialled.
//! - The environment is not asked: no proxy variables, no hosts file. (`SSL_CERT_FILE` and
//!   `SSL_CERT_DIR` choose the roots of the operating system, as everywhere.)
//! - HTTP/1.1 only. No HTTP/2, so nothing is coalesced onto a connection made for another name; no
//!   `Alt-Svc`, no upgrades, no cookies, no `Referer`, no credentials from the URL.
//! - Across origins only headers that carry no secret go along with a redirect (an allow-list).
//! - Every wait and every byte has a bound: [`Limits`], tightened by the policy's terms and by the
//!   request itself.
//! - A connection is kept for its origin, its judged address and its policy alone; a swap of the
//!   policy closes all that are kept.
//! - A request on a kept connection that the server closed meanwhile is judged and sent once more,
//!   when it is idempotent and not a byte came back, or when nothing of it was sent. Such a hop, and no
//!   other, looks its name up twice and leaves two records: the first says `reused`.
//!
//! What is said here of redirects, decoding and headers is the [`Client`]'s; a [`Forwarder`] follows, decodes and
//! adds nothing, and hands on trailers, `100 Continue` and upgrades.
//!
//! What a client does *not* do: charsets other than UTF-8, trailers, `100 Continue`, caching.
#![forbid(unsafe_code)]

mod binding;
mod body;
mod client;
mod connector;
mod deadline;
mod decode;
mod dial;
mod error;
mod exchange;
mod failed;
mod forward;
mod io;
mod limits;
mod link;
mod pool;
mod redirect;
mod request;
mod response;
mod tls;

pub use body::ResponseBody;
pub use client::{Client, ClientBuilder};
pub use connector::{GuardedConnector, GuardedStream};
pub use error::Error;
pub use failed::FailedRedirect;
pub use forward::{Forwarded, ForwardedBody, Forwarder, Switched, Upgrade, UpgradedStream};
pub use limits::Limits;
pub use request::{Body, RequestBuilder};
pub use response::{Hop, Response};
pub use tls::{InvalidRoots, TlsRoots};
