//! A verdict as text for people and as JSON for programs.

use std::{borrow::Cow, fmt};

use pinfold::{Decision, Denial, JudgedAddress, Outcome};
use pinfold_addr::{Embedded, Host, Reason, Stage, Target};
use serde::Serialize;

use crate::{
    hint,
    output::{BAD, GOOD, LABEL, Output},
    text::{Printable, count, redacted},
};

/// What was found, in one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// A socket may be opened.
    Allow,
    /// Refused, or the name cannot be resolved.
    Deny,
    /// Not a URL by the WHATWG standard: no client could do anything with it.
    Invalid,
}

impl Verdict {
    /// The verdict behind a denial, or its absence.
    pub(crate) fn of(denial: Option<&Denial>) -> Self {
        match denial {
            None => Self::Allow,
            Some(denial) if denial.code() == Reason::UrlInvalid.code() => Self::Invalid,
            Some(_) => Self::Deny,
        }
    }
}

/// One URL and what was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// As it was given; credentials in it are not shown.
    pub(crate) url: &'a str,
    /// As it was understood; none when it was not.
    pub(crate) target: Option<&'a Target>,
    /// Why it is refused.
    pub(crate) denial: Option<&'a Denial>,
    /// The record; none when the URL was refused while it was read.
    pub(crate) decision: Option<&'a Decision>,
}

/// [`Report`] as JSON shows it.
#[derive(Serialize)]
struct Json<'a> {
    url: Cow<'a, str>,
    verdict: Verdict,
    stage: Option<Stage>,
    code: Option<&'a str>,
    detail: Option<&'a str>,
    hint: Option<Cow<'static, str>>,
    target: Option<String>,
    addresses: &'a [JudgedAddress],
    decision: Option<&'a Decision>,
}

impl Report<'_> {
    /// Writes it, as JSON for programs or as text for people.
    pub(crate) fn write(&self, json: bool, out: &mut Output) -> anyhow::Result<()> {
        if json { self.json(out) } else { self.text(out) }
    }

    /// One line of JSON.
    fn json(&self, out: &mut Output) -> anyhow::Result<()> {
        out.json(&Json {
            url: redacted(self.url),
            verdict: Verdict::of(self.denial),
            stage: self.denial.map(Denial::stage),
            code: self.denial.map(Denial::code),
            detail: self.denial.map(Denial::detail),
            hint: self.hint(),
            target: self.target.map(Target::to_string),
            addresses: self.addresses(),
            decision: self.decision,
        })
    }

    /// The explanation, stage by stage.
    fn text(&self, out: &mut Output) -> anyhow::Result<()> {
        out.line(Printable(&redacted(self.url)))?;
        if let Some(target) = self.target {
            row(out, "parse", parsed(target))?;
        }
        if let Some(decision) = self.decision {
            self.stages(decision, out)?;
        }
        addresses(self.addresses(), out)?;
        if let Some(layer) = self.decision.and_then(blamed) {
            row(
                out,
                "policy",
                format_args!("denied by {}", Printable(&layer)),
            )?;
        }
        self.verdict(out)
    }

    fn stages(&self, decision: &Decision, out: &mut Output) -> anyhow::Result<()> {
        if !passed_target(decision) {
            return Ok(());
        }
        row(
            out,
            "target",
            format_args!("allowed by {}", Printable(&policies(decision))),
        )?;
        if let Some(Host::Domain(_)) = self.target.map(Target::host) {
            row(out, "resolve", resolved(decision))?;
        }
        Ok(())
    }

    /// Each address and what became of it.
    fn addresses(&self) -> &[JudgedAddress] {
        self.decision
            .map_or(&[], |decision| decision.addresses.as_slice())
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        hint::of(
            self.denial?,
            self.addresses(),
            self.target.map(Target::port),
            self.decision.map(|decision| &*decision.policy),
        )
    }

    fn verdict(&self, out: &mut Output) -> anyhow::Result<()> {
        let Some(denial) = self.denial else {
            return row(out, "verdict", format_args!("{GOOD}allowed{GOOD:#}"));
        };
        // What is wrong with an address stands beside it already.
        let is_shown = self
            .addresses()
            .iter()
            .any(|judged| judged.denial.as_ref() == Some(denial));
        let stage = denial.stage();
        let rule = if is_shown {
            format!("by `{}`", denial.code())
        } else {
            rule(denial)
        };
        let rule = Printable(&rule);
        row(
            out,
            "verdict",
            format_args!("{BAD}denied{BAD:#} at stage `{stage}` {rule}"),
        )?;
        if let Some(hint) = self.hint() {
            out.line(format_args!("\n{LABEL}hint{LABEL:#}: {hint}"))?;
        }
        Ok(())
    }
}

