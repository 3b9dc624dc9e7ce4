//! Who may do what here: where a connection comes from, what it proves, and what a browser was made to send.
//!
//! What shares loopback with the gateway is not the operator: a page in a browser on the machine, and every client of
//! the proxy, reach loopback too. So reading is open there, and nothing is changed without a proof.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};
use pinfold_addr::{Class, Classifier};
use sha2::{Digest, Sha256};

use super::answer::Problem;
use crate::{config, file};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// A Unix socket: whoever may open it is an operator.
    Unix,
    /// From this machine, over an address that only this machine reaches.
    Loopback,
    /// From elsewhere, or over an address that elsewhere reaches.
    Beyond,
}

/// A connection of an operator, or of somebody who would like to be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) origin: Origin,
    /// Whether it proved a certificate of the operators' authority.
    pub(crate) certified: bool,
}

/// What a route asks of who uses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Needs {
    /// Nothing: health.
    Nothing,
    /// Being near, or a proof.
    Reading,
    /// A proof, and that no browser was led here.
    Change,
}

/// What proves an operator, as configured.
#[derive(Debug, Default)]
pub(crate) struct Access {
    token: ArcSwapOption<Token>,
    /// Names that `Host` may hold besides address literals and `localhost`.
    names: Vec<String>,
}

/// The token, as its hash: two hashes are compared in a time that says nothing about either.
#[derive(Debug)]
struct Token([u8; 32]);

impl Origin {
    /// Over TCP: both ends must be loopback, since an address of a network may be reached through its router.
    pub(crate) fn tcp(peer: SocketAddr, local: SocketAddr) -> Self {
        match is_loopback(peer.ip()) && is_loopback(local.ip()) {
            true => Self::Loopback,
            false => Self::Beyond,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unix => "a Unix socket",
            Self::Loopback => "loopback",
            Self::Beyond => "elsewhere",
        })
    }
}

impl Access {
    /// Reads the token, where there is one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds too short a token.
    pub(crate) fn new(config: &config::Admin) -> Result<Self, String> {
        let access = Self {
            token: ArcSwapOption::empty(),
            names: config
                .names
                .iter()
                .map(|name| name.to_lowercase())
                .collect(),
        };
        access.reload(config)?;
        Ok(access)
    }

    /// Reads the token again; what was read before stays when that fails.
    pub(crate) fn reload(&self, config: &config::Admin) -> Result<(), String> {
        let token = config.token_file.as_deref().map(read_token).transpose()?;
        self.token.store(token.map(Into::into));
        Ok(())
    }

    /// Whether this request may be answered.
    pub(super) fn check(
        &self,
        peer: Peer,
        needs: Needs,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        if peer.origin != Origin::Unix {
            self.host(headers)?;
        }
        if needs == Needs::Change {
            not_led_here(headers)?;
        }
        let proved = self.proves(peer, headers)?;
        match needs {
            Needs::Nothing => Ok(()),
            _ if proved => Ok(()),
            Needs::Reading if peer.origin == Origin::Loopback => Ok(()),
            _ => Err(self.proof_missing()),
        }
    }

    /// A name that leads here today may have led elsewhere when the browser loaded its page (DNS rebinding); an
    /// address cannot.
    fn host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = single(headers, &header::HOST).ok_or(HOST_MISSING)?;
        let host: Authority = host.parse().map_err(|_| HOST_UNKNOWN)?;
        let name = host.host().to_ascii_lowercase();
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        let known =
            literal.parse::<IpAddr>().is_ok() || name == "localhost" || self.names.contains(&name);
        if known { Ok(()) } else { Err(HOST_UNKNOWN) }
    }

    /// A token that is wrong is never the same as none: whoever sends one wants to know.
    fn proves(&self, peer: Peer, headers: &HeaderMap) -> Result<bool, Problem> {
        match headers.get(header::AUTHORIZATION) {
            None => Ok(peer.certified || peer.origin == Origin::Unix),
            Some(value) => {
                let token = self.token.load();
                let sent = bearer(value).ok_or(TOKEN_WRONG)?;
                match token.as_deref() {
                    Some(token) if token.is(sent) => Ok(true),
                    _ => Err(TOKEN_WRONG),
                }
            }
        }
    }

    fn proof_missing(&self) -> Problem {
        match self.token.load().is_some() {
            true => PROOF_MISSING,
            false => PROOF_IMPOSSIBLE,
        }
    }
}

impl Token {
    fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    fn is(&self, sent: &[u8]) -> bool {
        let sent = Self::of(sent);
        let pairs = self.0.iter().zip(&sent.0);
        pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

fn is_loopback(address: IpAddr) -> bool {
    Classifier::default().classify(address).class == Class::Loopback
}

fn read_token(path: &std::path::Path) -> Result<Token, String> {
    let text = file::text(path, TOKEN_BYTES)
        .map_err(|error| format!("the token in `{}`: {error}", path.display()))?;
    let token = text.trim();
    match token.len() {
        length if length < TOKEN_LEAST => Err(format!(
            "the token in `{}` has {length} characters, at least {TOKEN_LEAST} are needed",
            path.display()
        )),
        _ if !token.bytes().all(|octet| octet.is_ascii_graphic()) => Err(format!(
            "the token in `{}` is more than one word of ASCII",
            path.display()
        )),
        _ => Ok(Token::of(token.as_bytes())),
    }
}

/// What a page of another site can make a browser send, it cannot send with this header: that would need CORS,
/// which nothing here grants. The other two are what a browser says by itself.
fn not_led_here(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Err(CROSS_SITE);
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !is_own(origin, headers)
    {
        return Err(CROSS_SITE);
    }
    match single(headers, &INTENT) {
        Some("1") => Ok(()),
        _ => Err(INTENT_MISSING),
    }
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.to_str().ok();
    let authority = origin.and_then(|origin| origin.split_once("://"));
    let host = single(headers, &header::HOST);
    authority.is_some_and(|(_, authority)| Some(authority) == host)
}

/// The value of a header that occurs once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Says that a change is meant.
const INTENT: HeaderName = HeaderName::from_static("pinfold-admin");
/// Characters of a token, at least: 128 bits in hexadecimal digits.
const TOKEN_LEAST: usize = 32;
/// Bytes of the file.
const TOKEN_BYTES: u64 = 4_096;

const HOST_MISSING: Problem = Problem::new(400, "host-missing", "send one `Host` header");
const HOST_UNKNOWN: Problem = Problem::new(
    403,
    "host-unknown",
    "use an address or `localhost`, or list the name in `admin.names`",
);
const CROSS_SITE: Problem = Problem::new(
    403,
    "cross-site",
    "changes are not taken from pages of other sites",
);
const INTENT_MISSING: Problem = Problem::new(
    403,
    "intent-missing",
    "changes need the header `Pinfold-Admin: 1`",
);
const TOKEN_WRONG: Problem = Problem::new(
    401,
    "token-wrong",
    "send `Authorization: Bearer` with the token of `admin.token_file`",
);
const PROOF_MISSING: Problem = Problem::new(
    401,
    "proof-missing",
    "send `Authorization: Bearer` with the token of `admin.token_file`",
);
const PROOF_IMPOSSIBLE: Problem = Problem::new(
    403,
    "proof-missing",
    "set `admin.token_file`, or bind a Unix socket (`admin.bind`), or use a certificate (`admin.tls`)",
);

#[cfg(test)]
mod tests;
