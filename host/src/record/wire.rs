//! Inputs and answers as JSON. What is read may come from anywhere: it is checked before it is believed.

use std::{net::IpAddr, time::Duration};

use pinfold_addr::{Class, Domain, Embedded, Reason, Stage, Target, TargetParts};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Answered, Input, Mode, check};
use crate::{
    Denial, JudgedAddress, PolicyRef, Request, Terms,
    policy::{LAYERS, is_name},
    resolve::{MAX_ANSWERS, MAX_CHAIN},
};

/// [`Input`] as it is written.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct RawInput {
    request: RawRequest,
    #[serde(default, skip_serializing_if = "is_enforced")]
    report: Mode,
    #[serde(default)]
    earlier: Terms,
    #[serde(default)]
    chain: Vec<Domain>,
    #[serde(default)]
    answers: Vec<RawAnswer>,
    #[serde(default)]
    floor: Vec<Option<Denial>>,
    answered: Vec<Answered>,
}

#[derive(Clone, Deserialize, Serialize)]
struct RawRequest {
    target: TargetParts,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    labels: Vec<(String, String)>,
    #[serde(default)]
    hop: u8,
    #[serde(default)]
    previous: Option<TargetParts>,
}

/// A [`JudgedAddress`] before anybody judged it.
#[derive(Clone, Deserialize, Serialize)]
struct RawAnswer {
    address: IpAddr,
    class: Class,
    #[serde(default)]
    embedded: Vec<Embedded>,
    #[serde(default)]
    granted: bool,
}

/// [`Answered`] as it is written.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct RawAnswered {
    policy: PolicyRef,
    target: RawTarget,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    addresses: Option<RawAddresses>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum RawTarget {
    Allow(Terms),
    Deny(Denial),
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged)]
enum RawAddresses {
    Each(Vec<Option<Denial>>),
    Failed { deny: Denial },
}

fn is_enforced(mode: &Mode) -> bool {
    !mode.is_report()
}

impl From<Input> for RawInput {
    fn from(input: Input) -> Self {
        Self {
            request: (&input.request).into(),
            report: input.report,
            earlier: input.earlier,
            chain: input.chain,
            answers: input.answers.into_iter().map(RawAnswer::from).collect(),
            floor: input.floor,
            answered: input.answered,
        }
    }
}

impl TryFrom<RawInput> for Input {
    type Error = String;

    fn try_from(raw: RawInput) -> Result<Self, String> {
        check_counts(&raw)?;
        let answers = raw.answers.into_iter().map(JudgedAddress::try_from);
        let input = Self {
            request: raw.request.try_into()?,
            report: raw.report,
            earlier: raw.earlier,
            chain: raw.chain,
            answers: answers.collect::<Result<_, _>>()?,
            floor: raw.floor,
            answered: raw.answered,
        };
        check::admit(&input)?;
        Ok(input)
    }
}

/// Every list is bounded, and lists that speak of the same addresses have one length.
fn check_counts(raw: &RawInput) -> Result<(), String> {
    let addresses = raw.answers.len();
    let lists = [
        ("answers", addresses, MAX_ANSWERS),
        ("chain", raw.chain.len(), MAX_CHAIN),
        ("answered", raw.answered.len(), LAYERS),
    ];
    if let Some((list, length, limit)) = lists.iter().find(|(_, length, limit)| length > limit) {
        return Err(format!("`{list}` has {length} entries, at most {limit}"));
    }
    let floor = ("floor", raw.floor.len());
    let each = raw.answered.iter().filter_map(|answered| {
        let each = answered.addresses.as_ref()?.as_ref().ok()?;
        Some(("answered.addresses", each.len()))
    });
    let other = each.chain([floor]).find(|(_, length)| *length != addresses);
    match other {
        Some((list, length)) => Err(format!(
            "`{list}` has {length} entries for {addresses} addresses"
        )),
        None => Ok(()),
    }
}

impl From<&Request> for RawRequest {
    fn from(request: &Request) -> Self {
        Self {
            target: request.target.parts(),
            method: request.method.clone(),
            subject: request.subject.clone(),
            labels: request.labels.clone(),
            hop: request.hop,
            previous: request.previous.as_ref().map(Target::parts),
        }
    }
}

impl TryFrom<RawRequest> for Request {
    type Error = String;

