//! Settings: one canonical JSON document, checked against the schema that the policy declares.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::{
    LoadError, Problem,
    fault::tidy,
    limits::{MESSAGE_BYTES, PROBLEMS},
};

/// Checks the settings and writes them as the policy gets them: keys sorted, so that equal settings
/// have one text and one digest.
pub(super) fn checked(
    schema: &Value,
    mut settings: Value,
    limit: usize,
) -> Result<String, LoadError> {
    settings.sort_all_objects();
    let text = settings.to_string();
    if text.len() > limit {
        return Err(LoadError::SettingsTooLarge {
            size: text.len(),
            limit,
        });
    }
    let problems = problems(&validator(schema)?, &settings);
    if problems.is_empty() {
        Ok(text)
    } else {
        Err(LoadError::Settings(problems))
    }
}

/// Compiles the schema. It comes from the policy, so it is trusted with nothing: no reference leaves
/// the document, patterns run in linear time, and no chain of references comes back to where it
/// began without going down into the settings, which would never end.
pub(super) fn validator(schema: &Value) -> Result<Validator, LoadError> {
    if let Some(path) = cycles::find(schema) {
        return Err(LoadError::Describe(format!(
            "the schema refers to itself at `{path}`"
        )));
    }
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(false)
        .offline()
        .build(schema)
        .map_err(|e| LoadError::Describe(tidy(&format!("the schema: {e}"), MESSAGE_BYTES)))
}

fn problems(validator: &Validator, settings: &Value) -> Vec<Problem> {
    let problem = |error: jsonschema::ValidationError<'_>| Problem {
        path: tidy(error.instance_path().as_str(), MESSAGE_BYTES),
        // The value itself is left out: it may be a megabyte, and the path says where it is.
        message: tidy(&error.masked().to_string(), MESSAGE_BYTES),
    };
    validator
        .iter_errors(settings)
        .take(PROBLEMS)
        .map(problem)
        .collect()
}

/// Finds schemas that never end.
mod cycles {
    use std::collections::HashMap;

    use serde_json::{Map, Value};

