//! Decision log, metrics, traces.

use std::{collections::BTreeMap, path::PathBuf};

use super::{Span, text::written_as_text};

/// What the gateway tells of its work.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Records {
    /// The decision log: one line of JSON for each decision, each end of a tunnel, and each change of policy.
    pub log: DecisionLog,
    /// Metrics for Prometheus, at `/metrics` of the admin listener.
    pub metrics: Metrics,
    /// Traces, by OTLP over HTTP (protobuf). Default: none.
    pub tracing: Option<Tracing>,
}

/// One line of JSON for each decision, each end of a tunnel, and each change of policy.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DecisionLog {
    /// Where. Default: `stdout`.
    pub to: LogTo,
    /// What is left out or hashed. Default: paths and queries are withheld.
    pub withhold: Vec<Withhold>,
    /// Whether records can be replayed: they hold what the policy was asked and answered. Default: no.
    pub replayable: bool,
    /// Of allowed decisions one in so many is written; denials all are. Default: 1, all.
    pub sample: u32,
    /// Records that may wait for the writer; further ones are dropped and counted. Default: 8,192.
    pub queue: usize,
}

/// Where a log goes.
///
/// As text: `off`, `stdout`, `stderr`, or `file:PATH`, which is opened anew on `SIGHUP` and when it was moved away.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LogTo {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, to which is appended.
    File(PathBuf),
}

/// What is withheld from the log.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    PartialEq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Withhold {
    /// Paths of URLs.
    Paths,
    /// Queries of URLs.
    Queries,
    /// Addresses that are not public.
    InternalAddresses,
    /// Subjects: a keyed hash stands for each.
    Subjects,
    /// Addresses of clients: a keyed hash stands for each.
    Clients,
}

/// Metrics for Prometheus, at `/metrics` of the admin listener.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Metrics {
    /// Different subjects that have series of their own; the others are `other`. Default: 50.
    pub subjects: usize,
    /// Different denial codes of policies that have series of their own. Default: 100.
    pub codes: usize,
}

/// Traces, by OTLP over HTTP (protobuf).
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tracing {
    /// The collector: `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Headers to send along. Values are secrets: they appear nowhere else. Default: none.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Of requests that bring no trace one in so many is traced. Default: 1, all.
    #[serde(default = "one")]
    pub sample: u32,
    /// How often spans are sent. Default: 5 s.
    #[serde(default = "five_seconds")]
    pub interval: Span,
}

written_as_text!(
    LogTo,
    "`off`, `stdout`, `stderr` or `file:PATH`",
    ["stdout", "file:/var/log/pinfold/decisions.jsonl"]
);

impl Default for DecisionLog {
    fn default() -> Self {
        Self {
            to: LogTo::Stdout,
            withhold: vec![Withhold::Paths, Withhold::Queries],
            replayable: false,
            sample: 1,
            queue: 8_192,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            subjects: 50,
            codes: 100,
        }
    }
}

fn one() -> u32 {
    1
}

fn five_seconds() -> Span {
    Span::seconds(5)
}

impl std::fmt::Display for LogTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl std::str::FromStr for LogTo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            _ => match text.strip_prefix("file:") {
                Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
                _ => Err("write `off`, `stdout`, `stderr` or `file:PATH`"),
            },
        }
    }
}
