//! The second reading: RFC 3986 (with the characters of RFC 3987), on the raw text, written apart
//! from the WHATWG parser so that the two can disagree.
//!
//! A URL on which two standards disagree is one that two programs read differently: the one that
//! checks and the one that connects. [`Reading`] is what RFC 3986 sees; [`Reading::agrees`] compares
//! it with what WHATWG saw. Paths and queries may differ: they do not decide where a socket goes.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use percent_encoding::percent_decode_str;

use super::{Host, Scheme, host};

/// Scheme and authority as RFC 3986 reads them; not yet decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reading<'a> {
    /// `None` for a reference without a scheme.
    pub(super) scheme: Option<&'a str>,
    /// `None` for a reference without an authority.
    pub(super) authority: Option<Authority<'a>>,
}

/// `[ userinfo "@" ] host [ ":" port ]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Authority<'a> {
    pub(super) userinfo: Option<&'a str>,
    /// As written, IPv6 with its brackets.
    pub(super) host: &'a str,
    /// The digits; `None` when there is no colon or nothing after it, which RFC 3986 (3.2.3) and
    /// WHATWG both read as the default port.
    pub(super) port: Option<&'a str>,
}

/// Why the strict reading failed or disagrees, for the operator.
pub(super) type Problem = &'static str;

impl<'a> Reading<'a> {
    /// Reads a URI reference (RFC 3986, appendix B).
    pub(super) fn of(text: &'a str) -> Result<Self, Problem> {
        let (scheme, rest) = split_scheme(text);
        let authority = match rest.strip_prefix("//") {
            Some(rest) => Some(Authority::of(until(rest, &['/', '?', '#']))?),
            None => None,
        };
        if scheme.is_some() && authority.is_none() {
            return Err("no `//` after the scheme");
        }
        Ok(Self { scheme, authority })
    }
}

impl<'a> Authority<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, Problem> {
        let (userinfo, host_port) = match text.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, text),
        };
        if host_port.contains('@') {
            return Err("more than one `@` before the path");
        }
        if !userinfo.unwrap_or_default().chars().all(is_userinfo) {
            return Err("the userinfo holds a character that RFC 3986 forbids there");
        }
        let (host, port) = split_port(host_port)?;
        Ok(Self {
            userinfo,
            host,
            port,
        })
    }

    /// Whether this is the host and port that the WHATWG parser saw.
    pub(super) fn agrees(&self, scheme: Scheme, host: &Host, port: u16) -> Result<(), Problem> {
        if self.port(scheme)? != port {
            return Err("the port is read in two ways");
        }
        match host {
            Host::Ip(IpAddr::V6(ip)) => self.agrees_ipv6(*ip),
            Host::Ip(IpAddr::V4(ip)) => self.agrees_ipv4(*ip),
            Host::Domain(name) => self.agrees_name(name.as_str()),
        }
    }

    /// Whether the host, an address literal, is written the one way its standard recommends: four
    /// decimal numbers; RFC 5952 for IPv6, in which hexadecimal digits of either case are let pass.
    /// RFC 5952 lets the IPv4-mapped form be written with or without a dotted quad.
    pub(super) fn is_canonical_literal(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.host == ip.to_string(),
            IpAddr::V6(ip) => ipv6_spellings(ip).any(|text| self.host.eq_ignore_ascii_case(&text)),
        }
    }

    fn port(&self, scheme: Scheme) -> Result<u16, Problem> {
        match self.port {
            None => Ok(scheme.default_port()),
            Some(digits) => digits
                .parse()
                .map_err(|_| "the port is no number below 65536"),
        }
    }

    fn agrees_ipv6(&self, ip: Ipv6Addr) -> Result<(), Problem> {
        let inner = self
            .host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match inner.and_then(|text| text.parse::<Ipv6Addr>().ok()) {
            Some(read) if read == ip => Ok(()),
            _ => Err("the IPv6 literal is read in two ways"),
        }
    }

    fn agrees_ipv4(&self, ip: Ipv4Addr) -> Result<(), Problem> {
        match self.decoded_name().and_then(|name| inet_aton(&name)) {
            Some(read) if read == ip => Ok(()),
            _ => Err("the IPv4 literal is read in two ways"),
        }
    }

    fn agrees_name(&self, name: &str) -> Result<(), Problem> {
        match self.decoded_name() {
            Some(read) if read.strip_suffix('.').unwrap_or(&read) == name => Ok(()),
            _ => Err("the host is read in two ways"),
        }
    }

    /// The `reg-name`, percent-decoded once and mapped by UTS 46.
    fn decoded_name(&self) -> Option<String> {
        if !self.host.chars().all(is_reg_name) {
            return None;
        }
        let decoded: Cow<'_, [u8]> = percent_decode_str(self.host).into();
        let text = core::str::from_utf8(&decoded).ok()?;
        host::to_ascii(text.as_bytes())
    }
}

