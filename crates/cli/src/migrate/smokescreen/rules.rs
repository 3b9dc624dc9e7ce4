//! From the access list to rules of the shipped policy.

use std::{collections::BTreeSet, net::IpAddr};

use pinfold_addr::names;

use super::{
    super::difference::{Differences, Kind},
    hosts::{self, Glob, Lists},
    networks::Rule,
    settings::{Hosts, Subject},
    source::{Acl, Action, Service},
};
use crate::fault::Fault;

/// What an access list becomes.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// What holds for who has no rule; none where nobody else may.
    pub(super) base: Option<Hosts>,
    pub(super) subjects: Vec<Subject>,
    /// Roles whose denials of names are only reported.
    pub(super) reported: Vec<String>,
    /// Special-use names and names of one label in the lists.
    pub(super) names: Vec<Glob>,
}

/// Translates an access list.
pub(super) fn translate(acl: &Acl, differences: &mut Differences) -> anyhow::Result<Rules> {
    unread("access list", acl.rest.keys(), differences);
    if acl
        .version
        .as_deref()
        .is_some_and(|version| version != "v1")
    {
        return Err(Fault::new(
            "the access list is of a version other than `v1`",
            "only `version: v1` is known",
        )
        .into());
    }
    unique_names(acl)?;
    let global = Global {
        allow: allowed("global_allow_list", &acl.global_allow_list, differences),
        deny: denied(&acl.global_deny_list)?,
    };
    let mut rules = Rules::default();
    for service in &acl.services {
        let about = format!("service `{}`", service.name);
        let hosts = global.hosts(&about, service, &mut rules, differences);
        if service.action == Action::Report {
            rules.reported.push(service.name.clone());
            reporting(&about, acl, differences);
        }
        rules.subjects.push(Subject {
            name: service.name.clone(),
            project: service.project.clone(),
            hosts,
        });
    }
    if let Some(default) = &acl.default {
        rules.base = Some(global.hosts("the default rule", default, &mut rules, differences));
        if default.action == Action::Report {
            differences
                .add(
                    Kind::Stricter,
                    "the default rule",
                    "`report`: what is in no list is let through, and logged",
                    "enforced for every role without a rule of its own",
                )
                .hint("name the roles in `report.subjects`, or set `report.all` for the time of the change");
        }
    }
    Ok(rules)
}

/// What reporting is here and was not there.
fn reporting(about: &str, acl: &Acl, differences: &mut Differences) {
    differences.add(
        Kind::Stricter,
        about,
        "`report` lets through whatever is in no list, addresses in the place of a name too",
        "names are let through; an address in the place of a name, and what a name is an alias of, is judged",
    );
    if !acl.global_deny_list.is_empty() {
        differences
            .add(
                Kind::Looser,
                format_args!("{about}: global_deny_list"),
                "enforced whatever the `action` of the service",
                "let through and logged, like all names, as long as the role is in `report.subjects`",
            )
            .hint("take the role out of `report.subjects` once its list is complete, or now");
    }
}

/// The lists that hold beside those of every rule.
struct Global {
    allow: Entries,
    deny: Vec<Glob>,
}

/// What a list of names holds.
#[derive(Debug, Default)]
struct Entries {
    globs: Vec<Glob>,
    addresses: Vec<Rule>,
}

impl Global {
    fn hosts(
        &self,
        about: &str,
        service: &Service,
        rules: &mut Rules,
        differences: &mut Differences,
    ) -> Hosts {
        unread(about, service.rest.keys(), differences);
        without_equivalent(about, service, differences);
        let own = allowed(about, &service.allowed_domains, differences);
        let lists = match service.action {
            Action::Open => hosts::open(&own.globs, &self.deny),
            Action::Report | Action::Enforce => {
                hosts::enforced(&own.globs, &self.allow.globs, &self.deny)
            }
        };
        tell_lost(about, &lists, differences);
        rules.note_names(own.globs.iter().chain(&self.allow.globs));
        let addresses = [own.addresses, self.allow.addresses.clone()].concat();
        Hosts {
            allow: lists.allow,
            deny: lists.deny,
            addresses,
        }
    }
}

