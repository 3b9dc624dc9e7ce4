//! Answers to operators: JSON, text, files of the page, streams, problems.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::{Value, json};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(super) type Answer = Response<Body>;

/// Why an operator's request is not answered, with what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    status: u16,
    code: &'static str,
    hint: &'static str,
    /// What was wrong in this case. It may name files and addresses.
    detail: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A status, a stable code, and what to do.
    pub(crate) const fn new(status: u16, code: &'static str, hint: &'static str) -> Self {
        Self {
            status,
            code,
            hint,
            detail: None,
            retry_after: None,
        }
    }

    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// Stable, kebab-case.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> (u16, &'static str) {
        (self.status, self.code)
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut error = json!({
            "status": problem.status, "stage": "admin", "code": problem.code, "hint": problem.hint,
        });
        if let Some(detail) = problem.detail {
            error["detail"] = detail.into();
        }
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut answer = json_with(status, &json!({"error": error}));
        let headers = answer.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(time) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, time.as_secs().max(1).into());
        }
        answer
    }
}

/// 200 with JSON.
pub(super) fn json(value: &Value) -> Answer {
    json_with(StatusCode::OK, value)
}

/// Any status with JSON.
pub(super) fn json_with(status: StatusCode, value: &Value) -> Answer {
    let mut text = value.to_string();
    text.push('\n');
    whole(status, JSON, text.into())
}

/// A text of this media type.
pub(super) fn text(kind: HeaderValue, text: impl Into<Bytes>) -> Answer {
    whole(StatusCode::OK, kind, text.into())
}

/// A body that comes bit by bit.
pub(super) fn streamed(kind: HeaderValue, body: Body) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    guarded(answer)
}

fn whole(status: StatusCode, kind: HeaderValue, bytes: Bytes) -> Answer {
    let mut answer = streamed(kind, Full::new(bytes).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// What every answer says: nothing in it runs that is not ours, nobody frames it, nobody keeps it.
fn guarded(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(header::X_FRAME_OPTIONS, DENY);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert("cross-origin-resource-policy", SAME_ORIGIN);
    headers.insert("cross-origin-opener-policy", SAME_ORIGIN);
    answer
}

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"pinfold\"");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// No inline script and no inline style, nothing from elsewhere; `connect-src` is for the stream of the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'",
);
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const DENY: HeaderValue = HeaderValue::from_static("DENY");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
