//! Shipped packs: vectors that any policy can be run against, derived from a URL that it allows.
//!
//! A policy of one's own has its own names and codes; what it may never do is the same for all. So a case
//! of a pack does not expect a code: it expects that nothing is dialled but what is known to be good.

use std::net::IpAddr;

use pinfold_addr::{Class, Classifier, Host, Target};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    fault::Fault,
    vectors::{Case, Content, Suite},
};

/// The packs there are.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Name {
    /// Bad addresses, rebinding, redirects, spellings, delimiters
    Ssrf,
}

impl Name {
    /// As it is written.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ssrf => "ssrf",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Ssrf => include_str!("../../packs/ssrf.jsonl"),
        }
    }
}

/// One case of a pack, with `{base}`, `{scheme}`, `{host}`, `{port}` and `{good}` to be filled in.
#[derive(Debug, Deserialize)]
pub(crate) struct Template {
    /// Its name.
    pub(crate) id: String,
    /// What it is about.
    pub(crate) group: String,
    /// What may be dialled, if anything.
    #[serde(default)]
    only: Vec<String>,
    /// The rest of the case.
    #[serde(flatten)]
    case: serde_json::Map<String, Value>,
}

/// The cases of a pack.
///
/// # Errors
///
/// A line that is no case, which a test excludes.
pub(crate) fn templates(pack: Name) -> anyhow::Result<Vec<Template>> {
    let lines = pack.text().lines().filter(|line| !line.is_empty());
    let read = lines.map(serde_json::from_str::<Template>);
    Ok(read.collect::<Result<Vec<_>, _>>()?)
}

/// What the cases are derived from.
pub(crate) struct Base<'a> {
    /// The URL.
    pub(crate) url: String,
    target: Target,
    /// An address that may be dialled.
    good: IpAddr,
    /// The vector that it is from: who asks, and under which settings.
    like: Option<(&'a Suite, &'a Case)>,
}

impl<'a> Base<'a> {
    /// The URL that is stated, otherwise that of a vector that is like what is allowed.
    ///
    /// # Errors
    ///
    /// What is no URL of a name.
    pub(crate) fn of(
        stated: Option<&str>,
        like: Option<(&'a Suite, &'a Case)>,
    ) -> anyhow::Result<Self> {
        let of_case = like.and_then(|(_, case)| case.url());
        let url = stated.or(of_case).unwrap_or(DEFAULT_BASE);
        Ok(Self {
            url: url.to_owned(),
            target: of_a_name(url)?,
            good: like.and_then(|(_, case)| good(case)).unwrap_or(GOOD),
            like,
        })
    }

    /// The suite whose settings are those of the cases; none means those that the caller has. The operator's
    /// exceptions in it are left out: what they open is meant to be open, and is not the policy's.
    pub(crate) fn suite(&self) -> Option<&'a Suite> {
        self.like.map(|(suite, _)| suite)
    }

    /// All cases of a pack as one suite.
    pub(crate) fn suite_of(&self, pack: Name) -> anyhow::Result<Suite> {
        let templates = templates(pack)?;
        let cases = templates.iter().map(|template| Ok(self.case(template)?.0));
        Ok(Suite {
            file: format!("pack {}", pack.as_str()).into(),
            about: None,
            settings: self.suite().and_then(|suite| suite.settings.clone()),
            grants: Vec::new(),
            nat64: self
                .suite()
                .map_or_else(Vec::new, |suite| suite.nat64.clone()),
            content: Content::Cases(cases.collect::<anyhow::Result<_>>()?),
        })
    }

    /// What a policy is asked about the base itself. When it refuses that, the cases prove little.
    pub(crate) fn itself(&self) -> anyhow::Result<Case> {
        let template = Template {
            id: String::new(),
            group: String::new(),
            only: Vec::new(),
            case: serde_json::from_str(r#"{"url": "{base}", "resolves_to": ["{good}"]}"#)?,
        };
        Ok(self.case(&template)?.0)
    }

    /// The case of a template, and what may be dialled in it.
    ///
    /// # Errors
    ///
    /// A template that does not make a case, which a test excludes.
    pub(crate) fn case(&self, template: &Template) -> anyhow::Result<(Case, Vec<String>)> {
        let mut case = Value::Object(template.case.clone());
        self.fill(&mut case);
        if let (Some((_, like)), Value::Object(fields)) = (self.like, &mut case) {
            fields.insert("labels".into(), serde_json::to_value(like.labels())?);
            fields.insert("subject".into(), serde_json::to_value(like.subject())?);
            fields.insert("method".into(), serde_json::to_value(like.method())?);
        }
        let case = Case::parse(&serde_json::to_string(&case)?);
        let only = template.only.iter().map(|text| self.filled(text)).collect();
        Ok((case.map_err(anyhow::Error::msg)?, only))
    }

    fn fill(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.filled(text),
            Value::Array(elements) => elements.iter_mut().for_each(|value| self.fill(value)),
            Value::Object(members) => members.values_mut().for_each(|value| self.fill(value)),
            _ => {}
        }
    }

    fn filled(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let port = match self.target.port() == self.target.scheme().default_port() {
            true => String::new(),
            false => format!(":{}", self.target.port()),
        };
        text.replace("{base}", &self.url)
            .replace("{scheme}", self.target.scheme().as_str())
            .replace("{host}", &self.target.host().to_string())
            .replace("{port}", &port)
            .replace("{good}", &self.good.to_string())
    }
}

