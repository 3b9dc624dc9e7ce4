//! What an Envoy is told: the addresses that it may connect to, or what its client gets instead.

use std::net::SocketAddr;

use pinfold::{HandedOver, PolicyRef};
use pinfold_addr::Target;
use prost_types::{Struct, Value, value::Kind};

use super::{
    GENERATION, POLICY, REASON, REQUEST_ID, SETTINGS, SNI, pin_key,
    wire::{
        Answer, CheckResponse, DeniedResponse, HeaderOption, HeaderValue, HttpStatus, OVERWRITE,
        OkResponse, Status,
    },
};
use crate::{
    client::RequestId,
    http::{Format, told},
    refusal::Refusal,
};

/// Addresses for an Envoy: at least one, each as it understands it.
pub(super) struct Pins(Vec<String>);

impl Pins {
    /// A guard hands over at least one, and none that others would dial as another address.
    pub(super) fn of(handed: &HandedOver, most: usize) -> Self {
        let first = handed.addresses.iter().take(most.max(1));
        Self(first.map(shown).collect())
    }
}

/// Without scope or flow label.
fn shown(address: &SocketAddr) -> String {
    SocketAddr::new(address.ip(), address.port()).to_string()
}

/// It may connect.
pub(super) fn allowed(
    id: RequestId,
    pins: Pins,
    target: &Target,
    handed: &HandedOver,
) -> CheckResponse {
    let mut metadata = about(id);
    let pins = pins.0.into_iter().enumerate();
    metadata.extend(pins.map(|(at, pin)| (pin_key(at), text(pin))));
    metadata.extend(
        target
            .host()
            .domain()
            .map(|name| (SNI.into(), text(name.as_str()))),
    );
    metadata.extend(by(&handed.decision.policy));
    CheckResponse {
        status: Some(Status::default()),
        answer: Some(Answer::Ok(OkResponse {
            headers_to_remove: TO_THE_PROXY.map(str::to_owned).to_vec(),
        })),
        dynamic_metadata: Some(Struct {
            fields: metadata.into_iter().collect(),
        }),
    }
}

/// Its client gets this. None when it came to no policy.
pub(super) fn denied(
    id: RequestId,
    refusal: &Refusal,
    policy: Option<&PolicyRef>,
    format: Format,
) -> CheckResponse {
    let mut metadata = about(id);
    metadata.push((REASON.into(), text(&*refusal.code)));
    metadata.extend(policy.into_iter().flat_map(by));
    CheckResponse {
        status: Some(Status {
            code: PERMISSION_DENIED,
            message: refusal.code.clone().into_owned(),
        }),
        answer: Some(Answer::Denied(response(id, refusal, format))),
        dynamic_metadata: Some(Struct {
            fields: metadata.into_iter().collect(),
        }),
    }
}

fn response(id: RequestId, refusal: &Refusal, format: Format) -> DeniedResponse {
    let told = told(refusal, id, format);
    let headers = told.headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some(field(name.as_str(), value))
    });
    DeniedResponse {
        status: Some(HttpStatus {
            code: i32::from(refusal.kind.status().as_u16()),
        }),
        headers: headers.collect(),
        body: told.body,
    }
}

fn field(name: &str, value: &str) -> HeaderOption {
    HeaderOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value: value.to_owned(),
            raw_value: Vec::new(),
        }),
        append_action: OVERWRITE,
    }
}

fn about(id: RequestId) -> Vec<(String, Value)> {
    vec![(REQUEST_ID.into(), text(id.to_string()))]
}

/// Who decided.
fn by(policy: &PolicyRef) -> [(String, Value); 3] {
    [
        (GENERATION.into(), number(policy.generation)),
        (POLICY.into(), text(policy.digest.as_str())),
        (SETTINGS.into(), text(policy.settings_digest.as_str())),
    ]
}

fn text(text: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

/// As text: numbers of metadata are floating-point ones.
fn number(number: u64) -> Value {
    text(number.to_string())
}

/// What a client says to its proxy alone.
const TO_THE_PROXY: [&str; 2] = ["proxy-authorization", "proxy-connection"];

/// `google.rpc.Code.PERMISSION_DENIED`.
const PERMISSION_DENIED: i32 = 7;
