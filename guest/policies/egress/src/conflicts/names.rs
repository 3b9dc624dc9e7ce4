//! Exceptions of `names.allow` that change nothing.

use std::cell::OnceCell;

use pinfold_policy::addr::names;

use super::{Scene, hosts::any_below};
use crate::{
    hosts::{Effect, HostRule, HostTable, Match},
    order,
    pattern::Scope,
};

/// Each exception that was written here.
pub(super) fn exceptions(scene: &mut Scene<'_>) {
    let rules = scene.rules;
    if !scene.is_own(&rules.names) {
        return;
    }
    let allowed_below = Below::new(&rules.hosts.value, Effect::Allow);
    for rule in rules.names.value.rules() {
        let problem = pointless(rule).or_else(|| refused_by_hosts(scene, rule, &allowed_below));
        if let Some(problem) = problem {
            scene.refuse(&format!("/names/allow/{}", rule.found().index), problem);
        }
    }
}

fn pointless(rule: HostRule<'_>) -> Option<String> {
    let name = rule.name();
    if rule.port().is_some() {
        return Some("a port belongs in `hosts` or `ports`".into());
    }
    if names::is_metadata(name) {
        return Some(format!(
            "`{name}` is a metadata endpoint, which is always refused"
        ));
    }
    let is_single = rule.scope().covers_itself() && !name.contains('.');
    (names::special_use(name).is_none() && !is_single)
        .then(|| format!("`{name}` is not special: `hosts` decides about it"))
}

/// The exception lets a name pass to `hosts`, which refuses whatever the exception is about.
fn refused_by_hosts(
    scene: &Scene<'_>,
    rule: HostRule<'_>,
    allowed_below: &Below<'_>,
) -> Option<String> {
    let hosts = &scene.rules.hosts;
    let (name, scope) = (rule.name(), rule.scope());
    let passes = |found: Option<Match<'_>>| match found {
        Some(found) => found.effect == Effect::Allow,
        None => !hosts.value.is_exclusive(),
    };
    let has_way = |name: &str| hosts.value.find_all(name, scene.ports()).any(passes);
    let is_meant = scope.covers_itself() && has_way(name)
        || scope.covers_below() && (has_way(&any_below(name)) || allowed_below.has(name));
    if is_meant {
        return None;
    }
    let asked = match scope {
        Scope::Exact | Scope::Tree => name.to_owned(),
        Scope::Below => any_below(name),
    };
    let mut found = hosts.value.find_all(&asked, scene.ports()).flatten();
    Some(match found.find(|found| found.effect == Effect::Deny) {
        Some(deny) => {
            let rule = hosts.name(&format!("hosts.deny[{}]", deny.index));
            format!("contradicts `{rule}` {}", deny.pattern)
        }
        None => format!("no pattern of `{}` matches it", hosts.name("hosts.allow")),
    })
}

/// Which names have patterns below them. Sorted from the end, the names below one stand together.
pub(super) struct Below<'a> {
    table: &'a HostTable,
    effect: Effect,
    names: OnceCell<Vec<&'a str>>,
}

impl<'a> Below<'a> {
    /// Looks at the patterns with this effect only. Nothing is sorted before it is asked for.
    pub(super) fn new(table: &'a HostTable, effect: Effect) -> Self {
        Self {
            table,
            effect,
            names: OnceCell::new(),
        }
    }

    /// Whether there is a pattern about a name below this one.
    pub(super) fn has(&self, name: &str) -> bool {
        let names = self.names.get_or_init(|| self.sorted());
        let front = || name.bytes().rev().chain([b'.']);
        let at = names.partition_point(|other| other.bytes().rev().lt(front()));
        names
            .get(at)
            .and_then(|other| other.strip_suffix(name))
            .is_some_and(|front| front.ends_with('.'))
    }

    fn sorted(&self) -> Vec<&'a str> {
        let patterns = self.table.rules();
        let own = patterns.filter(|rule| rule.found().effect == self.effect);
        let names: Vec<_> = own.map(|rule| rule.name()).collect();
        let from_end = |at: usize| names.get(at).map(|name| name.bytes().rev());
        let compare = |one, other| {
            let (one, other) = (from_end(one), from_end(other));
            one.into_iter().flatten().cmp(other.into_iter().flatten())
        };
        order::sorted(names.len(), &compare)
            .into_iter()
            .filter_map(|at| names.get(at).copied())
            .collect()
    }
}
