//! What holds for tunnels and forwarded exchanges.

use super::Span;

/// Deadlines, and what is looked at inside a tunnel. A policy's terms may only tighten the deadlines.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Tunnels {
    /// Whether the server name of a TLS handshake must be the host of the request. Default: `enforce`.
    pub sni: Sni,
    /// What becomes of a tunnel to port 443 that does not begin with TLS. Default: `allow`.
    pub non_tls: NonTls,
    /// Time for all connection attempts; one address alone may take all of it. Default: 10 s.
    pub connect: Span,
    /// A tunnel in which nothing moves for this time, in either direction, is closed. Default: 5 min.
    pub idle: Span,
    /// The longest life of a tunnel. Default: 24 h.
    pub lifetime: Span,
    /// After one side has ended its half, how long the other half may still go on without moving. Default: 30 s.
    pub half_closed: Span,
    /// Time for the head of a response, and between two pieces of its body. Default: 60 s.
    pub response: Span,
    /// After a swap, how long until every open connection has been judged again and, when refused, closed.
    /// What is not judged in time is closed. Default: 5 s.
    pub revocation: Span,
}

/// What is done about a server name that is not the host of the request.
///
/// A handshake for a name must give that name: none, or another, is a mismatch, and so is what cannot be read within
/// `limits.head_time` and 16 KiB. Where the request is for an address, there must be no name: rules about names have not
/// seen it. With Encrypted ClientHello only the outer name is visible. Tunnels that do not begin with TLS, on whatever
/// port, are not concerned: see `non_tls`; nor is TLS that begins later (`STARTTLS`).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    PartialEq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sni {
    /// Nothing is looked at. When a new policy demands TLS, tunnels that are open are closed, as nobody knows what
    /// they speak.
    Off,
    /// It is logged.
    Log,
    /// The tunnel is closed before a byte has reached the server.
    #[default]
    Enforce,
}

/// What becomes of a tunnel to port 443 that does not begin with TLS.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    PartialEq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NonTls {
    /// It goes on.
    #[default]
    Allow,
    /// It goes on, and is logged.
    Log,
    /// It is closed.
    Deny,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            sni: Sni::default(),
            non_tls: NonTls::default(),
            connect: Span::seconds(10),
            idle: Span::seconds(300),
            lifetime: Span::seconds(24 * 3600),
            half_closed: Span::seconds(30),
            response: Span::seconds(60),
            revocation: Span::seconds(5),
        }
    }
}