    /// Keywords whose schemas judge the same value again.
    const SAME_VALUE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
    /// Keywords that hold such schemas by name.
    const SAME_VALUE_BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];
    /// The one dialect; what a reference means depends on it.
    const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
    /// Steps of one value that a schema may take before it goes down into the value.
    const STEPS: u32 = 10_000;
    /// References that lead on to references.
    const DEPTH: usize = 64;

    /// The first place whose schema comes back to itself, or takes too many steps, without going
    /// down into the value. References by anchor or dynamic reference are refused with it: nobody
    /// needs them for settings, and following them is a language of its own.
    pub(super) fn find(schema: &Value) -> Option<String> {
        let mut walk = Walk {
            root: schema,
            known: HashMap::new(),
            found: None,
        };
        walk.everywhere(schema, "");
        walk.found
    }

    struct Walk<'a> {
        root: &'a Value,
        known: HashMap<*const Value, State>,
        found: Option<String>,
    }

    #[derive(Clone, Copy)]
    enum State {
        Open,
        Steps(u32),
    }

    impl<'a> Walk<'a> {
        /// Counts from every object in the document: whatever may be a schema is looked at as one.
        fn everywhere(&mut self, value: &'a Value, path: &str) {
            if self.found.is_some() {
                return;
            }
            match value {
                Value::Object(map) => {
                    self.steps(value, path, 0);
                    map.iter()
                        .for_each(|(k, v)| self.everywhere(v, &format!("{path}/{k}")));
                }
                Value::Array(list) => {
                    list.iter()
                        .enumerate()
                        .for_each(|(i, v)| self.everywhere(v, &format!("{path}/{i}")));
                }
                _ => {}
            }
        }

        fn steps(&mut self, value: &'a Value, path: &str, depth: usize) -> u32 {
            match self.known.get(&std::ptr::from_ref(value)) {
                Some(State::Steps(steps)) => return *steps,
                Some(State::Open) => return self.stop(path),
                None if depth > DEPTH => return self.stop(path),
                None => {}
            }
            self.known.insert(value, State::Open);
            let mut steps = 1_u32;
            for next in self.same_value(value, path) {
                steps = steps.saturating_add(self.steps(next, path, depth + 1));
            }
            self.known.insert(value, State::Steps(steps));
            if steps > STEPS {
                self.stop(path)
            } else {
                steps
            }
        }

        fn stop(&mut self, path: &str) -> u32 {
            self.found.get_or_insert_with(|| path.into());
            STEPS
        }

        /// The schemas that judge the same value.
        fn same_value(&mut self, value: &'a Value, path: &str) -> Vec<&'a Value> {
            let Value::Object(map) = value else {
                return Vec::new();
            };
            let mut next = Vec::new();
            for key in SAME_VALUE {
                match map.get(key) {
                    Some(Value::Array(list)) => next.extend(list),
                    Some(one) => next.push(one),
                    None => {}
                }
            }
            for key in SAME_VALUE_BY_NAME {
                next.extend(
                    map.get(key)
                        .and_then(Value::as_object)
                        .into_iter()
                        .flat_map(Map::values),
                );
            }
            if self.is_strange(value, map) {
                self.stop(path);
            }
            match map.get("$ref") {
                Some(Value::String(reference)) => match self.resolve(reference) {
                    Some(target) => next.push(target),
                    None => {
                        self.stop(path);
                    }
                },
                Some(other) => next.push(other),
                None => {}
            }
            next
        }

        /// Whether references mean something else than they say: another dialect, another base, or
        /// a target that depends on the way that led there.
        fn is_strange(&self, value: &Value, map: &Map<String, Value>) -> bool {
            let text = |key| map.get(key).and_then(Value::as_str);
            let inner = !std::ptr::eq(value, self.root);
            text("$dynamicRef").or(text("$recursiveRef")).is_some()
                || inner && text("$id").or(text("id")).is_some()
                || text("$schema").is_some_and(|dialect| inner || dialect != DIALECT)
        }

        /// `#` and `#/json/pointer`.
        fn resolve(&self, reference: &str) -> Option<&'a Value> {
            reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        let settings = json!({"ports": [80, "x", 70000], "mode": "most", "more": true});
        let Err(LoadError::Settings(problems)) = checked(&schema, settings, 1_000) else {
            panic!("accepted")
        };
        let mut paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["", "/mode", "/ports/1", "/ports/2"]);
        assert!(problems.iter().all(|p| !p.message.is_empty()));
    }

    #[test]
    fn equal_settings_have_one_text() {
        let one = serde_json::from_str(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap();
        let two = serde_json::from_str(r#"{"a":{"c":2,"d":1},"b":1}"#).unwrap();
        let text = checked(&json!({}), one, 100).unwrap();
        assert_eq!(text, r#"{"a":{"c":2,"d":1},"b":1}"#);
        assert_eq!(text, checked(&json!({}), two, 100).unwrap());
    }

    #[test]
    fn large_settings_are_refused_before_they_are_checked() {
        let settings = json!({"a": "x".repeat(100)});
        assert_eq!(
            checked(&json!(false), settings, 99),
            Err(LoadError::SettingsTooLarge {
                size: 108,
                limit: 99
            })
        );
    }

    #[test]
    fn problems_are_bounded_in_number_and_length() {
        let schema = json!({"items": {"type": "string", "pattern": "a".repeat(2_000)}});
        let settings = Value::Array(vec![json!("b"); 1_000]);
        let Err(LoadError::Settings(problems)) = checked(&schema, settings, 100_000) else {
            panic!("accepted")
        };
        assert_eq!(problems.len(), PROBLEMS);
        assert!(problems.iter().all(|p| p.message.len() <= MESSAGE_BYTES));
    }

    #[test]
    fn schemas_that_never_end_are_refused() {
        let deep = |levels: usize| {
            let mut defs = serde_json::Map::new();
            for i in 0..levels {
                let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
                defs.insert(format!("d{i}"), json!({"anyOf": [next, next]}));
            }
            defs.insert(format!("d{levels}"), json!({"type": "object"}));
            json!({"$ref": "#/$defs/d0", "$defs": defs})
        };
        for (name, schema) in [
            ("itself", json!({"$ref": "#"})),
            ("through a keyword", json!({"allOf": [{"$ref": "#"}]})),
            (
                "through two",
                json!({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            ),
            ("doubling", deep(30)),
            ("elsewhere", json!({"$ref": "https://example.com/schema"})),
            ("a file", json!({"$ref": "file:///etc/passwd"})),
            ("nowhere", json!({"$ref": "#/$defs/none"})),
            ("dynamic", json!({"$dynamicRef": "#a"})),
            ("another base", json!({"items": {"$id": "x", "$ref": "#"}})),
            (
                "another dialect",
                json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            ),
            ("by name", json!({"dependentSchemas": {"a": {"$ref": "#"}}})),
        ] {
            let refused = validator(&schema);
            assert!(
                matches!(refused, Err(LoadError::Describe(_))),
                "{name}: accepted"
            );
        }
        for (name, schema) in [
            ("down and back", json!({"properties": {"a": {"$ref": "#"}}})),
            (
                "shared",
                json!({"$defs": {"a": {}}, "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}),
            ),
            ("some doubling", deep(8)),
        ] {
            assert!(validator(&schema).is_ok(), "{name}: refused");
        }
    }

    #[test]
    fn no_schema_is_no_schema() {
        assert!(matches!(validator(&json!(7)), Err(LoadError::Describe(_))));
        assert!(matches!(
            validator(&json!({"type": 7})),
            Err(LoadError::Describe(_))
        ));
    }
}
