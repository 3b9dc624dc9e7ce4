//! Every bound of the lab. It runs beside tests on a developer's machine, so that nothing here may
//! grow without end, whatever the client under attack does.

use std::time::Duration;

/// Connections that one server serves at a time; more are counted and closed.
pub const CONNECTIONS: usize = 1024;
/// How long a connection may live, whatever is sent on it.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// How long a server waits for a request head, or for a TLS handshake.
pub const HEAD_WAIT: Duration = Duration::from_secs(15);
/// The longest request head that is read, in bytes.
pub const HEAD_BYTES: usize = 64 << 10;
/// How much of a request body is kept in the log, in bytes.
pub const BODY_KEPT: usize = 64 << 10;
/// How much of a request body is read before the connection is closed, in bytes.
pub const BODY_BYTES: u64 = 64 << 20;
/// Requests that a server's log keeps; later ones are only counted.
pub const REQUESTS_KEPT: usize = 32_768;
/// Paths that may be added to a site.
pub const ROUTES: usize = 4096;
/// How much an endless response sends before it ends after all, in bytes.
pub const ENDLESS_BYTES: u64 = 1 << 30;
/// Questions that the DNS log keeps; later ones are only counted.
pub const QUESTIONS_KEPT: usize = 1 << 17;
/// Names and record types that are counted, and for which a strategy keeps its state.
pub const NAMES: usize = 1 << 18;
/// Patterns that may be added to a zone.
pub const PATTERNS: usize = 4096;
/// Aliases that the DNS server follows inside its own zone.
pub const CHASE: usize = 32;
/// DNS connections over TCP that are served at a time, and replies that may wait for their delay.
pub const DNS_TASKS: usize = 4096;
/// How long a DNS connection over TCP may be idle.
pub const DNS_IDLE: Duration = Duration::from_secs(10);
/// Bytes that the naive client reads of a response.
pub const PLAIN_BYTES: usize = 1 << 20;
/// How long the naive client waits for one step.
pub const PLAIN_WAIT: Duration = Duration::from_secs(2);
/// Redirects that the naive client follows.
pub const PLAIN_REDIRECTS: usize = 10;
/// How often a pair of servers is bound again, because the port is taken on the second address.
pub const PORT_ATTEMPTS: usize = 64;