impl Rules {
    /// Names that are refused unless they are said to be meant.
    fn note_names<'a>(&mut self, globs: impl Iterator<Item = &'a Glob>) {
        let special =
            |glob: &&Glob| !glob.name().contains('.') || names::special_use(glob.name()).is_some();
        self.names.extend(globs.filter(special).cloned());
        self.names.sort();
        self.names.dedup();
    }
}

fn without_equivalent(about: &str, service: &Service, differences: &mut Differences) {
    if !service.allowed_external_proxies.is_empty() {
        differences
            .add(
                Kind::Missing,
                format_args!("{about}: allowed_external_proxies"),
                "requests may ask for a further proxy",
                "none is used: whoever dials for the gateway resolves for it, and nothing is pinned",
            )
            .hint("let the gateway dial these targets itself");
    }
    if !service.mitm_domains.is_empty() {
        differences
            .add(
                Kind::Missing,
                format_args!("{about}: mitm_domains"),
                "TLS to these names is opened, headers are added and logged",
                "TLS is never opened; the names stay allowed",
            )
            .hint("add the headers in the service, or in a client of the library");
    }
}

fn tell_lost(about: &str, lists: &Lists, differences: &mut Differences) {
    for glob in &lists.lost {
        differences
            .add(
                Kind::Stricter,
                format_args!("{about}: allowed_domains `{glob}`"),
                "allowed, although the global deny list covers it",
                "refused: an exception to a denial needs a list of allowed names, which refuses all others",
            )
            .hint("narrow the entry of the global deny list");
    }
}

/// Names that may be fetched; what cannot be read is left out, which refuses it.
fn allowed(about: &str, texts: &[String], differences: &mut Differences) -> Entries {
    let mut entries = Entries::default();
    for text in texts {
        if let Ok(address) = text.parse::<IpAddr>() {
            entries.addresses.push(Rule::host(address));
            continue;
        }
        match Glob::parse(text) {
            Ok(glob) => entries.globs.push(glob),
            Err(why) => {
                differences.add(
                    Kind::Missing,
                    format_args!("{about}: `{text}`"),
                    "an entry of a list of allowed names",
                    format!("left out, since {why}"),
                );
            }
        }
    }
    entries
}

/// Names that must not be fetched: none may be lost.
fn denied(texts: &[String]) -> anyhow::Result<Vec<Glob>> {
    let parse = |text: &String| {
        Glob::parse(text).map_err(|why| {
            let message = format!("`{text}` in `global_deny_list` cannot be translated: {why}");
            Fault::new(
                message,
                "write names, or `*.` and a name; addresses belong in `deny_ranges`",
            )
            .into()
        })
    };
    texts.iter().map(parse).collect()
}

fn unique_names(acl: &Acl) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for service in &acl.services {
        let name = &service.name;
        let wrong = match () {
            () if name.is_empty() => "a service has no name".to_owned(),
            () if name.contains('*') => format!("the name of the service `{name}` holds a `*`"),
            () if !seen.insert(name) => format!("there are two services `{name}`"),
            () => continue,
        };
        return Err(Fault::new(wrong, "give each service a name of its own").into());
    }
    Ok(())
}

/// Keys that nobody knows.
pub(super) fn unread<'a>(
    about: &str,
    keys: impl Iterator<Item = &'a String>,
    differences: &mut Differences,
) {
    for key in keys {
        differences
            .add(
                Kind::Missing,
                format_args!("{about}: `{key}`"),
                "an unknown key, not read",
                "an unknown key, read by neither",
            )
            .hint("is it misspelt? What it was meant to say holds in neither");
    }
}
