//! Which settings the vectors depend on: each entry is taken out in turn, and everything is judged again.

use pinfold::policy::{LoadError, Source};
use serde::Serialize;
use serde_json::Value;

use super::{
    Args,
    judge::{Bench, groups},
    plan::Plan,
    progress::Progress,
};
use crate::{
    text::count,
    vectors::{Case, Setup},
};

/// The most entries that are taken out in one run: each time the policy is loaded anew.
const MAX_MUTATIONS: usize = 500;

/// A component of more bytes has an interpreter in it: the smallest known one has 12 million, and no policy of a
/// compiler is near.
const INTERPRETER: u64 = 4 << 20;

/// How the vectors cover some settings.
#[derive(Debug, Serialize)]
pub(super) struct Rules {
    /// Where the settings are from.
    settings: String,
    /// How many entries change a verdict when they are taken out.
    covered: usize,
    /// Entries without which the settings are refused.
    required: usize,
    /// JSON Pointers of the entries whose absence changes nothing.
    uncovered: Vec<String>,
    /// How many were not tried.
    untried: usize,
}

/// Takes the settings of all suites apart.
///
/// # Errors
///
/// A policy that no longer loads with the settings as they are.
pub(super) async fn run(plan: &Plan, args: &Args) -> anyhow::Result<Vec<Rules>> {
    let subjects = subjects(plan);
    let entries: Vec<_> = subjects
        .iter()
        .map(|subject| entries(&subject.settings))
        .collect();
    let total = entries
        .iter()
        .map(Vec::len)
        .sum::<usize>()
        .min(MAX_MUTATIONS);
    let progress = Progress::new("taking settings out", total);
    let mut left = MAX_MUTATIONS;
    let mut all = Vec::new();
    for (subject, entries) in subjects.iter().zip(&entries) {
        let rules = subject
            .rules(plan, args, entries, &mut left, &progress)
            .await?;
        all.extend((!entries.is_empty()).then_some(rules));
    }
    Ok(all)
}

/// Settings, and all that is judged with them: with other exceptions of the operator an entry may matter
/// that does not matter otherwise.
struct Subject<'a> {
    settings: Value,
    from: String,
    judged: Vec<(Setup, Vec<&'a Case>)>,
}

fn subjects(plan: &Plan) -> Vec<Subject<'_>> {
    let mut subjects = Vec::<Subject<'_>>::new();
    for group in groups(plan) {
        let suites: Vec<_> = group
            .suites
            .iter()
            .filter_map(|at| plan.suites.get(*at))
            .collect();
        let cases: Vec<_> = suites.iter().flat_map(|suite| suite.cases()).collect();
        let Some(first) = suites.first().filter(|_| !cases.is_empty()) else {
            continue;
        };
        let settings = group.setup.settings.clone();
        let judged = (group.setup, cases);
        match subjects.iter_mut().find(|known| known.settings == settings) {
            Some(known) => known.judged.push(judged),
            None => subjects.push(Subject {
                settings,
                from: match first.settings {
                    Some(_) => plan.shown(&first.file).display().to_string(),
                    None => plan.default_from.clone().unwrap_or_else(|| "{}".to_owned()),
                },
                judged: vec![judged],
            }),
        }
    }
    subjects
}

