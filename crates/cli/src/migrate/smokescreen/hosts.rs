//! Lists of names: from the precedence of Smokescreen to "the longest name decides".
//!
//! There a name that the rule itself allows is allowed, whatever the global lists say; then the global deny list
//! counts, then the global allow list. Here the longest pattern decides, and of two alike the one that denies. Both
//! agree once the entries that the old order made ineffective are left out.

use pinfold_addr::Domain;

/// A pattern that both sides know: a name, or `*.` and a name for everything below it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Glob {
    name: String,
    below: bool,
}

impl Glob {
    /// Reads a pattern. `Err` says why Smokescreen itself would refuse it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        if name.is_empty() || name == "*" {
            return Err("it would match every name");
        }
        if name.contains('*') {
            return Err("a wildcard is only the first label");
        }
        let domain = Domain::parse(name).map_err(|_| "it is no name")?;
        Ok(Self {
            name: domain.as_str().to_owned(),
            below,
        })
    }

    /// The name without its wildcard.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether every name that `other` matches is matched by this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self.below, other.below) {
            (false, false) => self.name == other.name,
            (false, true) => false,
            (true, false) => is_below(&other.name, &self.name),
            (true, true) => self.name == other.name || is_below(&other.name, &self.name),
        }
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let front = if self.below { "*." } else { "" };
        write!(f, "{front}{}", self.name)
    }
}

/// The lists of one rule, as they are written here.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Lists {
    /// None where every name is allowed that is not denied.
    pub(super) allow: Option<Vec<Glob>>,
    pub(super) deny: Vec<Glob>,
    /// Names that the rule allows and a wider denial refuses, where that cannot be said without refusing all others.
    pub(super) lost: Vec<Glob>,
}

/// For a rule that refuses what is in no list.
pub(super) fn enforced(own: &[Glob], global_allow: &[Glob], global_deny: &[Glob]) -> Lists {
    let deny = effective(global_deny, own);
    let allow = global_allow
        .iter()
        .filter(|glob| !deny.iter().any(|denied| denied.covers(glob)));
    let allow = own.iter().chain(allow).cloned();
    Lists {
        allow: Some(unique(allow)),
        deny,
        lost: Vec::new(),
    }
}

/// For a rule that allows what is in no list.
pub(super) fn open(own: &[Glob], global_deny: &[Glob]) -> Lists {
    let deny = effective(global_deny, own);
    let lost = own
        .iter()
        .filter(|glob| deny.iter().any(|denied| denied.covers(glob)));
    Lists {
        allow: None,
        lost: unique(lost.cloned()),
        deny,
    }
}

/// Denials that the rule's own list leaves in force.
fn effective(global_deny: &[Glob], own: &[Glob]) -> Vec<Glob> {
    let left = global_deny
        .iter()
        .filter(|denied| !own.iter().any(|glob| glob.covers(denied)));
    unique(left.cloned())
}

fn unique(globs: impl Iterator<Item = Glob>) -> Vec<Glob> {
    let mut all: Vec<_> = globs.collect();
    all.sort();
    all.dedup();
    all
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent)
        .is_some_and(|front| front.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts
            .iter()
            .map(|text| Glob::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn patterns_are_read_as_there() {
        for (text, read) in [
            ("example.com", Ok("example.com")),
            ("Example.COM.", Ok("example.com")),
            ("*.example.com", Ok("*.example.com")),
            ("xn--e1aybc.example.com", Ok("xn--e1aybc.example.com")),
            ("*", Err("it would match every name")),
            ("*.", Err("it would match every name")),
            ("*.*.example.com", Err("a wildcard is only the first label")),
            (
                "*bob.example.com",
                Err("a wildcard is only the first label"),
            ),
            (
                "bob.ex*ample.com",
                Err("a wildcard is only the first label"),
            ),
        ] {
            let glob = Glob::parse(text).map(|glob| glob.to_string());
            assert_eq!(glob.as_deref(), read.as_ref().map(|text| *text), "{text}");
        }
    }

    #[test]
    fn one_pattern_covers_another() {
        for (one, other, covers) in [
            ("a.example", "a.example", true),
            ("*.example", "a.example", true),
            ("*.example", "b.a.example", true),
            ("*.example", "*.a.example", true),
            ("*.a.example", "*.example", false),
            ("*.example", "example", false),
            ("a.example", "*.a.example", false),
            ("*.example", "anexample", false),
        ] {
            let [one, other] = [one, other].map(|text| Glob::parse(text).unwrap());
            assert_eq!(one.covers(&other), covers, "{one} {other}");
        }
    }

    #[test]
    fn the_longest_name_decides_as_the_order_of_the_lists_did() {
        let own = globs(&["mine.bad.example", "*.shared.example"]);
        let global_allow = globs(&["good.example", "gone.bad.example"]);
        let global_deny = globs(&["*.bad.example", "x.shared.example", "evil.example"]);
        let lists = enforced(&own, &global_allow, &global_deny);
        assert_eq!(lists.deny, globs(&["*.bad.example", "evil.example"]));
        let allow = globs(&["good.example", "mine.bad.example", "*.shared.example"]);
        assert_eq!(lists.allow, Some(allow));

        let lists = open(&own, &global_deny);
        assert_eq!(lists.allow, None);
        assert_eq!(lists.deny, globs(&["*.bad.example", "evil.example"]));
        assert_eq!(lists.lost, globs(&["mine.bad.example"]));
    }
}
