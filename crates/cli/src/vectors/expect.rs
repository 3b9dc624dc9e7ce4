//! What a case is expected to end in, and how what it ended in differs.

use std::fmt;

use pinfold::{Denial, JudgedAddress, Terms, policy::Problem};
use pinfold_addr::Stage;
use serde::{
    Deserialize, Serialize,
    de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Judged;
use crate::explain::Verdict;

/// What a case is expected to end in. What is not named is not looked at.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Expect {
    /// The verdict.
    pub(crate) verdict: Want,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Its stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<Stage>,
    /// Its message, word for word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// Terms of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terms: Option<ExpectTerms>,
    /// For each address of the deciding hop `allow`, `deny`, or the code of its refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) addresses: Option<Vec<String>>,
}

/// A verdict that is expected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Want {
    /// Allowed.
    #[default]
    Allow,
    /// Refused, or there is no usable answer.
    Deny,
    /// Not a URL.
    Invalid,
}

/// Terms that are expected, named as in a decision record.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExpectTerms {
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    https_only: Option<bool>,
}

/// One problem of settings that are to be refused.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedProblem {
    /// JSON Pointer to the value.
    pub(crate) path: String,
    /// The message, word for word; none takes any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// One field in which an answer is not what was expected.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// The field: `verdict`, `terms.redirects`, `addresses[1]`, ...
    pub(crate) field: String,
    /// What was expected there.
    pub(crate) expected: String,
    /// What is there.
    pub(crate) got: String,
}

impl Expect {
    /// Every field in which what was judged differs; none when it is as expected.
    pub(crate) fn differences(&self, judged: &Judged) -> Vec<Difference> {
        let denial = judged.denial.as_ref();
        let mut found = Differences::default();
        let verdict = Want::from(judged.verdict);
        found.compare("verdict", Some(&self.verdict), Some(&verdict));
        found.compare("stage", self.stage.as_ref(), judged.stage.as_ref());
        found.compare("code", self.code.as_deref(), denial.map(Denial::code));
        found.compare(
            "message",
            self.message.as_deref(),
            denial.map(Denial::detail),
        );
        if let Some(terms) = &self.terms {
            terms.compare(judged.terms, &mut found);
        }
        if let Some(addresses) = &self.addresses {
            compare_addresses(addresses, &judged.addresses, &mut found);
        }
        found.0
    }

    /// What contradicts itself: an expectation that nothing could fulfil.
    fn check(self) -> Result<Self, &'static str> {
        let names_refusal = self.code.is_some() || self.stage.is_some() || self.message.is_some();
        match self.verdict {
            Want::Allow if names_refusal => {
                Err("`code`, `stage` and `message` are those of a refusal: the verdict is `deny`")
            }
            _ => Ok(self),
        }
    }
}

impl<'de> Deserialize<'de> for Expect {
    /// A verdict alone, or a table. A table that names a refusal needs no verdict.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpectVisitor)
    }
}

struct ExpectVisitor;

impl<'de> Visitor<'de> for ExpectVisitor {
    type Value = Expect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`allow`, `deny`, `invalid`, or a table with `verdict`, `code`, ...")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Expect, E> {
        let verdict = Want::deserialize(de::value::StrDeserializer::new(word))?;
        Ok(Expect {
            verdict,
            ..Expect::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expect, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        table.expect().map_err(de::Error::custom)
    }
}

/// [`Expect`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    verdict: Option<Want>,
    code: Option<String>,
    stage: Option<Stage>,
    message: Option<String>,
    terms: Option<ExpectTerms>,
    /// JSON has a word for nothing, TOML has not.
    addresses: Option<Vec<Option<String>>>,
}

impl Table {
    fn expect(self) -> Result<Expect, &'static str> {
        let implied = (self.code.is_some() || self.stage.is_some()).then_some(Want::Deny);
        let verdict = self
            .verdict
            .or(implied)
            .ok_or("an expectation needs `verdict`")?;
        let expect = Expect {
            verdict,
            code: self.code,
            stage: self.stage,
            message: self.message,
            terms: self.terms,
            addresses: self
                .addresses
                .map(|all| all.into_iter().map(allow_or).collect()),
        };
        expect.check()
    }
}

