//! Shipped packs: vectors that any policy can be run against, derived from a URL that it allows.
//!
//! A policy of one's own has its own names and codes; what it may never do is the same for all. So a case
//! of a pack does not expect a code: it expects that nothing is dialled but what is known to be good.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use pinfold_addr::{Class, Classifier, Host, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Args, hint,
    judge::{CaseReport, Expected, Report, SuiteReport},
    plan::Plan,
    progress::Progress,
};
use crate::{
    explain,
    fault::Fault,
    output::{BAD, LABEL, Output},
    text::Printable,
    vectors::{Alone, Case, Difference, Judged, Runner, Setup, Suite, Want},
};

/// The packs there are.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Name {
    /// Bad addresses, rebinding, redirects, spellings, delimiters
    Ssrf,
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ssrf => "ssrf",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Ssrf => include_str!("../../../packs/ssrf.jsonl"),
        }
    }
}

/// What the run of a pack says beside its cases.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The URL that the cases are derived from.
    base: String,
    /// Why the cases prove little: the policy refuses even the base.
    vacuous: Option<String>,
    /// How many cases the policy alone would have let through, by group.
    held_by_floor: BTreeMap<String, usize>,
}

impl Summary {
    /// A pack that proves nothing has not passed.
    pub(super) fn has_failed(&self) -> bool {
        self.vacuous.is_some()
    }
}

/// Runs a pack.
///
/// # Errors
///
/// A base that is no URL of a name, and a policy that does not load.
pub(super) async fn run(pack: Name, plan: &Plan, args: &Args) -> anyhow::Result<Report> {
    let base = Base::of(plan, args)?;
    let setup = base.setup(plan);
    let guarded = Runner::load(&setup).map_err(|error| plan.subject.name(error))?;
    let alone = Alone::load(&setup).map_err(|error| plan.subject.name(error))?;
    let mut report = Report {
        policy: plan.subject.in_a_sentence(),
        ..Report::default()
    };
    let mut held_by_floor = BTreeMap::<String, usize>::new();
    let templates = templates(pack)?;
    let progress = Progress::new("judging", templates.len());
    for template in &templates {
        let suite = format!("{}/{}", pack.as_str(), template.group);
        if args
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.takes(&template.id))
        {
            continue;
        }
        let (case, only) = base.case(template)?;
        let begun = Instant::now();
        let judged = guarded.judge(&case).await;
        let case = compared(&case, template, judged, only, begun.elapsed());
        if !case.has_failed() && alone_lets_through(&alone, template, &base).await? {
            *held_by_floor.entry(template.group.clone()).or_default() += 1;
        }
        of_group(&mut report, suite).cases.push(case);
        progress.advance();
    }
    if report.count() == 0 {
        return Err(Fault::new(
            "no case of the pack is called like that",
            "leave `--filter` out",
        )
        .into());
    }
    report.pack = Some(Summary {
        vacuous: base.refusal(&guarded).await?,
        base: base.url,
        held_by_floor,
    });
    Ok(report)
}

/// One case of a pack, with `{base}`, `{scheme}`, `{host}`, `{port}` and `{good}` to be filled in.
#[derive(Debug, Deserialize)]
struct Template {
    id: String,
    group: String,
    /// What may be dialled, if anything.
    #[serde(default)]
    only: Vec<String>,
    /// The rest of the case.
    #[serde(flatten)]
    case: serde_json::Map<String, Value>,
}

fn templates(pack: Name) -> anyhow::Result<Vec<Template>> {
    let lines = pack.text().lines().filter(|line| !line.is_empty());
    let read = lines.map(serde_json::from_str::<Template>);
    Ok(read.collect::<Result<Vec<_>, _>>()?)
}

/// What the cases are derived from.
struct Base<'a> {
    url: String,
    target: Target,
    /// An address that may be dialled.
    good: IpAddr,
    /// The vector that it is from: who asks, and under which settings.
    like: Option<(&'a Suite, &'a Case)>,
}

impl<'a> Base<'a> {
    fn of(plan: &'a Plan, args: &Args) -> anyhow::Result<Self> {
        let like = first_allowed(plan);
        let of_case = like.and_then(|(_, case)| case.url());
        let url = args.base.as_deref().or(of_case).unwrap_or(DEFAULT_BASE);
        let target = Target::parse(url).map_err(|refusal| {
            let message = format!("`{}` cannot be a base: {refusal}", url.escape_debug());
            Fault::new(message, BASE_HINT)
        })?;
        if target.host().ip().is_some() {
            let message = format!(
                "`{}` cannot be a base: its host is an address",
                url.escape_debug()
            );
            return Err(Fault::new(message, BASE_HINT).into());
        }
        Ok(Self {
            url: url.to_owned(),
            target,
            good: like.and_then(|(_, case)| good(case)).unwrap_or(GOOD),
            like,
        })
    }

