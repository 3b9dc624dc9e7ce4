//! A target in its parts: what a record of a decision keeps, and the way back.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
};

use super::{Refusal, Spelling, Target};
use crate::Reason;

/// A [`Target`] in parts that a record can keep.
///
/// Anybody can write parts down, so that they prove nothing: [`Target::restore`] reads them as strictly as a
/// URL, and refuses what [`Target::parts`] never gives.
///
/// ```
/// use pinfold_addr::Target;
///
/// let target = Target::parse("http://user@0x7f.1/a?b")?;
/// let parts = target.parts();
/// assert_eq!((parts.host.as_str(), parts.port), ("127.0.0.1", 80));
/// // The text of a target says nothing of how it was once spelled, its parts do.
/// assert_eq!(Target::restore(&parts)?, target);
/// # Ok::<(), pinfold_addr::Refusal>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(::serde::Deserialize, ::serde::Serialize))]
#[expect(
    clippy::exhaustive_structs,
    reason = "the parts of a target are those of the contract, which cannot grow"
)]
pub struct TargetParts {
    /// The scheme, in lower case.
    pub scheme: String,
    /// The host as in a URL: a name in ASCII, or an address, IPv6 in brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
    /// The path in its percent-encoded form, begins with `/`.
    pub path: String,
    /// The query without `?`; none when there was no `?`.
    pub query: Option<String>,
    /// Unusual spellings that the parts no longer show.
    #[cfg_attr(feature = "serde", serde(default))]
    pub spelling: Spelling,
}

impl Target {
    /// The parts of this target, from which [`restore`](Self::restore) makes an equal one.
    pub fn parts(&self) -> TargetParts {
        TargetParts {
            scheme: self.scheme.as_str().to_owned(),
            host: self.host.to_string(),
            port: self.port,
            path: self.path.clone(),
            query: self.query.clone(),
            spelling: self.spelling,
        }
    }

    /// The target that has these parts: they are put together to a URL, which is parsed as any other.
    ///
    /// # Errors
    ///
    /// As [`Target::parse`]; `url-invalid` when the URL has other parts than these, or when they tell of a
    /// spelling that such a URL cannot have had.
    pub fn restore(parts: &TargetParts) -> Result<Self, Refusal> {
        let parsed = Self::parse(&parts.url()?)?;
        let restored = Self {
            spelling: parts.spelling,
            ..parsed
        };
        if restored.parts() != *parts {
            return Err(invented("these parts are not those of a canonical URL"));
        }
        if parts.spelling.non_canonical_literal && restored.host.ip().is_none() {
            return Err(invented("only an address has another spelling"));
        }
        Ok(restored)
    }
}

impl TargetParts {
    /// The canonical URL. The length is looked at first: the parts may come from anywhere.
    fn url(&self) -> Result<String, Refusal> {
        let (scheme, query) = (&self.scheme, self.query.as_deref());
        let lengths = [scheme, &self.host, &self.path].map(String::len);
        let length = lengths
            .into_iter()
            .chain(query.map(str::len))
            .sum::<usize>();
        if length > Target::MAX_LEN {
            let detail = format!("parts of {length} octets, the limit is {}", Target::MAX_LEN);
            return Err(Refusal::new(Reason::UrlTooLong, detail));
        }
        let default = scheme.parse::<super::Scheme>()?.default_port();
        let port = match self.port {
            port if port == default => String::new(),
            port => format!(":{port}"),
        };
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        Ok(format!(
            "{scheme}://{}{port}{}{query}",
            self.host, self.path
        ))
    }
}