fn allow_or(code: Option<String>) -> String {
    code.unwrap_or_else(|| ALLOW.to_owned())
}

impl ExpectTerms {
    fn compare(&self, terms: Option<Terms>, found: &mut Differences) {
        let terms = terms.unwrap_or_default();
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (connect, total) = (
            terms.connect_timeout.map(millis),
            terms.total_timeout.map(millis),
        );
        let redirects = terms.redirects.map(u64::from);
        for (field, wanted, got) in [
            ("terms.connect_timeout_ms", self.connect_timeout_ms, connect),
            ("terms.total_timeout_ms", self.total_timeout_ms, total),
            (
                "terms.response_bytes",
                self.response_bytes,
                terms.response_bytes,
            ),
            ("terms.redirects", self.redirects, redirects),
        ] {
            found.compare(field, wanted.as_ref(), got.as_ref());
        }
        let https_only = Some(&terms.https_only);
        found.compare("terms.https_only", self.https_only.as_ref(), https_only);
    }
}

impl Want {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => ALLOW,
            Self::Deny => DENY,
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Verdict> for Want {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Deny => Self::Deny,
            Verdict::Invalid => Self::Invalid,
        }
    }
}

impl ExpectedProblem {
    /// How the problems that were found differ: one that is missing, one too many, one with other words.
    pub(crate) fn differences(wanted: &[Self], found: &[Problem]) -> Vec<Difference> {
        let mut differences = Differences::default();
        for problem in wanted {
            if !found.iter().any(|found| problem.is(found)) {
                let same_place = found.iter().find(|found| found.path == problem.path);
                let got = same_place.map_or("no problem there", |found| &found.message);
                let expected = problem.message.as_deref().unwrap_or("a problem");
                differences.add(place(&problem.path), expected, got);
            }
        }
        let is_wanted = |found: &Problem| wanted.iter().any(|wanted| wanted.path == found.path);
        for problem in found.iter().filter(|found| !is_wanted(found)) {
            differences.add(place(&problem.path), "no problem there", &problem.message);
        }
        differences.0
    }

    fn is(&self, found: &Problem) -> bool {
        let same_words = |message: &String| *message == found.message;
        self.path == found.path && self.message.as_ref().is_none_or(same_words)
    }
}

fn place(path: &str) -> String {
    format!("problems at `{}`", if path.is_empty() { "/" } else { path })
}

/// Position by position: an answer of another length differs at its end.
fn compare_addresses(wanted: &[String], judged: &[JudgedAddress], found: &mut Differences) {
    for at in 0..wanted.len().max(judged.len()) {
        let (wanted, judged) = (wanted.get(at), judged.get(at));
        if !fits(wanted, judged) {
            let expected = wanted.map_or("no address", String::as_str);
            found.add(format!("addresses[{at}]"), expected, &became(judged));
        }
    }
}

fn fits(wanted: Option<&String>, judged: Option<&JudgedAddress>) -> bool {
    let (Some(wanted), Some(judged)) = (wanted, judged) else {
        return false;
    };
    match (wanted.as_str(), &judged.denial) {
        (ALLOW, denial) => denial.is_none(),
        (DENY, denial) => denial.is_some(),
        (code, denial) => denial.as_ref().is_some_and(|denial| denial.code() == code),
    }
}

fn became(judged: Option<&JudgedAddress>) -> String {
    let Some(judged) = judged else {
        return "no address".into();
    };
    let verdict = judged.denial.as_ref().map_or(ALLOW, Denial::code);
    format!("{verdict} ({})", judged.address)
}

/// Differences under way.
#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    /// Compares when something is expected.
    fn compare<T: PartialEq + fmt::Display + ?Sized>(
        &mut self,
        field: &str,
        wanted: Option<&T>,
        got: Option<&T>,
    ) {
        let Some(wanted) = wanted else { return };
        if got != Some(wanted) {
            let got = got.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            self.add(field.to_owned(), &wanted.to_string(), &got);
        }
    }

    fn add(&mut self, field: String, expected: &str, got: &str) {
        let (expected, got) = (expected.to_owned(), got.to_owned());
        self.0.push(Difference {
            field,
            expected,
            got,
        });
    }
}

const ALLOW: &str = "allow";
const DENY: &str = "deny";
