//! Patterns of `hosts` that never get their way.

use super::{Scene, names::Below};
use crate::{
    hosts::{Effect, HostRule, Match},
    pattern::Scope,
    rules::{RefusedName, Rules, refused_name},
};

/// Each pattern that was written here.
pub(super) fn patterns(scene: &mut Scene<'_>) {
    let rules = scene.rules;
    if !scene.is_own(&rules.hosts) {
        return;
    }
    let view = View::new(rules);
    for rule in rules.hosts.value.rules() {
        let found = rule.found();
        if let Some(problem) = view.problem(rule) {
            scene.refuse(
                &format!("/hosts/{}/{}", found.effect.key(), found.index),
                problem,
            );
        }
    }
}

/// A list that is inherited, and of which the subject's sections leave nothing.
pub(super) fn nothing_left(scene: &mut Scene<'_>) {
    let rules = scene.rules;
    let hosts = &rules.hosts;
    if scene.is_own(hosts) || !hosts.value.is_exclusive() {
        return;
    }
    let sections = [(rules.ports.origin, "ports"), (rules.names.origin, "names")];
    if sections.iter().all(|(origin, _)| *origin != scene.origin) {
        return;
    }
    let view = View::new(rules);
    let mut allows = hosts
        .value
        .rules()
        .filter(|rule| rule.found().effect == Effect::Allow);
    let Some(first) = allows.next() else { return };
    if let Some(problem) = view.problem(first)
        && allows.all(|rule| view.problem(rule).is_some())
    {
        let (list, pattern) = (hosts.name("hosts.allow"), first.found().pattern);
        let message = format!("leaves nothing of `{list}`: {pattern} {problem}");
        scene.refuse_at_first(&sections, message);
    }
}

/// The rules, and what is looked up in them more than once.
struct View<'a> {
    rules: &'a Rules,
    exceptions: Below<'a>,
}

impl<'a> View<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            exceptions: Below::new(&rules.names.value, Effect::Allow),
        }
    }

    fn problem(&self, rule: HostRule<'a>) -> Option<String> {
        match rule.found().effect {
            Effect::Allow => self.never_allows(rule),
            Effect::Deny => self.never_denies(rule),
        }
    }

    fn never_allows(&self, rule: HostRule<'a>) -> Option<String> {
        let ports = &self.rules.ports;
        if let Some(port) = rule.port().filter(|port| !ports.value.contains(*port)) {
            let list = ports.name("ports");
            return Some(format!("never applies: port {port} is not in `{list}`"));
        }
        let (mut refused, mut winner) = (None, None);
        for is_whole in parts(rule.scope()) {
            if let Some(why) = self.refused(rule.name(), is_whole) {
                refused = refused.or(Some(why));
                continue;
            }
            for found in rule.outcomes(is_whole, &ports.value) {
                if found.effect == Effect::Allow {
                    return None;
                }
                winner = winner.or(Some(found));
            }
        }
        match (winner, refused) {
            (Some(winner), _) => Some(self.overruled(rule, &winner)),
            (None, refused) => refused.map(|why| never_asked(rule.name(), why)),
        }
    }

    /// A deny pattern of which something is refused for any reason does no harm.
    fn never_denies(&self, rule: HostRule<'a>) -> Option<String> {
        let mut winner = None;
        for is_whole in parts(rule.scope()) {
            for found in rule.outcomes(is_whole, &self.rules.ports.value) {
                if found.effect == Effect::Deny {
                    return None;
                }
                winner = winner.or(Some(found));
            }
        }
        let is_refused = |is_whole| self.refused(rule.name(), is_whole).is_some();
        let winner = winner.filter(|_| !parts(rule.scope()).any(is_refused))?;
        Some(self.overruled(rule, &winner))
    }

    /// Why the name itself (`is_whole`), or else every name below it, is refused before `hosts` is asked.
    fn refused(&self, name: &str, is_whole: bool) -> Option<RefusedName> {
        let names = &self.rules.names.value;
        if is_whole {
            return refused_name(names, name);
        }
        refused_name(names, &any_below(name)).filter(|_| !self.exceptions.has(name))
    }

    fn overruled(&self, rule: HostRule<'_>, winner: &Match<'_>) -> String {
        let hosts = &self.rules.hosts;
        let (list, own) = (winner.effect.key(), rule.found());
        let other = hosts.name(&format!("hosts.{list}[{}]", winner.index));
        if own.pattern == winner.pattern {
            return format!("`{}` is in `{other}` too", own.pattern);
        }
        let mut message = format!("never applies: `{other}` {} wins", winner.pattern);
        if rule.port().is_none() && winner.pattern.contains(':') {
            message += &format!(" on every port of `{}`", self.rules.ports.name("ports"));
        }
        if rule.scope() == Scope::Exact && winner.pattern.starts_with(Scope::Tree.front()) {
            message += &format!(
                "; write `{}{}` there for the names below",
                Scope::Below.front(),
                rule.name()
            );
        }
        message
    }
}

/// What a pattern is about: the name itself (true), the names below it (false).
fn parts(scope: Scope) -> impl Iterator<Item = bool> {
    [true, false]
        .into_iter()
        .filter(move |is_whole| scope.covers(*is_whole))
}

/// Stands for every name below this one of which no list knows more: its first label is in no pattern.
pub(super) fn any_below(name: &str) -> String {
    format!("*.{name}")
}

fn never_asked(name: &str, why: RefusedName) -> String {
    let remedy = match why {
        RefusedName::Metadata => "which is always refused",
        _ => "list it in `names.allow` too if it is meant",
    };
    format!("never applies: `{name}` {why}; {remedy}")
}