fn invented(detail: &str) -> Refusal {
    Refusal::new(Reason::UrlInvalid, detail)
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;

    #[test]
    fn a_target_comes_back_from_its_parts() {
        for url in [
            "http://example.com",
            "HTTPS://user:pw@EXAMPLE.com:443/a/../b?q#f",
            "http://0x7f.1:8080/",
            "http://2130706433/",
            "http://127.0.0.1./",
            "http://[0:0:0:0:0:0:0:1]:1/",
            "http://[::ffff:1.2.3.4]/",
            "http://@[2001:DB8::1]/?",
            "http://m\u{fc}nchen.example/\u{e4}?\u{f6}='|\\",
            "http://h.example//a//b/%2e/c;d?x=1&y=%20?",
            "ws://h.example:443/",
            "wss://h.example:80/",
            "ftp://h.example/",
            "http://h_1.example/%00%ff^{}|",
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                Target::restore(&target.parts()).as_ref(),
                Ok(&target),
                "{url}"
            );
        }
    }

    #[test]
    fn the_longest_target_comes_back() {
        let path = "a".repeat(Target::MAX_LEN - "http://h.example/".len());
        let target = Target::parse(&format!("http://h.example/{path}")).unwrap();
        assert_eq!(Target::restore(&target.parts()), Ok(target));
    }

    /// What differs from the parts of `http://h.example/p?q`.
    type Forge = fn(&mut TargetParts);

    #[test]
    fn parts_that_no_target_has_are_refused() {
        let table: [(&str, Forge, Reason); 21] = [
            (
                "scheme in capitals",
                |p| p.scheme = "HTTP".into(),
                Reason::UrlInvalid,
            ),
            (
                "another scheme",
                |p| p.scheme = "gopher".into(),
                Reason::SchemeUnsupported,
            ),
            (
                "a scheme that is a URL",
                |p| p.scheme = "http://x/".into(),
                Reason::SchemeUnsupported,
            ),
            ("no host", |p| p.host.clear(), Reason::UrlAmbiguous),
            (
                "host in capitals",
                |p| p.host = "H.example".into(),
                Reason::UrlInvalid,
            ),
            (
                "a root dot",
                |p| p.host = "h.example.".into(),
                Reason::UrlInvalid,
            ),
            (
                "userinfo",
                |p| p.host = "u@h.example".into(),
                Reason::UrlInvalid,
            ),
            (
                "a port in the host",
                |p| p.host = "h.example:81".into(),
                Reason::UrlInvalid,
            ),
            (
                "a path in the host",
                |p| p.host = "h.example/x".into(),
                Reason::UrlInvalid,
            ),
            (
                "a literal in other words",
                |p| p.host = "0x7f.1".into(),
                Reason::UrlInvalid,
            ),
            (
                "IPv6 without brackets",
                |p| p.host = "::1".into(),
                Reason::UrlInvalid,
            ),
            (
                "a backslash",
                |p| p.host = "h.example\\".into(),
                Reason::UrlBackslash,
            ),
            ("port 0", |p| p.port = 0, Reason::PortZero),
            ("no path", |p| p.path.clear(), Reason::UrlInvalid),
            (
                "a path that goes on in the host",
                |p| p.path = ".evil/".into(),
                Reason::UrlInvalid,
            ),
            (
                "a path with dots",
                |p| p.path = "/a/../b".into(),
                Reason::UrlInvalid,
            ),
            (
                "a query in the path",
                |p| p.path = "/p?x".into(),
                Reason::UrlInvalid,
            ),
            (
                "a fragment",
                |p| p.query = Some("q#f".into()),
                Reason::UrlInvalid,
            ),
            (
                "a line feed",
                |p| p.query = Some("q\n".into()),
                Reason::UrlControl,
            ),
            (
                "too long",
                |p| p.path = "/a".repeat(Target::MAX_LEN),
                Reason::UrlTooLong,
            ),
            (
                "a name spelled as no literal",
                |p| p.spelling.non_canonical_literal = true,
                Reason::UrlInvalid,
            ),
        ];
        let honest = Target::parse("http://h.example/p?q").unwrap().parts();
        assert!(Target::restore(&honest).is_ok());
        for (row, forge, reason) in table {
            let mut parts = honest.clone();
            forge(&mut parts);
            let refusal = Target::restore(&parts).map(|target| target.to_string());
            assert_eq!(
                refusal.map_err(|refusal| refusal.reason),
                Err(reason),
                "{row}"
            );
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn parts_as_json() {
        let parts = Target::parse("http://u@[::1]/?").unwrap().parts();
        let json = r#"{"scheme":"http","host":"[::1]","port":80,"path":"/","query":"","spelling":{"userinfo":true,"non_canonical_literal":false}}"#;
        assert_eq!(serde_json::to_string(&parts).unwrap(), json);
        assert_eq!(serde_json::from_str::<TargetParts>(json).unwrap(), parts);
        let plain = json.replace(
            r#","spelling":{"userinfo":true,"non_canonical_literal":false}"#,
            "",
        );
        let plain = serde_json::from_str::<TargetParts>(&plain.to_owned()).unwrap();
        assert_eq!(plain.spelling, Spelling::default());
    }
}
