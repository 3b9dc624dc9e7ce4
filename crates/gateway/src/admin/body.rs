//! What operators send: read whole within a bound and a deadline, and understood strictly.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use pinfold::policy::{Source, settings_from_json};
use serde::Deserialize;
use serde_json::Value;

use super::answer::Problem;
use crate::policy;

/// Reads a body of at most `most` bytes.
pub(super) async fn read<B>(body: B, most: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > most as u64 {
        return Err(TOO_LARGE);
    }
    let whole = Limited::new(body, most).collect();
    match tokio::time::timeout(BODY_TIME, whole).await {
        Err(_) => Err(TOO_SLOW),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(error)) => Err(NOT_READ.detail(error.to_string())),
    }
}

/// A policy: JSON with what is to change, or a component alone.
pub(super) async fn candidate<B>(
    headers: &HeaderMap,
    layer: Option<String>,
    body: B,
) -> Result<policy::Change, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match kind(headers) {
        Some("application/wasm") => Ok(policy::Change {
            layer,
            component: Some(source(read(body, COMPONENT).await?.into())),
            settings: None,
        }),
        Some("application/json") => sent(&read(body, JSON).await?, layer),
        _ => Err(KIND_UNKNOWN),
    }
}

/// A policy in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    layer: Option<String>,
    /// Base64.
    #[serde(default)]
    component: Option<String>,
    /// The policy inside this binary, instead of a component.
    #[serde(default)]
    shipped: bool,
    #[serde(default)]
    settings: Option<Value>,
}

impl Sent {
    /// Read as settings are: what is written twice is refused, wherever it is.
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|error| MALFORMED.detail(error.to_string()))?;
        let value = settings_from_json(text);
        let value = value.map_err(|problem| MALFORMED.detail(problem.to_string()))?;
        Self::deserialize(value).map_err(|error| MALFORMED.detail(error.to_string()))
    }
}

fn sent(bytes: &[u8], layer: Option<String>) -> Result<policy::Change, Problem> {
    let sent = Sent::read(bytes)?;
    let encoded = sent.component.as_ref().map_or(0, String::len);
    if bytes.len().saturating_sub(encoded) > SETTINGS {
        return Err(TOO_LARGE);
    }
    let component = match (sent.component, sent.shipped) {
        (Some(_), true) => return Err(BOTH),
        (Some(text), false) => Some(source(component(&text)?)),
        (None, true) => Some(Source::Shipped),
        (None, false) => None,
    };
    if component.is_none() && sent.settings.is_none() {
        return Err(NOTHING);
    }
    Ok(policy::Change {
        layer: sent.layer.or(layer),
        component,
        settings: sent.settings,
    })
}

fn component(text: &str) -> Result<Vec<u8>, Problem> {
    let bytes = STANDARD.decode(text);
    let bytes = bytes.map_err(|error| MALFORMED.detail(format!("`component`: {error}")))?;
    match bytes.len() > COMPONENT {
        true => Err(TOO_LARGE),
        false => Ok(bytes),
    }
}

fn source(bytes: Vec<u8>) -> Source {
    Source::Bytes(bytes.into())
}

/// Strict JSON.
pub(super) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| MALFORMED.detail(error.to_string()))
}

/// The media type without its parameters.
fn kind(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// A component.
pub(super) const COMPONENT: usize = 64 << 20;
/// Settings, with the JSON around them.
pub(super) const SETTINGS: usize = 16 << 20;
/// Both: four characters for three bytes.
const JSON: usize = COMPONENT / 3 * 4 + 4 + SETTINGS;
/// What has no content to speak of.
pub(super) const SMALL: usize = 4 << 10;
const BODY_TIME: Duration = Duration::from_secs(60);

const TOO_LARGE: Problem = Problem::new(
    413,
    "body-too-large",
    "a component has at most 64 MiB, settings have at most 16 MiB",
);
const TOO_SLOW: Problem = Problem::new(408, "body-too-slow", "send the body within 60 s");
const NOT_READ: Problem = Problem::new(400, "body-broken", "send the body whole");
const MALFORMED: Problem = Problem::new(
    400,
    "body-malformed",
    "send the JSON that docs/gateway-admin.md describes",
);
const KIND_UNKNOWN: Problem = Problem::new(
    415,
    "media-type-unknown",
    "send `Content-Type: application/json` or `application/wasm`",
);
const NOTHING: Problem = Problem::new(
    400,
    "body-empty",
    "send `component` (or `shipped`), `settings`, or both",
);
const BOTH: Problem = Problem::new(
    400,
    "body-malformed",
    "send either `component` or `shipped`",
);