    fn try_from(raw: RawRequest) -> Result<Self, String> {
        if (raw.hop == 0) != raw.previous.is_none() {
            return Err("`previous` belongs to each hop but the first".into());
        }
        Ok(Self {
            target: restore("target", &raw.target)?,
            method: raw.method,
            subject: raw.subject,
            labels: raw.labels,
            hop: raw.hop,
            previous: match raw.previous {
                Some(parts) => Some(restore("previous", &parts)?),
                None => None,
            },
        })
    }
}

fn restore(field: &str, parts: &TargetParts) -> Result<Target, String> {
    Target::restore(parts).map_err(|refusal| format!("`{field}`: {refusal}"))
}

impl From<JudgedAddress> for RawAnswer {
    fn from(judged: JudgedAddress) -> Self {
        Self {
            address: judged.address,
            class: judged.class,
            embedded: judged.embedded,
            granted: judged.granted,
        }
    }
}

impl TryFrom<RawAnswer> for JudgedAddress {
    type Error = String;

    fn try_from(raw: RawAnswer) -> Result<Self, String> {
        if raw.address.is_ipv4() && !raw.embedded.is_empty() {
            return Err(format!("`{}` carries no other address", raw.address));
        }
        Ok(Self {
            address: raw.address,
            class: raw.class,
            embedded: raw.embedded,
            granted: raw.granted,
            denial: None,
        })
    }
}

impl<'de> Deserialize<'de> for JudgedAddress {
    /// As it stands in the list of addresses of a decision.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(flatten)]
            answer: RawAnswer,
            #[serde(default)]
            denial: Option<Denial>,
        }
        let raw = Raw::deserialize(deserializer)?;
        let judged = Self::try_from(raw.answer).map_err(de::Error::custom)?;
        Ok(Self {
            denial: raw.denial,
            ..judged
        })
    }
}

/// The name of a layer: it ends in reports and on terminals.
pub(crate) fn layer_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    match name {
        Some(name) if !is_name(&name) => Err(de::Error::custom("`layer` is no name of a layer")),
        name => Ok(name),
    }
}

/// The policies of a chain, as many as there can be, each with its own name.
pub(super) fn layers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<PolicyRef>, D::Error> {
    let layers = Vec::<PolicyRef>::deserialize(deserializer)?;
    let twice = |(at, layer): (usize, &PolicyRef)| {
        layers
            .iter()
            .take(at)
            .any(|other| other.layer == layer.layer)
    };
    match () {
        () if layers.len() > LAYERS => Err(de::Error::custom(format!(
            "`layers` has {} entries, at most {LAYERS}",
            layers.len()
        ))),
        () if layers.iter().enumerate().any(twice) => {
            Err(de::Error::custom("`layers` has a name twice"))
        }
        () => Ok(layers),
    }
}

impl From<Answered> for RawAnswered {
    fn from(answered: Answered) -> Self {
        Self {
            policy: answered.policy,
            target: match answered.target {
                Ok(terms) => RawTarget::Allow(terms),
                Err(denial) => RawTarget::Deny(denial),
            },
            addresses: answered.addresses.map(|addresses| match addresses {
                Ok(each) => RawAddresses::Each(each),
                Err(deny) => RawAddresses::Failed { deny },
            }),
        }
    }
}

impl From<RawAnswered> for Answered {
    fn from(raw: RawAnswered) -> Self {
        Self {
            policy: raw.policy,
            target: match raw.target {
                RawTarget::Allow(terms) => Ok(terms),
                RawTarget::Deny(denial) => Err(denial),
            },
            addresses: raw.addresses.map(|addresses| match addresses {
                RawAddresses::Each(each) => Ok(each),
                RawAddresses::Failed { deny } => Err(deny),
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Denial {
    /// A code that is none is refused: it ends in logs and on terminals.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            stage: Stage,
            code: String,
            detail: String,
        }
        let raw = Raw::deserialize(deserializer)?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=Reason::MAX_CODE).contains(&raw.code.len()) || !raw.code.bytes().all(plain) {
            return Err(de::Error::custom("`code` is no code of a denial"));
        }
        Ok(Self::from_policy(raw.stage, raw.code, raw.detail).at(raw.stage))
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            connect_timeout_ms: Option<u64>,
            total_timeout_ms: Option<u64>,
            response_bytes: Option<u64>,
            redirects: Option<u8>,
            https_only: bool,
        }
        let raw = Raw::deserialize(deserializer)?;
        Ok(Self {
            connect_timeout: raw.connect_timeout_ms.map(Duration::from_millis),
            total_timeout: raw.total_timeout_ms.map(Duration::from_millis),
            response_bytes: raw.response_bytes,
            redirects: raw.redirects,
            https_only: raw.https_only,
        })
    }
}
