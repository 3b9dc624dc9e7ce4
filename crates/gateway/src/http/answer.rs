//! What a client is told about a refusal: status, code, hint, correlation id. Never an address.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER},
};

use super::reply::Reply;
use crate::{
    client::RequestId,
    refusal::{Kind, Refusal},
};

pub(crate) const REASON: HeaderName = HeaderName::from_static("pinfold-reason");
pub(crate) const STAGE: HeaderName = HeaderName::from_static("pinfold-stage");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("pinfold-request-id");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What a client reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Format {
    /// What `Accept` prefers: JSON only when it is named, and text is not preferred to it.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let (mut text, mut json) = (0, 0);
        for range in headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .take(RANGES)
        {
            let (name, weight) = weighed(range);
            if name.eq_ignore_ascii_case("application/json") {
                json = json.max(weight);
            } else if name.to_ascii_lowercase().starts_with("text/") {
                text = text.max(weight);
            }
        }
        match json > 0 && json >= text {
            true => Self::Json,
            false => Self::Text,
        }
    }
}

/// The answer to what is refused.
pub(crate) fn refusal(
    refusal: &Refusal,
    id: RequestId,
    format: Format,
    challenges: &[&'static str],
) -> Response<Reply> {
    let Told { headers, body } = told(refusal, id, format);
    let mut response = Response::new(Reply::text(body));
    *response.status_mut() = refusal.kind.status();
    *response.headers_mut() = headers;
    if refusal.kind == Kind::Unauthenticated {
        for challenge in challenges {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().append(PROXY_AUTHENTICATE, challenge);
        }
    }
    response
}

/// What a client is told, whoever brings it.
pub(crate) struct Told {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Of a refusal.
pub(crate) fn told(refusal: &Refusal, id: RequestId, format: Format) -> Told {
    let (mime, body) = match format {
        Format::Text => ("text/plain; charset=utf-8", text(refusal)),
        Format::Json => ("application/json", json(refusal, id)),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(mime));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(&mut headers, REASON, &refusal.code);
    set(&mut headers, STAGE, refusal.stage);
    set(&mut headers, REQUEST_ID, &id.to_string());
    let (error, code) = (refusal.proxy_error(), &refusal.code);
    set(
        &mut headers,
        PROXY_STATUS,
        &format!("pinfold; error={error}; details=\"{code}\""),
    );
    if let Some(time) = refusal.comes_back() {
        // Whole seconds, and never before it is time.
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.max(1).into());
    }
    Told { headers, body }
}

fn text(refusal: &Refusal) -> String {
    let line = format!("refused at stage `{}`: {}\n", refusal.stage, refusal.code);
    match refusal.hint {
        None => line,
        Some(hint) => format!("{line}hint: {hint}\n"),
    }
}

fn json(refusal: &Refusal, id: RequestId) -> String {
    let error = serde_json::json!({"error": {
        "status": refusal.kind.status().as_u16(),
        "stage": refusal.stage,
        "code": refusal.code,
        "hint": refusal.hint,
        "request_id": id,
    }});
    format!("{error}\n")
}

/// A code of a policy that cannot be in a header is left out: the body has it.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let plain = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if let (true, Ok(value)) = (plain, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// A media range and its weight in thousandths.
fn weighed(range: &str) -> (&str, u32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    let weight = weight.map_or(Some(1.0), |text| text.parse::<f32>().ok());
    // NaN and what is out of range become 0 and 1,000.
    (
        name,
        (weight.unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u32,
    )
}

/// Media ranges that are looked at.
const RANGES: usize = 32;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;

    fn accept(value: &'static str) -> Format {
        let value = HeaderValue::from_static(value);
        Format::wanted(&HeaderMap::from_iter([(ACCEPT, value)]))
    }

    #[test]
    fn json_comes_to_who_prefers_it() {
        let rows = [
            ("*/*", Format::Text),
            ("application/json", Format::Json),
            ("application/json, text/plain, */*", Format::Json),
            ("text/html, application/json;q=0.9", Format::Text),
            ("text/html;q=0.1, application/json;q=0.9", Format::Json),
            ("application/json;q=0", Format::Text),
            ("application/json;q=NaN", Format::Text),
            ("application/json;q=x", Format::Text),
            ("", Format::Text),
        ];
        for (value, format) in rows {
            assert_eq!(accept(value), format, "{value}");
        }
    }

    #[tokio::test]
    async fn an_answer_says_code_stage_and_id() {
        let cause = Refusal::new(Kind::Limited, "limit", "rate-exceeded")
            .hint("ask for less")
            .retry_after(Duration::from_millis(1200));
        let id = RequestId::next();
        let response = refusal(&cause, id, Format::Json, &["Basic"]);
        assert_eq!(response.status(), 429);
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("pinfold-reason"), "rate-exceeded");
        assert_eq!(header("pinfold-stage"), "limit");
        assert_eq!(header("pinfold-request-id"), id.to_string());
        let status = "pinfold; error=http_request_denied; details=\"rate-exceeded\"";
        assert_eq!(header("proxy-status"), status);
        assert_eq!(header("retry-after"), "2");
        assert!(!response.headers().contains_key(PROXY_AUTHENTICATE));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "rate-exceeded");
        assert_eq!(body["error"]["hint"], "ask for less");
        assert_eq!(body["error"]["request_id"], id.to_string());
    }

    #[test]
    fn who_is_not_known_is_told_how_to_say_it() {
        let cause = Refusal::new(Kind::Unauthenticated, "identity", "credentials-missing");
        let ways = ["Basic realm=\"pinfold\"", "Bearer realm=\"pinfold\""];
        let response = refusal(&cause, RequestId::next(), Format::Text, &ways);
        assert_eq!(response.status(), 407);
        let challenges = response.headers().get_all(PROXY_AUTHENTICATE);
        assert_eq!(challenges.iter().count(), 2);
    }

    #[test]
    fn a_code_that_is_no_header_value_stays_out_of_the_head() {
        let mut cause = Refusal::new(Kind::Denied, "name", "host-denied");
        cause.code = "a\r\nSet-Cookie: b".to_owned().into();
        let response = refusal(&cause, RequestId::next(), Format::Text, &[]);
        assert!(!response.headers().contains_key(REASON));
        assert!(!response.headers().contains_key("set-cookie"));
    }
}