impl Subject<'_> {
    async fn rules(
        &self,
        plan: &Plan,
        args: &Args,
        entries: &[String],
        left: &mut usize,
        progress: &Progress,
    ) -> anyhow::Result<Rules> {
        let tried = entries.len().min(*left);
        *left -= tried;
        let mut rules = Rules {
            settings: self.from.clone(),
            covered: 0,
            required: 0,
            uncovered: Vec::new(),
            untried: entries.len() - tried,
        };
        if tried == 0 {
            return Ok(rules);
        }
        // Held to the end: what is known of the component is known as long as somebody uses it.
        let benches = self
            .benches(args)
            .map_err(|error| plan.subject.name(error))?;
        let before = self.verdicts(&benches).await;
        for entry in entries.iter().take(tried) {
            let mut without = self.settings.clone();
            remove(&mut without, entry);
            match self.differs(&without, &before, args).await {
                Ok(true) => rules.covered += 1,
                Ok(false) => rules.uncovered.push(entry.clone()),
                Err(LoadError::Settings(_)) => rules.required += 1,
                Err(error) => return Err(plan.subject.name(error)),
            }
            progress.advance();
        }
        Ok(rules)
    }

    /// The policy with the settings as they are.
    fn benches(&self, args: &Args) -> Result<Vec<Bench>, LoadError> {
        let setups = self.judged.iter();
        setups
            .map(|(setup, _)| load(setup, &self.settings, args))
            .collect()
    }

    async fn verdicts(&self, benches: &[Bench]) -> Vec<String> {
        let mut verdicts = Vec::new();
        for (bench, (_, cases)) in benches.iter().zip(&self.judged) {
            for case in cases {
                verdicts.push(verdict(bench, case).await);
            }
        }
        verdicts
    }

    /// Whether a verdict is another one than before; the first that is ends the search.
    async fn differs(
        &self,
        settings: &Value,
        before: &[String],
        args: &Args,
    ) -> Result<bool, LoadError> {
        let mut before = before.iter();
        for (setup, cases) in &self.judged {
            let bench = load(setup, settings, args)?;
            for case in cases {
                if before.next() != Some(&verdict(&bench, case).await) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn load(setup: &Setup, settings: &Value, args: &Args) -> Result<Bench, LoadError> {
    let configure_each = is_interpreted(&setup.source);
    let setup = Setup {
        settings: settings.clone(),
        // Settings with a hole in them are not loaded a second time: they have no place in a cache.
        cache: setup.cache.clone().filter(|_| configure_each),
        configure_each,
        ..setup.clone()
    };
    Bench::load(&setup, args.policy_only)
}

/// Whether compiling it takes seconds, and configuring it milliseconds. With what came from a compiler it is the
/// other way round.
fn is_interpreted(source: &Source) -> bool {
    match source {
        Source::Path(file) => std::fs::metadata(file).is_ok_and(|file| file.len() > INTERPRETER),
        Source::Bytes(bytes) => bytes.len() as u64 > INTERPRETER,
        _ => false,
    }
}

/// All of a verdict that a vector can see.
async fn verdict(bench: &Bench, case: &Case) -> String {
    let judged = bench.judge(case).await;
    serde_json::to_string(&judged).unwrap_or_default()
}

/// JSON Pointers of what can be taken out: every value that holds no others, every element of a list.
fn entries(settings: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(settings, &mut String::new(), false, &mut found);
    found
}

fn walk(value: &Value, path: &mut String, is_element: bool, found: &mut Vec<String>) {
    let is_leaf = match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => true,
    };
    if (is_leaf || is_element) && !path.is_empty() {
        found.push(path.clone());
    }
    let length = path.len();
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                path.push_str(&format!("/{key}"));
                walk(member, path, false, found);
                path.truncate(length);
            }
        }
        Value::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                path.push_str(&format!("/{at}"));
                walk(element, path, true, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Takes the value at a pointer out.
fn remove(settings: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return;
    };
    match settings.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(elements)) => {
            if let Some(at) = key.parse().ok().filter(|at| *at < elements.len()) {
                elements.remove(at);
            }
        }
        _ => {}
    }
}

impl Rules {
    /// The report for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let all = self.covered + self.required + self.uncovered.len();
        let mut lines = vec![format!(
            "settings of {}: {} of {} matter to a vector",
            self.settings,
            self.covered + self.required,
            count(all, "entry", "entries")
        )];
        let uncovered = self.uncovered.iter();
        lines.extend(uncovered.map(|entry| format!("  not covered: {entry}")));
        if self.untried > 0 {
            lines.push(format!(
                "  not tried: {} more, the limit is {MAX_MUTATIONS}",
                self.untried
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_leaf_and_every_element_can_be_taken_out() {
        let settings = json!({
            "hosts": {"deny": ["a", "b"]},
            "rules": [{"port": 1}],
            "a/b": true,
            "empty": [],
        });
        let expected = [
            "/a~1b",
            "/empty",
            "/hosts/deny/0",
            "/hosts/deny/1",
            "/rules/0",
            "/rules/0/port",
        ];
        assert_eq!(entries(&settings), expected);
        assert!(entries(&json!({})).is_empty());
        for (entry, without) in [
            (
                "/a~1b",
                json!({"hosts": {"deny": ["a", "b"]}, "rules": [{"port": 1}], "empty": []}),
            ),
            (
                "/hosts/deny/0",
                json!({"hosts": {"deny": ["b"]}, "rules": [{"port": 1}], "a/b": true, "empty": []}),
            ),
            (
                "/rules/0/port",
                json!({"hosts": {"deny": ["a", "b"]}, "rules": [{}], "a/b": true, "empty": []}),
            ),
        ] {
            let mut settings = settings.clone();
            remove(&mut settings, entry);
            assert_eq!(settings, without, "{entry}");
        }
    }
}
