//! Settings: one canonical JSON document, checked against the schema that the policy declares.

use serde_json::Value;

use super::{LoadError, Problem, limits::PROBLEMS, schema::Schema};

/// Settings as the policy gets them: keys sorted, so that equal settings have one text and one digest.
pub(super) struct Canonical {
    value: Value,
    pub(super) text: String,
}

impl Canonical {
    /// Writes the settings, at most `limit` octets of them.
    pub(super) fn new(mut value: Value, limit: usize) -> Result<Self, LoadError> {
        value.sort_all_objects();
        let text = value.to_string();
        match text.len() {
            size if size > limit => Err(LoadError::SettingsTooLarge { size, limit }),
            _ => Ok(Self { value, text }),
        }
    }

    /// Everything that the schema finds wrong with them.
    pub(super) fn problems(&self, schema: &Value) -> Result<Vec<Problem>, LoadError> {
        Schema::read(schema)?.check(&self.value, self.text.len())
    }
}

/// What schema and policy found, each place once: where both speak of one, the policy knows better.
pub(super) fn united(of_schema: Vec<Problem>, of_policy: Vec<Problem>) -> Vec<Problem> {
    let mut all = of_schema;
    all.retain(|problem| of_policy.iter().all(|other| other.path != problem.path));
    all.extend(of_policy);
    all.truncate(PROBLEMS);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::limits::MESSAGE_BYTES;

    fn problems(schema: &Value, settings: Value) -> Vec<Problem> {
        let canonical = Canonical::new(settings, 1 << 20).unwrap();
        canonical.problems(schema).unwrap()
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let schema = json!({
            "type": "object",
            "properties": {
                "ports": {"type": "array", "items": {"type": "integer", "maximum": 65535}},
                "mode": {"enum": ["all", "filter"]},
            },
            "additionalProperties": false,
        });
        let settings =
            json!({"ports": [80, "x", 70000], "mode": "most", "prots": true, "a/b": true});
        let problems = problems(&schema, settings);
        let mut paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["/a~1b", "/mode", "/ports/1", "/ports/2", "/prots"]);
        assert!(problems.iter().all(|p| !p.message.is_empty()));
    }

    #[test]
    fn equal_settings_have_one_text() {
        let one = serde_json::from_str(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap();
        let two = serde_json::from_str(r#"{"a":{"c":2,"d":1},"b":1}"#).unwrap();
        let text = Canonical::new(one, 100).unwrap().text;
        assert_eq!(text, r#"{"a":{"c":2,"d":1},"b":1}"#);
        assert_eq!(text, Canonical::new(two, 100).unwrap().text);
    }

    #[test]
    fn large_settings_are_refused() {
        let settings = json!({"a": "x".repeat(100)});
        assert_eq!(
            Canonical::new(settings, 99).map(|settings| settings.text),
            Err(LoadError::SettingsTooLarge {
                size: 108,
                limit: 99
            })
        );
    }

    #[test]
    fn schema_and_policy_speak_once_of_each_place() {
        let problem = |path: &str, message: &str| Problem {
            path: path.into(),
            message: message.into(),
        };
        let of_schema = vec![problem("/a", "schema"), problem("/b", "schema")];
        let of_policy = vec![problem("/b", "policy"), problem("/c", "policy")];
        let expected = [
            problem("/a", "schema"),
            problem("/b", "policy"),
            problem("/c", "policy"),
        ];
        assert_eq!(united(of_schema, of_policy), expected);
    }

    #[test]
    fn problems_are_bounded_in_number_and_length() {
        let schema = json!({"items": {"type": "string", "pattern": "a".repeat(1_000)}});
        let settings = Value::Array(vec![json!("b"); 1_000]);
        let problems = problems(&schema, settings);
        assert_eq!(problems.len(), PROBLEMS);
        assert!(problems.iter().all(|p| p.message.len() <= MESSAGE_BYTES));
    }
}
