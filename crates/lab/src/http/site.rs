//! Paths to pages.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use super::{Coding, Page, Seen};
use crate::limits::ROUTES;

/// How often a slow page sends the next bit.
const SLOW: Duration = Duration::from_millis(100);
/// The largest body of `/bytes/<n>`.
const BYTES: usize = 16 << 20;

/// Which page is at which path.
///
/// # Paths of the standard site
///
/// | path | page |
/// |---|---|
/// | `/` and every other | a short text |
/// | `/echo` | the request as it came |
/// | `/redirect?to=URL&status=N` | a redirect; `to` is percent-decoded, `status` is 302 by default |
/// | `/hops/N?to=URL` | N redirects, then one to `to`, or the short text |
/// | `/loop` | a redirect to itself |
/// | `/status/N`, `/bytes/N` | an empty page with this status; so many octets |
/// | `/chunked`, `/gzip` | honest bodies in these codings |
/// | `/endless`, `/slow-headers`, `/slow-body`, `/silence` | never end, each in its way |
/// | `/bomb`, `/bomb-deflate` | never end, and become 158 times as large |
/// | `/huge-headers` | 1 MiB of headers |
/// | `/too-short`, `/too-long` | less, and more, than `Content-Length` says |
/// | `/early-close` | closed in the middle of the headers |
/// | `/alt-svc` | a page that says it is better served elsewhere |
/// | `/set-cookie` | a page that sets a cookie |
/// | `/refresh` | a page that asks to be replaced (`Refresh`) |
#[derive(Debug, Default)]
pub struct Site {
    routes: RwLock<HashMap<String, Page>>,
    standard: bool,
    rest: Option<Page>,
}

impl Site {
    /// The paths above.
    pub fn standard() -> Self {
        Self {
            standard: true,
            ..Self::default()
        }
    }

    /// The same page at every path.
    pub fn only(page: Page) -> Self {
        Self {
            rest: Some(page),
            ..Self::default()
        }
    }

    /// Puts a page at a path (without query); beyond [`ROUTES`] new paths are ignored.
    pub fn route(&self, path: &str, page: Page) -> &Self {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() < ROUTES || routes.contains_key(path) {
            routes.insert(path.to_owned(), page);
        }
        self
    }

    pub(super) fn page(&self, seen: &Seen) -> Page {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let route = routes.get(seen.path()).cloned();
        let standard = || self.standard.then(|| standard(seen)).flatten();
        route
            .or_else(standard)
            .or_else(|| self.rest.clone())
            .unwrap_or_else(welcome)
    }
}

fn welcome() -> Page {
    Page::text("a public page\n")
}

fn standard(seen: &Seen) -> Option<Page> {
    let path = seen.path();
    if let Some((_, page)) = FIXED.iter().find(|(fixed, _)| *fixed == path) {
        return Some(page());
    }
    if let Some(count) = path.strip_prefix("/hops/") {
        return Some(hop(count.parse().unwrap_or(0), seen.query()));
    }
    if let Some(status) = path.strip_prefix("/status/") {
        return Some(Page::text("").status(status.parse().unwrap_or(500)));
    }
    if let Some(count) = path.strip_prefix("/bytes/") {
        return Some(Page::text(vec![
            b'x';
            count.parse().unwrap_or(0).min(BYTES)
        ]));
    }
    (path == "/redirect").then(|| redirect(seen.query()))
}

/// A page that depends on nothing.
type Fixed = (&'static str, fn() -> Page);

const FIXED: [Fixed; 17] = [
    ("/echo", Page::echo),
    ("/loop", || Page::redirect(302, "/loop")),
    ("/chunked", || Page::chunked("a public page in chunks\n")),
    ("/gzip", || Page::gzip(b"a public page in gzip\n")),
    ("/endless", Page::endless),
    ("/slow-headers", || Page::slow_headers(SLOW)),
    ("/slow-body", || Page::slow_body(SLOW)),
    ("/silence", Page::silence),
    ("/bomb", || Page::bomb(Coding::Gzip)),
    ("/bomb-deflate", || Page::bomb(Coding::Deflate)),
    ("/huge-headers", || Page::huge_headers(1 << 20)),
    ("/too-short", || Page::wrong_length(1000, 10)),
    ("/too-long", || Page::wrong_length(10, 1000)),
    ("/early-close", Page::early_close),
    ("/alt-svc", || {
        welcome().header("alt-svc", "h2=\"127.0.0.3:1\", http/1.1=\"127.0.0.3:1\"")
    }),
    ("/set-cookie", || {
        welcome().header("set-cookie", "id=1; Path=/")
    }),
    ("/refresh", || {
        welcome().header("refresh", "0; url=http://127.0.0.3/")
    }),
];

fn redirect(query: &str) -> Page {
    let status = value(query, "status").and_then(|status| status.parse().ok());
    Page::redirect(
        status.unwrap_or(302),
        &value(query, "to").unwrap_or_else(|| "/".into()),
    )
}

fn hop(count: u32, query: &str) -> Page {
    match (count.checked_sub(1), value(query, "to")) {
        (Some(next), _) => Page::redirect(302, &format!("/hops/{next}?{query}")),
        (None, Some(to)) => Page::redirect(302, &to),
        (None, None) => welcome(),
    }
}

/// A percent-decoded value of the query. `+` stays `+`.
fn value(query: &str, key: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| *name == key)?;
    Some(decoded(value))
}

fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        octets.extend(before.bytes());
        let code = after
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        octets.push(code.unwrap_or(b'%'));
        rest = if code.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    octets.extend(rest.bytes());
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let rows = [
            ("to=http%3A%2F%2Fa%2F", Some("http://a/")),
            ("a=1&to=x%zz%4", Some("x%zz%4")),
            ("to=", Some("")),
            ("other=1", None),
        ];
        for (query, expected) in rows {
            assert_eq!(value(query, "to").as_deref(), expected, "{query}");
        }
    }
}