/// `scheme ":" rest`; no scheme when the text before the first `:` is none (RFC 3986, 3.1).
fn split_scheme(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, text),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet))
}

fn split_port(host_port: &str) -> Result<(&str, Option<&str>), Problem> {
    let (host, port) = match host_port.rsplit_once(':') {
        // The colons of an IPv6 literal are inside its brackets.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (host_port, ""),
    };
    if host.is_empty() {
        return Err("the host is empty");
    }
    if !port.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    Ok((host, (!port.is_empty()).then_some(port)))
}

fn until<'a>(text: &'a str, ends: &[char]) -> &'a str {
    text.split(ends).next().unwrap_or(text)
}

/// `*( unreserved / pct-encoded / sub-delims )` (RFC 3986, 3.2.2) with the `ucschar` of RFC 3987. A
/// stray `%` is found when the name is decoded: it is no character of a name.
fn is_reg_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c) || !c.is_ascii()
}

fn is_userinfo(c: char) -> bool {
    is_reg_name(c) || c == ':'
}

/// The numbers-and-dots notation of `inet_aton`: one to four parts, each decimal, octal (`0`) or
/// hexadecimal (`0x`), the last filling what is left. One trailing root dot is let pass. Stricter than
/// WHATWG in one point: `0x` without digits is no number, as in the C libraries.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    const PARTS: usize = 4;
    let text = text.strip_suffix('.').unwrap_or(text);
    let parts = text.split('.').map(number).collect::<Option<Vec<u64>>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() >= PARTS || leading.iter().any(|octet| *octet > 0xff) {
        return None;
    }
    let last_bits = 8 * (PARTS - leading.len());
    if last >> last_bits != 0 {
        return None;
    }
    let high = leading.iter().fold(0, |high, octet| high << 8 | octet);
    u32::try_from(high << last_bits | last)
        .ok()
        .map(Ipv4Addr::from)
}

fn number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.as_bytes() {
        [b'0', b'x' | b'X', ..] => (part.get(2..)?, 16),
        [b'0', _, ..] => (part, 8),
        _ => (part, 10),
    };
    // `from_str_radix` takes a sign, which is no digit here.
    if !digits.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// The forms of RFC 5952, in brackets.
fn ipv6_spellings(ip: Ipv6Addr) -> impl Iterator<Item = String> {
    [format!("[{ip}]"), format!("[{}]", Hexadecimal(ip))].into_iter()
}

/// IPv6 as WHATWG writes it: like RFC 5952, without dotted quads.
struct Hexadecimal(Ipv6Addr);