/// The record of one hop in lines, for `fetch --verbose`.
pub(crate) fn lines_of(hop: &str, decision: &Decision) -> Vec<String> {
    let by = blamed(decision).unwrap_or_else(|| policies(decision));
    let generation = decision.policy.generation;
    let mut lines = vec![format!("{hop} ({by} generation {generation})")];
    lines.extend(address_rows(&decision.addresses));
    lines.push(outcome(&decision.outcome));
    lines
        .iter()
        .map(|line| Printable(line).to_string())
        .collect()
}

/// The policy, or the layers of a chain.
fn policies(decision: &Decision) -> String {
    if decision.layers.is_empty() {
        return format!("policy `{}`", decision.policy.name);
    }
    let names = decision
        .layers
        .iter()
        .filter_map(|policy| policy.layer.as_deref());
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    format!("layers {}", names.join(", "))
}

/// The layer that denied, and its policy, where there are several.
fn blamed(decision: &Decision) -> Option<String> {
    let layer = decision.denied_by.as_deref()?;
    let several = !decision.layers.is_empty();
    several.then(|| format!("layer `{layer}`, policy `{}`", decision.policy.name))
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allow {
            dialed: Some(peer),
            reused: true,
        } => format!("allowed, kept connection to {peer}"),
        Outcome::Allow {
            dialed: Some(peer), ..
        } => format!("allowed, connected to {peer}"),
        Outcome::Deny(denial) => format!("denied {}", rule(denial)),
        Outcome::Failed(denial) => format!("failed {}", rule(denial)),
        _ => String::from("allowed"),
    }
}

fn parsed(target: &Target) -> String {
    let mut text = format!(
        "{}, {}, port {}",
        target.scheme().as_str(),
        target.host(),
        target.port()
    );
    let spelling = target.spelling();
    if spelling.userinfo {
        text.push_str(", user information dropped");
    }
    if spelling.non_canonical_literal {
        text.push_str(", literal not canonical");
    }
    text
}

/// Whether stage one allowed: everything that comes later says so. The floor refuses a literal before
/// the policy is asked.
fn passed_target(decision: &Decision) -> bool {
    const FLOOR: [Reason; 3] = [
        Reason::AddressFloor,
        Reason::AddressMetadata,
        Reason::AddressOwn,
    ];
    decision
        .outcome
        .denial()
        .is_none_or(|denial| match denial.stage() {
            Stage::Resolve | Stage::Connect => true,
            Stage::Address => denial
                .reason()
                .is_none_or(|reason| !FLOOR.contains(&reason)),
            _ => !decision.addresses.is_empty(),
        })
}

fn resolved(decision: &Decision) -> String {
    let addresses = count(decision.addresses.len(), "address", "addresses");
    if decision.chain.is_empty() {
        addresses
    } else {
        format!(
            "{addresses} through {}",
            Printable(&decision.chain.join(", "))
        )
    }
}

fn addresses(addresses: &[JudgedAddress], out: &mut Output) -> anyhow::Result<()> {
    for (judged, line) in addresses.iter().zip(address_rows(addresses)) {
        let style = if judged.denial.is_some() { BAD } else { GOOD };
        row(
            out,
            "address",
            format_args!("{style}{}{style:#}", Printable(&line)),
        )?;
    }
    Ok(())
}

/// Address, class, verdict and rule, aligned.
fn address_rows(addresses: &[JudgedAddress]) -> Vec<String> {
    let cells = addresses
        .iter()
        .map(|judged| (judged.address.to_string(), class(judged)));
    let cells = cells.collect::<Vec<_>>();
    let first = cells
        .iter()
        .map(|(address, _)| address.len())
        .max()
        .unwrap_or(0);
    let second = cells
        .iter()
        .map(|(_, class)| class.len())
        .max()
        .unwrap_or(0);
    let row = |(judged, (address, class)): (&JudgedAddress, &(String, String))| {
        let verdict = judged.denial.as_ref().map_or_else(
            || String::from("allowed"),
            |denial| format!("denied {}", rule(denial)),
        );
        format!("{address:first$}  {class:second$}  {verdict}")
    };
    addresses.iter().zip(&cells).map(row).collect()
}

fn class(judged: &JudgedAddress) -> String {
    let mut text = judged.class.to_string();
    for Embedded {
        form,
        address,
        class,
    } in &judged.embedded
    {
        text.push_str(&format!(", {form} of {address} ({class})"));
    }
    if judged.granted {
        text.push_str(", granted");
    }
    text
}

/// The rule that refused, and what exactly it refused.
pub(crate) fn rule(denial: &Denial) -> String {
    let detail = denial.detail().trim_end_matches('.');
    if detail.is_empty() {
        format!("by `{}`", denial.code())
    } else {
        format!("by `{}`: {detail}", denial.code())
    }
}

fn row(out: &mut Output, label: &str, value: impl fmt::Display) -> anyhow::Result<()> {
    Ok(out.line(format_args!("  {LABEL}{label:7}{LABEL:#}  {value}"))?)
}
