//! Which rules hold for whom.

use pinfold_policy::Object;

use crate::{
    problems::Problems,
    settings::Subject,
    slots::{Hash, Slots},
};

/// Rules by subject: exact names and prefixes. The cost of a look-up grows with the length of the subject
/// only.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    entries: Vec<Entry>,
    slots: Slots,
}

#[derive(Debug)]
struct Entry {
    text: Box<str>,
    is_prefix: bool,
    rule: usize,
}

impl Subjects {
    /// Reads the `match` lists; a pattern that is wrong or given twice is a problem.
    pub(crate) fn new(subjects: &[Object<Subject>], problems: &mut Problems) -> Self {
        let count = subjects
            .iter()
            .map(|Object(subject)| subject.matches.len())
            .sum();
        let mut known = Self {
            entries: Vec::with_capacity(count),
            slots: Slots::with_room(count),
        };
        for (rule, Object(subject)) in subjects.iter().enumerate() {
            if subject.matches.is_empty() {
                let message = "names no subject, so the rule never applies";
                problems.add(format!("/subjects/{rule}/match"), message);
            }
            for (position, text) in subject.matches.iter().enumerate() {
                if let Err(problem) = known.insert(text, rule) {
                    problems.add(format!("/subjects/{rule}/match/{position}"), problem);
                }
            }
        }
        known
    }

    /// The rule for a subject: an exact name wins over a prefix, a longer prefix over a shorter.
    pub(crate) fn find(&self, subject: &str) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let exact = self.entry(subject, hash(subject), false);
        let longest = || {
            prefixes(subject)
                .filter_map(|(text, hash)| self.entry(text, hash, true))
                .last()
        };
        exact.or_else(longest).map(|entry| entry.rule)
    }

    fn insert(&mut self, text: &str, rule: usize) -> Result<(), String> {
        let (text, is_prefix) = pattern(text)?;
        let hash = hash(text);
        if let Some(other) = self.entry(text, hash, is_prefix) {
            return Err(format!("is in `subjects[{}].match` already", other.rule));
        }
        if !self.slots.insert(hash, self.entries.len()) {
            return Err("the lists are too long".into());
        }
        self.entries.push(Entry {
            text: text.into(),
            is_prefix,
            rule,
        });
        Ok(())
    }

    fn entry(&self, text: &str, hash: u32, is_prefix: bool) -> Option<&Entry> {
        let mut candidates = self.slots.probe(hash).filter_map(|at| self.entries.get(at));
        candidates.find(|entry| *entry.text == *text && entry.is_prefix == is_prefix)
    }
}

/// What stands before the `*` of `prefix*`, or the exact name.
fn pattern(text: &str) -> Result<(&str, bool), &'static str> {
    let prefix = text.strip_suffix('*');
    let name = prefix.unwrap_or(text);
    if text.is_empty() {
        return Err("a subject is not empty");
    }
    if name.contains('*') {
        return Err("`*` may only stand at the end");
    }
    Ok((name, prefix.is_some()))
}

/// Every prefix of a subject, the empty one and the whole included, each with its hash. One pass.
fn prefixes(subject: &str) -> impl Iterator<Item = (&str, u32)> {
    let mut hash = Hash::new();
    let whole = subject.bytes().enumerate().map(move |(at, octet)| {
        hash = hash.octet(octet);
        (at + 1, hash.finish())
    });
    let lengths = std::iter::once((0, Hash::new().finish())).chain(whole);
    // Inside a character there is no prefix.
    lengths.filter_map(|(length, hash)| Some((subject.get(..length)?, hash)))
}

fn hash(text: &str) -> u32 {
    Hash::of(text.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_decides() {
        let rules = [
            r#"["*"]"#,
            r#"["a*", "b"]"#,
            r#"["ab*", "b*"]"#,
            r#"["abc", "ü*"]"#,
        ];
        let given: Vec<Object<Subject>> = rules
            .iter()
            .map(|list| serde_json::from_str(&format!(r#"{{ "match": {list} }}"#)).unwrap())
            .collect();
        let mut problems = Problems::default();
        let subjects = Subjects::new(&given, &mut problems);
        assert!(problems.into_result(()).is_ok());
        let table = [
            ("x", 0),
            ("", 0),
            ("a", 1),
            ("ax", 1),
            ("ab", 2),
            ("abcd", 2),
            ("abc", 3),
            ("b", 1),
            ("bb", 2),
            ("ü", 3),
            ("üx", 3),
            ("é", 0),
        ];
        for (subject, rule) in table {
            assert_eq!(subjects.find(subject), Some(rule), "{subject}");
        }
        assert_eq!(Subjects::default().find("x"), None);
    }
}
