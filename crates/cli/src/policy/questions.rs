//! What a policy is asked when it is measured or compared: hops out of vectors, as a guard would ask them.
//!
//! What a vector expects does not matter here, and neither does what the floor would say: a policy is asked
//! about every hop of every vector, also behind one that it refuses. So the same vectors ask two policies
//! the same questions.

use std::path::{Path, PathBuf};

use pinfold::{
    Denial,
    policy::{Measurement, Meter},
};
use serde_json::Value;

use super::project::vectors_in;
use crate::vectors::{Asked, EveryHop, Suite};

/// One hop.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The name of the vector, and which hop of it.
    pub(crate) name: String,
    /// The file that it is from, without folders.
    pub(crate) file: String,
    /// What is asked.
    pub(crate) asked: Asked,
}

/// Questions that are asked under the same settings.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// The settings; none means those that the caller has.
    pub(crate) settings: Option<Value>,
    /// The files that state them, without folders.
    pub(crate) files: Vec<String>,
    /// What is asked. Never none.
    pub(crate) questions: Vec<Question>,
}

/// All questions of some files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Questions {
    /// By settings, in the order in which they are first stated.
    pub(crate) sets: Vec<Set>,
    /// Cases that no policy is asked about: their URL is refused before.
    pub(crate) skipped: usize,
    /// Settings that are to be refused, which is a question too.
    pub(crate) tried: Vec<Tried>,
}

/// Settings that are to be refused.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// The settings; none means those that the caller has.
    pub(crate) settings: Option<Value>,
    /// The file that states them, without folders.
    pub(crate) file: String,
}

impl Questions {
    /// Reads files of vectors, and of folders what lies in them.
    ///
    /// # Errors
    ///
    /// What cannot be read, or is no vector, with its place.
    pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        Self::of(&suites(paths)?)
    }

    /// The questions of these suites.
    pub(crate) fn of(suites: &[Suite]) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut all = Self::default();
        for suite in suites {
            all.add(suite, runtime.block_on(suite.every_hop()));
        }
        Ok(all)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sets.iter().map(|set| set.questions.len()).sum()
    }

    /// Whether no policy is asked to decide.
    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    fn add(&mut self, suite: &Suite, cases: Vec<EveryHop>) {
        let file = named(&suite.file);
        if suite.is_refused() {
            self.tried.push(Tried {
                settings: suite.settings.clone(),
                file,
            });
            return;
        }
        self.skipped += cases.iter().filter(|case| case.asked.is_empty()).count();
        let questions: Vec<_> = cases
            .into_iter()
            .flat_map(|case| hops(case, &file))
            .collect();
        if questions.is_empty() {
            return;
        }
        let known = self
            .sets
            .iter_mut()
            .find(|set| set.settings == suite.settings);
        match known {
            Some(set) => set.extend(file, questions),
            None => self.sets.push(Set {
                settings: suite.settings.clone(),
                files: vec![file],
                questions,
            }),
        }
    }
}

impl Set {
    fn extend(&mut self, file: String, questions: Vec<Question>) {
        if !self.files.contains(&file) {
            self.files.push(file);
        }
        self.questions.extend(questions);
    }
}

impl Question {
    /// Asks it.
    ///
    /// # Errors
    ///
    /// When there is no instance to ask.
    pub(crate) fn measure(&self, policy: &Meter) -> Result<Measurement, Denial> {
        let Asked {
            request,
            chain,
            answers,
        } = &self.asked;
        policy.measure(request, chain, answers)
    }

    /// Where the hop goes: scheme, host and port.
    pub(crate) fn target(&self) -> String {
        let target = self.asked.request.target();
        let scheme = target.scheme();
        format!("{}://{}:{}", scheme.as_str(), target.host(), target.port())
    }
}

fn hops(case: EveryHop, file: &str) -> impl Iterator<Item = Question> {
    let EveryHop { name, asked } = case;
    asked
        .into_iter()
        .enumerate()
        .map(move |(hop, asked)| Question {
            name: match hop {
                0 => name.clone(),
                hop => format!("{name}, redirect {hop}"),
            },
            file: file.to_owned(),
            asked,
        })
}

/// Reads files of vectors, and of folders what lies in them.
///
/// # Errors
///
/// What cannot be read, or is no vector, with its place.
pub(crate) fn suites(paths: &[PathBuf]) -> anyhow::Result<Vec<Suite>> {
    Suite::read(&files(paths)?)
}

fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(vectors_in(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// A file without its folders: a report is compared with one from another machine.
fn named(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(files: &[(&str, &str)]) -> Questions {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Questions::read(&[dir.path().to_owned()]).unwrap()
    }

    #[test]
    fn every_hop_is_asked_whoever_refuses_one() {
        let text = r#"
            [[case]]
            name = "chain"
            url = "http://127.0.0.1/"
            redirects_to = ["https://b.example/", "http://[::1"]
            redirect_resolves_to = ["192.0.2.7"]
        "#;
        let questions = questions(&[("a.toml", text)]);
        let set = &questions.sets[0];
        let asked = set.questions.iter().map(|question| {
            let answers = question.asked.answers.iter();
            let answers: Vec<String> = answers.map(|answer| answer.address.to_string()).collect();
            (question.name.clone(), question.target(), answers.join(" "))
        });
        let expected = [
            ("chain", "http://127.0.0.1:80", "127.0.0.1"),
            ("chain, redirect 1", "https://b.example:443", "192.0.2.7"),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(asked.collect::<Vec<_>>(), expected);
        assert_eq!((questions.len(), questions.skipped), (2, 0));
    }

    #[test]
    fn what_no_policy_sees_is_counted_and_not_asked() {
        let text =
            "{\"url\": \"http://a.example\\\\@b.example/\"}\n{\"url\": \"http://a.example/\"}\n";
        let questions = questions(&[("a.jsonl", text)]);
        assert_eq!((questions.len(), questions.skipped), (1, 1));
    }

    #[test]
    fn files_with_the_same_settings_are_one_set() {
        let case = "[[case]]\nurl = \"https://a.example/\"\n";
        let with = |settings: &str| format!("settings = {settings}\n{case}");
        let questions = questions(&[
            ("a.toml", &with("{ ports = [443] }")),
            ("b.toml", case),
            ("c.toml", &with("{ ports = [443] }")),
        ]);
        let sets: Vec<_> = questions
            .sets
            .iter()
            .map(|set| {
                (
                    set.settings.is_some(),
                    set.files.join(" "),
                    set.questions.len(),
                )
            })
            .collect();
        assert_eq!(
            sets,
            [
                (true, "a.toml c.toml".to_owned(), 2),
                (false, "b.toml".to_owned(), 1)
            ]
        );
    }
}
