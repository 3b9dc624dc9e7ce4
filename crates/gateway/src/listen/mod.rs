//! From an accepted socket to a client that speaks HTTP or SOCKS5: PROXY header, TLS, first bytes.
//!
//! ```text
//!   door (TCP, Unix, inherited) ──► accept ──► greet ─────────────────────► http::serve | socks::serve
//!                                   bounds     PROXY header, TLS, opening
//! ```
//!
//! | file | what |
//! |---|---|
//! | `door.rs`, `unix.rs`, `inherited.rs` | sockets, bound or passed on |
//! | `accept.rs` | the loop of a listener; what is beyond a bound goes no further |
//! | `greet.rs` | what comes before the first request, with a deadline for each step |
//! | `proxy_header.rs` | who is behind a load balancer |
//! | `tls.rs` | certificates, read again on reload |
//! | `opening.rs` | what the first bytes say |
//! | `turned.rs` | a last word to who is sent away |

mod accept;
mod door;
mod greet;
mod inherited;
mod opening;
mod proof;
pub mod proxy_header;
pub(crate) mod tls;
mod turned;
mod unix;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{client::Client, config, limit::Permit};

pub(crate) use accept::accept;
pub(crate) use door::{Door, Manner, Raw};
pub(crate) use inherited::Inherited;
pub(crate) use opening::{Opening, look, rewound};
pub(crate) use proof::Proof;
pub(crate) use tls::Tls;

/// The bytes of a client, under TLS or not, with nothing read from them that is not read again.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A client, ready to be served.
pub(crate) struct Accepted {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) client: Arc<Client>,
    /// Its place among the connections.
    pub(crate) permit: Permit,
}

/// What a listener does with those who come in. Its door is apart, so that it can be closed while they stay.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) tls: Option<Arc<Tls>>,
    /// What of it may change while running is replaced as a whole.
    pub(crate) config: ArcSwap<config::Listener>,
}

/// The listener of the admin interface.
#[derive(Debug)]
pub(crate) struct Operators {
    pub(crate) door: Arc<Door>,
    pub(crate) tls: Option<Arc<Tls>>,
}