impl fmt::Display for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Domain;

    fn read(text: &str) -> Reading<'_> {
        Reading::of(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    #[test]
    fn reads_scheme_userinfo_host_and_port() {
        let authority = |userinfo, host, port| {
            Some(Authority {
                userinfo,
                host,
                port,
            })
        };
        let rows = [
            ("http://h", Some("http"), authority(None, "h", None)),
            (
                "h+t.p-2://h:1/",
                Some("h+t.p-2"),
                authority(None, "h", Some("1")),
            ),
            ("//u:p@h:", None, authority(Some("u:p"), "h", None)),
            (
                "http://@[::1]:80?@x",
                Some("http"),
                authority(Some(""), "[::1]", Some("80")),
            ),
            (
                "http://[::1]#@x",
                Some("http"),
                authority(None, "[::1]", None),
            ),
            ("/a//b", None, None),
            ("?a://b", None, None),
            ("1a:b", None, None),
            ("", None, None),
        ];
        for (text, scheme, authority) in rows {
            assert_eq!(read(text), Reading { scheme, authority }, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let rows = [
            ("http:h", "no `//` after the scheme"),
            ("http:///h", "the host is empty"),
            ("//:80", "the host is empty"),
            ("//a@b@h", "more than one `@` before the path"),
            (
                "//a[b@h",
                "the userinfo holds a character that RFC 3986 forbids there",
            ),
            ("//h:8a", "the port is not a number"),
            ("//h:+8", "the port is not a number"),
        ];
        for (text, problem) in rows {
            assert_eq!(Reading::of(text), Err(problem), "{text}");
        }
    }

    /// The parser at hand may change, or be wrong: what it says is compared, not believed.
    #[test]
    fn a_parser_that_reads_otherwise_is_not_believed() {
        let name = |name| Host::Domain(Domain::parse(name).unwrap());
        let ip = |ip: &str| Host::Ip(ip.parse().unwrap());
        let rows = [
            ("//example.com", name("example.com"), 80, true),
            ("//example.com", name("example.net"), 80, false),
            ("//example.com", name("example.com"), 81, false),
            ("//example.com:81", name("example.com"), 80, false),
            ("//example.com:70000", name("example.com"), 4464, false),
            ("//a%2eb", name("a.b"), 80, true),
            ("//a%252eb", name("a.b"), 80, false),
            ("//a|b", name("a"), 80, false),
            ("//a..", name("a"), 80, false),
            ("//127.1", ip("127.0.0.1"), 80, true),
            ("//127.1", ip("127.1.0.0"), 80, false),
            ("//127.0.0.1", ip("127.0.0.2"), 80, false),
            ("//example.com", ip("127.0.0.1"), 80, false),
            ("//[::1]", ip("::1"), 80, true),
            ("//[::1]", ip("::2"), 80, false),
            ("//[::1%1]", ip("::1"), 80, false),
            ("//::1", ip("::1"), 80, false),
        ];
        for (text, host, port, agrees) in rows {
            // What cannot be read does not agree either.
            let read = Reading::of(text).ok().and_then(|reading| reading.authority);
            let found = read.is_some_and(|read| read.agrees(Scheme::Http, &host, port).is_ok());
            assert_eq!(found, agrees, "{text} as {host} {port}");
        }
    }

    #[test]
    fn numbers_and_dots() {
        let rows = [
            ("1.2.3.4", Some([1, 2, 3, 4])),
            ("1.2.3.4.", Some([1, 2, 3, 4])),
            ("0X1.02.0x3.4", Some([1, 2, 3, 4])),
            ("1.2.772", Some([1, 2, 3, 4])),
            ("1.131844", Some([1, 2, 3, 4])),
            ("16909060", Some([1, 2, 3, 4])),
            ("4294967295", Some([255; 4])),
            ("4294967296", None),
            ("99999999999999999999999", None),
            ("1.16777216", None),
            ("256.1", None),
            ("1.2.3.256", None),
            ("1.2.3.4.5", None),
            ("1..2", None),
            ("08", None),
            ("0x", None),
            ("0xg", None),
            ("+1", None),
            ("-1", None),
            ("0x+1", None),
            ("", None),
            (".", None),
        ];
        for (text, expected) in rows {
            assert_eq!(inet_aton(text).map(|ip| ip.octets()), expected, "{text}");
        }
    }
}