    /// The settings of the vector. The operator's exceptions are left out: what they open is meant to be
    /// open, and is not the policy's.
    fn setup(&self, plan: &Plan) -> Setup {
        match self.like {
            Some((suite, _)) => Setup {
                grants: Vec::new(),
                ..plan.setup(suite)
            },
            None => plan.default_setup(),
        }
    }

    /// The case of a template, and what may be dialled in it.
    fn case(&self, template: &Template) -> anyhow::Result<(Case, Vec<String>)> {
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

    /// Why the policy refuses the base itself, if it does.
    async fn refusal(&self, runner: &Runner) -> anyhow::Result<Option<String>> {
        let template = Template {
            id: String::new(),
            group: String::new(),
            only: Vec::new(),
            case: serde_json::from_str(r#"{"url": "{base}", "resolves_to": ["{good}"]}"#)?,
        };
        let judged = runner.judge(&self.case(&template)?.0).await;
        Ok(judged.denial.as_ref().map(explain::rule))
    }
}

/// The first vector that is expected to be allowed, for a name.
fn first_allowed(plan: &Plan) -> Option<(&Suite, &Case)> {
    let cases = plan.suites.iter().flat_map(|suite| {
        let cases = suite.cases().iter();
        cases.map(move |case| (suite, case))
    });
    let is_allowed = |case: &Case| {
        case.expect()
            .is_some_and(|expect| expect.verdict == Want::Allow)
    };
    let is_name = |case: &Case| {
        let target = case.url().and_then(|url| Target::parse(url).ok());
        target.is_some_and(|target| matches!(target.host(), Host::Domain(_)))
    };
    cases
        .into_iter()
        .find(|(_, case)| is_allowed(case) && is_name(case))
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

fn compared(
    case: &Case,
    template: &Template,
    judged: Judged,
    only: Vec<String>,
    time: Duration,
) -> CaseReport {
    let bad = dialled(&judged, &only);
    let differences = if bad.is_empty() {
        Vec::new()
    } else {
        vec![difference(&only, &bad)]
    };
    CaseReport {
        name: template.id.clone(),
        line: None,
        asked: case.asked().to_owned(),
        expected: Expected::Dials { only },
        judged: Some(judged),
        hint: (!differences.is_empty()).then(|| hint::OF_PACK.to_owned()),
        differences,
        time,
    }
}

/// What would be dialled and is not known to be good.
fn dialled(judged: &Judged, only: &[String]) -> Vec<String> {
    let survivors = judged.survivors().map(|judged| judged.address.to_string());
    survivors
        .filter(|address| !only.contains(address))
        .collect()
}

fn difference(only: &[String], bad: &[String]) -> Difference {
    Difference {
        field: "dials".into(),
        expected: if only.is_empty() {
            "nothing".into()
        } else {
            only.join(", ")
        },
        got: bad.join(", "),
    }
}

async fn alone_lets_through(
    alone: &Alone,
    template: &Template,
    base: &Base<'_>,
) -> anyhow::Result<bool> {
    let (case, only) = base.case(template)?;
    Ok(!dialled(&alone.judge(&case).await, &only).is_empty())
}

fn of_group(report: &mut Report, name: String) -> &mut SuiteReport {
    let at = report.suites.iter().position(|suite| suite.name == name);
    let at = at.unwrap_or_else(|| {
        report.suites.push(SuiteReport {
            name,
            about: None,
            cases: Vec::new(),
        });
        report.suites.len() - 1
    });
    &mut report.suites[at]
}

/// Writes what a pack says beside its cases.
pub(super) fn write(summary: &Summary, out: &mut Output) -> anyhow::Result<()> {
    out.line(format_args!(
        "{LABEL}from{LABEL:#} {}",
        Printable(&summary.base)
    ))?;
    let held: usize = summary.held_by_floor.values().sum();
    out.line(format_args!(
        "held by the floor alone: {held}{}",
        groups(&summary.held_by_floor)
    ))?;
    let Some(why) = &summary.vacuous else {
        return Ok(());
    };
    let why = Printable(why);
    out.line(format_args!(
        "\n{BAD}failed{BAD:#}: this proves little, the policy refuses the base itself {why}"
    ))?;
    Ok(out.line(format_args!("  {LABEL}hint{LABEL:#}: {BASE_HINT}"))?)
}

fn groups(held: &BTreeMap<String, usize>) -> String {
    let groups: Vec<_> = held
        .iter()
        .map(|(group, count)| format!("{group} {count}"))
        .collect();
    match groups.is_empty() {
        true => String::new(),
        false => format!(" ({})", groups.join(", ")),
    }
}

/// Where a pack starts when nobody says otherwise.
const DEFAULT_BASE: &str = "https://example.com/";

/// What the base resolves to when no vector says otherwise: a public address. It is never dialled.
const GOOD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 34));

const BASE_HINT: &str =
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
