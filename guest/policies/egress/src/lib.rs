//! The default policy: public addresses only, every rule a typed setting.
//!
//! Without settings it allows `http` and `https` to any port of any public address, and refuses:
//! userinfo, address literals that are not written canonically, special-use names, names of a single
//! label, metadata endpoints, IPv6 addresses that carry IPv4, addresses that are registered for a
//! special purpose, and every address of a name when one of them is refused.
//!
//! `settings.schema.json` describes each setting, `settings.example.toml` shows them all. Three rules
//! explain the rest:
//!
//! - The most specific match decides, for names (the longest) and networks (the longest prefix) alike;
//!   then a rule for some ports or schemes; then deny.
//! - `hosts.allow` is exclusive: with it, what it does not name is refused. `networks.allow` adds to the
//!   public addresses.
//! - Metadata endpoints are refused whatever the settings say.
//!
//! # How names are written in `hosts` and `names`
//!
//! `example.com` is that name alone, `*.example.com` every name below it, `**.example.com` both. A port
//! may follow: `example.com:8443`.

mod allowable;
mod compile;
mod conflicts;
mod hosts;
mod networks;
mod order;
mod pattern;
mod ports;
mod problems;
mod rules;
mod schemes;
mod settings;
mod slots;
mod subjects;
#[cfg(test)]
mod tests;

use pinfold_policy::{
    Decision, Denial, Description, Object, Policy, Problem, Reason, Request, Resolution, Verdict,
};

pub use crate::settings::{Settings, Subject};
use crate::{
    problems::Problems,
    rules::{Origin, Rules},
    settings::Switch,
    subjects::Subjects,
};

/// The policy, configured.
///
/// ```
/// use pinfold_egress::Egress;
/// use pinfold_policy::{Decision, Policy, Request, Target};
///
/// let policy: Egress = pinfold_policy::configure(r#"{ "hosts": { "deny": ["**.example.net"] } }"#).unwrap();
/// let request = Request::new(Target::new("https", "www.example.net", 443));
/// let Decision::Deny(denial) = policy.check_target(&request) else { panic!("not denied") };
/// assert_eq!(denial.code(), "host-denied");
/// assert_eq!(denial.message(), "`hosts.deny[0]` **.example.net refuses `www.example.net`");
/// ```
#[derive(Debug)]
pub struct Egress {
    base: Rules,
    subjects: Subjects,
    by_subject: Box<[Rules]>,
    unknown_subject: Switch,
}

pinfold_policy::export!(Egress);

impl Egress {
    /// JSON Schema of the settings.
    pub const SCHEMA: &str = include_str!("../settings.schema.json");

    /// The rules for whoever asks.
    fn rules(&self, request: &Request) -> Result<&Rules, Denial> {
        let rule = request
            .subject
            .as_deref()
            .and_then(|subject| self.subjects.find(subject));
        match rule.and_then(|rule| self.by_subject.get(rule)) {
            Some(rules) => Ok(rules),
            None if self.unknown_subject == Switch::Allow => Ok(&self.base),
            None => Err(unknown_subject(request.subject.as_deref())),
        }
    }
}

impl Policy for Egress {
    type Settings = Object<Settings>;

    fn describe() -> Description {
        Description {
            name: "egress".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "public addresses only, every rule a typed setting".into(),
            settings_schema: Self::SCHEMA.into(),
        }
    }

    fn configure(Object(mut settings): Self::Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let sections = settings.take_sections();
        let base = compile::overlay(
            &compile::defaults(),
            sections,
            Origin::Document,
            &mut problems,
        );
        let mut given = settings.subjects.unwrap_or_default();
        let subjects = Subjects::new(&given, &mut problems);
        let mut overlay = |(index, subject): (usize, &mut Object<Subject>)| {
            let sections = subject.0.take_sections();
            compile::overlay(&base, sections, Origin::Subject(index), &mut problems)
        };
        let by_subject: Box<[Rules]> = given.iter_mut().enumerate().map(&mut overlay).collect();
        let unknown_subject = settings.unknown_subject.unwrap_or(Switch::Allow);
        if unknown_subject == Switch::Deny && by_subject.is_empty() {
            problems.add(
                "/unknown_subject",
                "refuses everybody: `subjects` names none that is known",
            );
        }
        problems.into_result(Self {
            base,
            subjects,
            by_subject,
            unknown_subject,
        })
    }

    fn check_target(&self, request: &Request) -> Decision {
        self.rules(request)
            .and_then(|rules| rules.check_target(request))
            .into()
    }

    fn check_addresses(&self, request: &Request, resolution: &Resolution) -> Vec<Verdict> {
        match self.rules(request) {
            Ok(rules) => rules.check_addresses(request, resolution),
            Err(denial) => resolution
                .answers
                .iter()
                .map(|_| Verdict::Deny(denial.clone()))
                .collect(),
        }
    }
}

fn unknown_subject(subject: Option<&str>) -> Denial {
    let message = match subject {
        Some(subject) => format!("`{subject}` is in no `subjects` and `unknown_subject` is `deny`"),
        None => "the request names no subject and `unknown_subject` is `deny`".into(),
    };
    Denial::new(Reason::SubjectDenied, message)
}
