//! What a version says of the changes, and what it should say.
//!
//! Behavioural semantic versioning: whoever rolls a policy out reads from its version whether it lets
//! through what it refused before. It is a hint, never a gate: that is `--max-loosening`.

use std::fmt;

use serde::Serialize;

/// How large a step between two versions is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// No step: the same version.
    None,
    /// Neither of the following.
    Patch,
    /// It takes settings that it did not take before, refuses what it allowed, or denies with other codes.
    Minor,
    /// Something that was refused is allowed, or settings that were accepted are refused.
    Major,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// Whether the version of the new policy says what changed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Advice {
    /// What the changes are.
    pub(super) changes: Step,
    /// What the version says they are; none when it goes back, or one of both is no version.
    pub(super) stated: Option<Step>,
    /// The least version that says enough; none when the old one is no version.
    pub(super) least: Option<String>,
    /// Whether the new version says enough.
    pub(super) enough: bool,
}

impl Advice {
    /// Compares what changed with what the versions say.
    pub(super) fn new(changes: Step, old: &str, new: &str) -> Self {
        let (from, to) = (Version::parse(old), Version::parse(new));
        let stated = from.zip(to).and_then(|(from, to)| from.step(to));
        Self {
            changes,
            stated,
            least: from.map(|from| from.after(changes).to_string()),
            enough: stated.is_some_and(|stated| stated >= changes),
        }
    }
}

/// The three numbers. What stands after them (`-rc.1`, `+build`) says nothing of compatibility.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(number);
        let version = Self {
            major: numbers.next()??,
            minor: numbers.next()??,
            patch: numbers.next()??,
        };
        numbers.next().is_none().then_some(version)
    }

    /// The step to a later version. Below 1.0.0 the second number counts as the first, and the third as
    /// both others: what people have agreed on for versions that promise nothing yet.
    fn step(self, to: Self) -> Option<Step> {
        if to < self {
            return None;
        }
        let is_early = self.major == 0 && to.major == 0;
        Some(match (to.major > self.major, to.minor > self.minor) {
            (true, _) => Step::Major,
            (false, true) if is_early => Step::Major,
            (false, true) => Step::Minor,
            (false, false) if to.patch == self.patch => Step::None,
            (false, false) if is_early => Step::Minor,
            (false, false) => Step::Patch,
        })
    }

    /// The first version after this one that says so much.
    fn after(self, step: Step) -> Self {
        let Self {
            major,
            minor,
            patch,
        } = self;
        let version = |major, minor, patch| Self {
            major,
            minor,
            patch,
        };
        match step {
            Step::None => self,
            Step::Major if major > 0 => version(major.saturating_add(1), 0, 0),
            Step::Major => version(0, minor.saturating_add(1), 0),
            Step::Minor if major > 0 => version(major, minor.saturating_add(1), 0),
            Step::Minor | Step::Patch => version(major, minor, patch.saturating_add(1)),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_enough_or_names_the_one_that_would() {
        for (old, new, changes, stated, least, enough) in [
            (
                "1.2.3",
                "1.2.3",
                Step::None,
                Some(Step::None),
                "1.2.3",
                true,
            ),
            (
                "1.2.3",
                "1.2.3",
                Step::Patch,
                Some(Step::None),
                "1.2.4",
                false,
            ),
            (
                "1.2.3",
                "1.2.4",
                Step::Patch,
                Some(Step::Patch),
                "1.2.4",
                true,
            ),
            (
                "1.2.3",
                "1.2.4",
                Step::Minor,
                Some(Step::Patch),
                "1.3.0",
                false,
            ),
            (
                "1.2.3",
                "1.3.0",
                Step::Minor,
                Some(Step::Minor),
                "1.3.0",
                true,
            ),
            (
                "1.2.3",
                "1.3.0",
                Step::Major,
                Some(Step::Minor),
                "2.0.0",
                false,
            ),
            (
                "1.2.3",
                "2.0.0",
                Step::Major,
                Some(Step::Major),
                "2.0.0",
                true,
            ),
            (
                "1.2.3",
                "2.0.0",
                Step::Patch,
                Some(Step::Major),
                "1.2.4",
                true,
            ),
            (
                "0.1.0",
                "0.1.1",
                Step::Minor,
                Some(Step::Minor),
                "0.1.1",
                true,
            ),
            (
                "0.1.0",
                "0.1.1",
                Step::Major,
                Some(Step::Minor),
                "0.2.0",
                false,
            ),
            (
                "0.1.0",
                "0.2.0",
                Step::Major,
                Some(Step::Major),
                "0.2.0",
                true,
            ),
            (
                "0.9.0",
                "1.0.0",
                Step::Major,
                Some(Step::Major),
                "0.10.0",
                true,
            ),
            ("1.2.3", "1.2.2", Step::Patch, None, "1.2.4", false),
            (
                "1.2.3-rc.1",
                "1.2.4+build",
                Step::Patch,
                Some(Step::Patch),
                "1.2.4",
                true,
            ),
        ] {
            let expected = Advice {
                changes,
                stated,
                least: Some(least.into()),
                enough,
            };
            assert_eq!(
                Advice::new(changes, old, new),
                expected,
                "{old} -> {new}, {changes}"
            );
        }
    }

    #[test]
    fn what_is_no_version_says_nothing() {
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "a.b.c",
            "1.+2.3",
            "1..3",
            "99999999999999999999.0.0",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
            let advice = Advice::new(Step::Patch, text, "1.0.0");
            assert_eq!(
                (advice.stated, advice.least, advice.enough),
                (None, None, false)
            );
        }
    }
}
