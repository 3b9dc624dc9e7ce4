//! Which rules hold for whom.

use pinfold_policy::Object;

use crate::{problems::Problems, settings::Subject};

/// Rules by subject: exact names, then prefixes.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    /// Sorted by name.
    exact: Box<[(Box<str>, usize)]>,
    /// The longest first.
    prefixes: Box<[(Box<str>, usize)]>,
}

impl Subjects {
    /// Reads the `match` lists; a pattern that is wrong or given twice is a problem.
    pub(crate) fn new(subjects: &[Object<Subject>], problems: &mut Problems) -> Self {
        let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
        for (rule, Object(subject)) in subjects.iter().enumerate() {
            if subject.matches.is_empty() {
                problems.add(
                    format!("/subjects/{rule}/match"),
                    "names no subject, so the rule never applies",
                );
            }
            for (position, text) in subject.matches.iter().enumerate() {
                match pattern(text) {
                    Ok(Some(prefix)) => prefixes.push((Box::from(prefix), rule)),
                    Ok(None) => exact.push((Box::from(text.as_str()), rule)),
                    Err(problem) => {
                        problems.add(format!("/subjects/{rule}/match/{position}"), problem);
                    }
                }
            }
        }
        exact.sort();
        prefixes.sort();
        refuse_duplicates(&exact, "", problems);
        refuse_duplicates(&prefixes, "*", problems);
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self {
            exact: exact.into(),
            prefixes: prefixes.into(),
        }
    }

    /// The rule for a subject: an exact name wins over a prefix, a longer prefix over a shorter.
    pub(crate) fn find(&self, subject: &str) -> Option<usize> {
        let exact = self
            .exact
            .binary_search_by(|(name, _)| (**name).cmp(subject));
        if let Some((_, rule)) = exact.ok().and_then(|at| self.exact.get(at)) {
            return Some(*rule);
        }
        let prefix = self
            .prefixes
            .iter()
            .find(|(prefix, _)| subject.starts_with(&**prefix));
        prefix.map(|(_, rule)| *rule)
    }
}

/// The prefix of `prefix*`, or nothing for an exact name.
fn pattern(text: &str) -> Result<Option<&str>, &'static str> {
    let prefix = text.strip_suffix('*');
    if text.is_empty() {
        return Err("a subject is not empty");
    }
    if prefix.unwrap_or(text).contains('*') {
        return Err("`*` may only stand at the end");
    }
    Ok(prefix)
}

fn refuse_duplicates(sorted: &[(Box<str>, usize)], suffix: &str, problems: &mut Problems) {
    for pair in sorted.windows(2) {
        if let [(one, first), (other, second)] = pair
            && one == other
        {
            let path = format!("/subjects/{second}/match");
            problems.add(
                path,
                format!("`{one}{suffix}` is in `subjects[{first}].match` already"),
            );
        }
    }
}
