//! Settings that contradict themselves, or that promise what will not happen.
//!
//! Each is refused at load, because an operator who wrote it believes something about the policy that is
//! not so. What is checked are the rules that are in force, of the document and then of each subject: its
//! own sections over those of the document. The principle: *every rule gets its way somewhere*. An allow
//! rule of which nothing is allowed is wrong, and a deny rule of which all is allowed.
//!
//! A rule that a subject inherits need not get its way there: to narrow is what subjects are for. But a list
//! of which nothing is left is a problem, of the section that the subject brought.

mod hosts;
mod limits;
mod names;
mod networks;
#[cfg(test)]
mod tests;

use crate::{
    ports::Ports,
    problems::Problems,
    rules::{Origin, Rules, Setting},
    schemes::Schemes,
};

/// Adds every contradiction in the rules to the problems; `origin` is whose sections were read last.
pub(crate) fn find(rules: &Rules, origin: Origin, problems: &mut Problems) {
    let mut scene = Scene {
        rules,
        origin,
        schemes: effective_schemes(rules),
        problems,
    };
    for check in CHECKS {
        check(&mut scene);
    }
}

/// Each looks for one contradiction.
const CHECKS: &[fn(&mut Scene<'_>)] = &[
    limits::zeros,
    limits::connect_longer_than_all,
    limits::https_only_without_tls,
    limits::schemes_that_https_only_refuses,
    limits::literals_normalised_and_denied,
    hosts::patterns,
    hosts::nothing_left,
    names::exceptions,
    networks::rules,
    networks::nothing_left,
    networks::everything_denied,
];

/// What is looked at.
struct Scene<'a> {
    rules: &'a Rules,
    origin: Origin,
    /// Those that can be asked for.
    schemes: Schemes,
    problems: &'a mut Problems,
}

/// A section by its name in the settings, and who wrote it.
type Section = (Origin, &'static str);

impl<'a> Scene<'a> {
    /// Whether the section was read last. Any other was looked at before.
    fn is_own<T>(&self, setting: &Setting<T>) -> bool {
        setting.origin == self.origin
    }

    fn ports(&self) -> &'a Ports {
        &self.rules.ports.value
    }

    /// A problem of a section that was read last, by its path inside the sections.
    fn refuse(&mut self, path: &str, message: impl Into<String>) {
        self.problems.add(self.origin.pointer() + path, message);
    }

    /// A problem of two or more sections together: it is put at the first of them that was read last.
    fn refuse_at_first(&mut self, sections: &[Section], message: impl Into<String>) {
        let own = sections.iter().find(|(origin, _)| *origin == self.origin);
        if let Some((_, section)) = own {
            self.refuse(&format!("/{section}"), message);
        }
    }
}

fn effective_schemes(rules: &Rules) -> Schemes {
    let schemes = rules.schemes.value;
    if rules.limits.value.https_only {
        schemes.common(Schemes::tls())
    } else {
        schemes
    }
}
