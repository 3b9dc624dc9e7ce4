//! The heads of a forwarded exchange: what of them is not handed on as it came.

use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE},
    request, response,
    uri::PathAndQuery,
};
use http_body::Body as _;
use pinfold_addr::Target;

use crate::{
    Body, Error,
    exchange::{CONTENT_METHODS, invalid, unsendable},
};

/// Makes the request one to the judged target: what was judged is what is asked for, and of whom. An `OPTIONS` of the
/// server itself (`*`) stays that.
pub(super) fn address(head: &mut request::Parts, target: &Target) -> Result<(), Error> {
    if head.method == Method::CONNECT {
        return Err(Error::Caller("`CONNECT` is no request for a server".into()));
    }
    let authority = HeaderValue::try_from(target.authority()).map_err(unsendable)?;
    head.headers.insert(HOST, authority);
    if head.method == Method::OPTIONS && head.uri.path() == "*" {
        return Ok(());
    }
    let path = PathAndQuery::try_from(target.path_and_query()).map_err(unsendable)?;
    head.uri = Uri::from(path);
    Ok(())
}

/// Frames the request as its body is: how the client framed it was between it and us.
pub(super) fn frame(head: &mut request::Parts, body: &Body) {
    let headers = &mut head.headers;
    let chunked = headers.remove(TRANSFER_ENCODING).is_some();
    match body.size_hint().exact() {
        _ if body.is_empty() => {
            let says = chunked || headers.contains_key(CONTENT_LENGTH);
            if says || CONTENT_METHODS.contains(&head.method) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        Some(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        None => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// Whether the server is to be asked before the body is sent. What cannot be waited for is not asked.
pub(super) fn expects(head: &mut request::Parts, body: &Body) -> bool {
    let asks = head.headers.contains_key(EXPECT);
    let waits = asks && head.version == Version::HTTP_11 && !body.is_empty();
    if asks && !waits {
        head.headers.remove(EXPECT);
    }
    waits
}

/// The protocols that a request offers, which then says so of its connection.
pub(super) fn upgrade(headers: &mut HeaderMap) -> Result<Vec<String>, Error> {
    let protocols = tokens(headers, &UPGRADE);
    if protocols.is_empty() {
        return Err(Error::Caller(
            "a request without `Upgrade` upgrades nothing".into(),
        ));
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    Ok(protocols)
}

/// Whether the server switches to what was offered (RFC 9110, 7.8).
pub(super) fn switches(headers: &HeaderMap, offered: &[String]) -> Result<(), Error> {
    let chosen = tokens(headers, &UPGRADE);
    let known = chosen.iter().all(|protocol| offered.contains(protocol));
    match known && !chosen.is_empty() {
        true => Ok(()),
        false => Err(invalid(
            "the server switched to a protocol that was not offered",
        )),
    }
}

/// Makes the head one that can be handed on: framed in one way, and by us. Whether the connection may be kept.
///
/// One that speaks HTTP/1.0 is not: a later request may need a body of unknown length, which hyper would leave out.
/// With both framings another reader may see another end (RFC 9112, 6.3), so that what follows is not trusted; with a
/// coding beyond `chunked` the next one to read the body would not know it for coded.
pub(super) fn receive(head: &mut response::Parts) -> Result<bool, Error> {
    let modern = std::mem::replace(&mut head.version, Version::HTTP_11) == Version::HTTP_11;
    let headers = &mut head.headers;
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(modern);
    }
    if tokens(headers, &TRANSFER_ENCODING) != ["chunked"] {
        return Err(invalid("a transfer coding that was not asked for"));
    }
    Ok(headers.remove(CONTENT_LENGTH).is_none())
}

/// Whether the server has refused the request and closes: what is left of it is then in vain (RFC 9112, 9.5).
pub(super) fn refuses(head: &response::Parts) -> bool {
    let error = head.status.is_client_error() || head.status.is_server_error();
    error
        && tokens(&head.headers, &CONNECTION)
            .iter()
            .any(|token| token == "close")
}

/// The members of a list of tokens, in lower case.
fn tokens(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|token| String::from_utf8_lossy(token.trim_ascii()).to_ascii_lowercase())
        .filter(|token| !token.is_empty())
        .collect()
}
