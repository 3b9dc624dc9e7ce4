//! Settings of the shipped policy, as text.

use std::fmt;

use super::{
    hosts::Glob,
    networks::{Networks, Rule},
};

/// The settings.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) networks: &'a Networks,
    /// Special-use names and names of one label that are meant.
    pub(super) names: &'a [Glob],
    /// What holds for who is in no rule; none where they are refused.
    pub(super) base: Option<&'a Hosts>,
    pub(super) subjects: &'a [Subject],
}

/// Names, for one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    pub(super) allow: Option<Vec<Glob>>,
    pub(super) deny: Vec<Glob>,
    /// Address literals that are in the list of names.
    pub(super) addresses: Vec<Rule>,
}

/// The rule of one role.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    /// The project that it belongs to, for a comment.
    pub(super) project: Option<String>,
    pub(super) hosts: Hosts,
}

impl fmt::Display for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Who may fetch what. Written by `pinfold migrate smokescreen`.\n"
        )?;
        writeln!(
            f,
            "# Refused addresses among others are left out, as there; \"deny\" refuses the whole answer."
        )?;
        writeln!(f, "mixed_answers = \"filter\"")?;
        if self.networks.judge_wrapped {
            writeln!(f, "wrapped = \"judge\"")?;
        }
        if !self.subjects.is_empty() {
            let unknown = if self.base.is_some() { "allow" } else { "deny" };
            writeln!(f, "unknown_subject = \"{unknown}\"")?;
        }
        if !self.names.is_empty() {
            writeln!(f, "\n[names]\nallow = {}", list(self.names))?;
        }
        self.base_sections(f)?;
        let mut subjects = self.subjects.iter();
        subjects.try_for_each(|subject| self.subject(f, subject))
    }
}

impl Settings<'_> {
    fn base_sections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.base.map(Hosts::members).unwrap_or_default();
        let addresses = self.base.map_or(&[][..], |base| &base.addresses);
        for (name, members) in [("hosts", hosts), ("networks", self.networks(addresses))] {
            if !members.is_empty() {
                writeln!(f, "\n[{name}]\n{}", members.join("\n"))?;
            }
        }
        Ok(())
    }

    fn subject(&self, f: &mut fmt::Formatter<'_>, subject: &Subject) -> fmt::Result {
        writeln!(f)?;
        if let Some(project) = &subject.project {
            writeln!(f, "# {}", project.replace(char::is_control, " "))?;
        }
        writeln!(f, "[[subjects]]\nmatch = [{}]", quoted(&subject.name))?;
        writeln!(f, "hosts = {}", table(&subject.hosts.members()))?;
        if !subject.hosts.addresses.is_empty() {
            let members = self.networks(&subject.hosts.addresses);
            writeln!(f, "networks = {}", table(&members))?;
        }
        Ok(())
    }

    /// Both lists, with some more that are allowed: a section is replaced whole, so that it repeats what holds for
    /// everybody.
    fn networks(&self, more: &[Rule]) -> Vec<String> {
        let mut allow = [&self.networks.allow, more].concat();
        allow.sort();
        allow.dedup();
        let lists = [("allow", &allow), ("deny", &self.networks.deny)];
        let lists = lists.into_iter().filter(|(_, rules)| !rules.is_empty());
        let member = |(key, rules): (&str, &Vec<Rule>)| {
            let rules: Vec<_> = rules.iter().map(rule).collect();
            format!("{key} = [{}]", rules.join(", "))
        };
        lists.map(member).collect()
    }
}

impl Hosts {
    fn members(&self) -> Vec<String> {
        let allow = self
            .allow
            .as_ref()
            .map(|allow| format!("allow = {}", list(allow)));
        let deny = (!self.deny.is_empty()).then(|| format!("deny = {}", list(&self.deny)));
        allow.into_iter().chain(deny).collect()
    }
}

fn table(members: &[String]) -> String {
    match members {
        [] => "{}".into(),
        members => format!("{{ {} }}", members.join(", ")),
    }
}

fn rule(rule: &Rule) -> String {
    match rule.port {
        None => quoted(&rule.network.to_string()),
        Some(port) => format!("{{ cidr = \"{}\", ports = [{port}] }}", rule.network),
    }
}

fn list(globs: &[Glob]) -> String {
    let names: Vec<_> = globs.iter().map(|glob| format!("\"{glob}\"")).collect();
    format!("[{}]", names.join(", "))
}

/// A basic string of TOML; JSON's escapes are among its own.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}