fn of_a_name(url: &str) -> Result<Target, Fault> {
    let refused = |why: String| {
        let url = url.escape_debug();
        Fault::new(format!("`{url}` cannot be a base: {why}"), BASE_HINT)
    };
    let target = Target::parse(url).map_err(|refusal| refused(refusal.to_string()))?;
    match target.host().ip() {
        Some(_) => Err(refused("its host is an address".into())),
        None => Ok(target),
    }
}

/// Whether a case could be a base: its host is a name.
pub(crate) fn is_of_a_name(case: &Case) -> bool {
    let target = case.url().and_then(|url| Target::parse(url).ok());
    target.is_some_and(|target| matches!(target.host(), Host::Domain(_)))
}

/// An address of a vector that nobody has to be asked about.
fn good(case: &Case) -> Option<IpAddr> {
    let classifier = Classifier::default();
    let addresses = case
        .resolves_to()
        .iter()
        .filter_map(|text| text.parse().ok());
    let is_public = |address: &IpAddr| classifier.classify(*address).class == Class::Public;
    addresses.into_iter().find(is_public)
}

/// Where a pack starts when nobody says otherwise.
const DEFAULT_BASE: &str = "https://example.com/";

/// What the base resolves to when no vector says otherwise: a public address. It is never dialled.
const GOOD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 34));

/// What to do about a base that is none.
pub(crate) const BASE_HINT: &str =
    "name a URL that the policy allows with `--base`, or expect one to be allowed in a vector";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_of_a_pack_is_whole_and_cites_its_source() {
        let corpus = ["corpus", "more"].map(|file| {
            let file = format!(
                "{}/../../tests/vectors/{file}.jsonl",
                env!("CARGO_MANIFEST_DIR")
            );
            std::fs::read_to_string(file).unwrap()
        });
        let known: BTreeSet<_> = corpus
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["id"]
                    .clone()
                    .to_string()
            })
            .collect();
        let base = Base {
            url: DEFAULT_BASE.into(),
            target: Target::parse(DEFAULT_BASE).unwrap(),
            good: GOOD,
            like: None,
        };
        let templates = templates(Name::Ssrf).unwrap();
        let names: BTreeSet<_> = templates.iter().map(|template| &template.id).collect();
        assert_eq!(names.len(), templates.len(), "each name once");
        for template in &templates {
            let id = &template.id;
            base.case(template)
                .unwrap_or_else(|error| panic!("{id}: {error}"));
            let source = template.case.get("source").and_then(Value::as_str);
            assert!(source.is_some_and(|source| source.len() > 3), "{id}");
            if let Some(from) = template.case.get("from") {
                assert!(known.contains(&from.to_string()), "{id}: {from}");
            }
        }
    }
}
