//! Which policy judges, which one watches, and for whom it only reports.

use std::path::PathBuf;

use pinfold::record::Mode;

use super::{Span, text::written_as_text};

/// The active policy, or chain of policies.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// The component. Default: the shipped policy.
    pub file: Option<PathBuf>,
    /// Its settings, TOML or JSON. Default: none, `{}`.
    pub settings: Option<PathBuf>,
    /// Vector files or folders that a policy must pass before it is swapped in. Default: none.
    pub vectors: Vec<PathBuf>,
    /// A chain instead of one policy: each layer may deny. Excludes `file` and `settings`.
    pub layer: Vec<LayerConfig>,
    /// Whether the files are watched. Default: yes.
    pub watch: bool,
    /// How often they are looked at. Default: 1 s.
    pub interval: Span,
    /// Compiled policies are kept here, so that a restart is fast. Default: nowhere.
    pub cache: Option<PathBuf>,
    /// Lets policies import WASI that does nothing. Default: no.
    pub inert_wasi: bool,
    /// How many generations can be gone back to. Default: 8.
    pub history: usize,
}

/// One layer of a chain.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LayerConfig {
    /// Its name: lower case, words joined by `-`.
    pub name: String,
    /// The component. Default: the shipped policy.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Its settings. Default: none, `{}`.
    #[serde(default)]
    pub settings: Option<PathBuf>,
}

/// A candidate that judges the same traffic, never enforced.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Shadow {
    /// The layer that it would replace. Default: the only one.
    pub layer: Option<String>,
    /// The component. Default: the shipped policy.
    pub file: Option<PathBuf>,
    /// Its settings. Default: none, `{}`.
    pub settings: Option<PathBuf>,
}

/// For whom a denial of the policy is only reported. The native floor holds all the same.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Report {
    /// Everybody. Default: no.
    pub all: bool,
    /// These subjects; `*` at the end stands for any rest. Default: none.
    pub subjects: Vec<SubjectPattern>,
    /// What becomes of a denial of their addresses. Default: `report`.
    pub addresses: ReportAddresses,
}

/// What becomes of a denial of addresses, where a denial of a target is only reported.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    PartialEq,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReportAddresses {
    /// It is reported too: nothing but the floor keeps these subjects from internal addresses.
    #[default]
    Report,
    /// It is enforced, also for a name that was let through: rules about names are tried out, and no name leads to
    /// an address that the policy refuses. The access lists of other proxies mean this by reporting.
    Enforce,
}

/// Subjects: a name, or a beginning and `*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SubjectPattern {
    start: String,
    /// Whether anything may follow.
    open: bool,
}

written_as_text!(
    SubjectPattern,
    "the name of a subject, or the beginning of one and `*`",
    ["payments", "spiffe://example.org/batch/*"]
);

impl Report {
    /// What is done about a denial of the policy for this subject.
    pub fn mode(&self, subject: Option<&str>) -> Mode {
        match (self.covers(subject), self.addresses) {
            (false, _) => Mode::Enforce,
            (true, ReportAddresses::Report) => Mode::Report,
            (true, ReportAddresses::Enforce) => Mode::ReportNames,
        }
    }

    /// Whether denials of the policy are only reported for this subject. A request without one is covered by `all`
    /// alone.
    pub fn covers(&self, subject: Option<&str>) -> bool {
        let named = |name| self.subjects.iter().any(|pattern| pattern.covers(name));
        self.all || subject.is_some_and(named)
    }
}

impl SubjectPattern {
    /// Whether it stands for this subject.
    pub fn covers(&self, subject: &str) -> bool {
        match self.open {
            true => subject.starts_with(&self.start),
            false => subject == self.start,
        }
    }
}

impl std::str::FromStr for SubjectPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (start, open) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        match start {
            "" if open => Err("for everybody write `all = true`"),
            "" => Err("a subject has a name"),
            _ if start.contains('*') => Err("`*` stands at the end, and nowhere else"),
            _ => Ok(Self {
                start: start.into(),
                open,
            }),
        }
    }
}

impl std::fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.start, if self.open { "*" } else { "" })
    }
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            file: None,
            settings: None,
            vectors: Vec::new(),
            layer: Vec::new(),
            watch: true,
            interval: Span::seconds(1),
            cache: None,
            inert_wasi: false,
            history: 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_covers_whom_it_names() {
        let report = |all, subjects: &[&str]| Report {
            all,
            subjects: subjects.iter().map(|text| text.parse().unwrap()).collect(),
            ..Report::default()
        };
        for (report, subject, covered) in [
            (report(false, &[]), Some("a"), false),
            (report(true, &[]), Some("a"), true),
            (report(true, &[]), None, true),
            (report(false, &["a"]), Some("a"), true),
            (report(false, &["a"]), Some("ab"), false),
            (report(false, &["a"]), None, false),
            (report(false, &["b", "a*"]), Some("ab"), true),
            (report(false, &["a*"]), Some("a"), true),
            (report(false, &["a*"]), Some("ba"), false),
            (report(false, &["a*"]), None, false),
        ] {
            let said = report.covers(subject);
            assert_eq!(said, covered, "{:?} {subject:?}", report.subjects);
        }
    }

    #[test]
    fn addresses_are_reported_or_enforced() {
        for (text, subject, expected) in [
            ("", "a", Mode::Enforce),
            ("subjects = ['a']", "a", Mode::Report),
            ("subjects = ['a']", "b", Mode::Enforce),
            ("subjects = ['a']\naddresses = 'report'", "a", Mode::Report),
            (
                "subjects = ['a']\naddresses = 'enforce'",
                "a",
                Mode::ReportNames,
            ),
            (
                "subjects = ['a']\naddresses = 'enforce'",
                "b",
                Mode::Enforce,
            ),
            ("all = true\naddresses = 'enforce'", "b", Mode::ReportNames),
        ] {
            let text = format!("[report]\n{text}");
            let config = crate::Config::parse(&text, std::path::Path::new("")).unwrap();
            assert_eq!(config.report.mode(Some(subject)), expected, "{text}");
        }
    }
}
