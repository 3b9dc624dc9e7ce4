//! Schemas as they are meant, schemas of an attacker, and another implementation to agree with.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::policy::{Problem, limits::PROBLEMS};

fn check(schema: &Value, settings: &Value) -> Result<Vec<Problem>, LoadError> {
    let octets = settings.to_string().len();
    Schema::read(schema)?.check(settings, octets)
}

fn refused(schema: &Value) -> Option<String> {
    match Schema::read(schema).map(drop) {
        Err(LoadError::Describe(problem)) => Some(problem),
        _ => None,
    }
}

/// Settings that a schema demands, and some that it does not allow, with what is said of them.
#[test]
fn each_keyword_demands_what_the_standard_says() {
    let table = [
        (
            json!({"type": "string"}),
            json!("a"),
            json!(1),
            "must be a string",
        ),
        (
            json!({"type": ["null", "array"]}),
            json!(null),
            json!({}),
            "must be null or an array",
        ),
        (
            json!({"type": "integer"}),
            json!(1.0),
            json!(1.5),
            "must be a whole number",
        ),
        (
            json!({"enum": ["a", 1, {"b": [2]}]}),
            json!({"b": [2.0]}),
            json!("1"),
            "must be `a` or `1` or `a certain value`",
        ),
        (
            json!({"const": {"a": 1, "b": 2}}),
            json!({"b": 2, "a": 1}),
            json!({"a": 1}),
            "must be `a certain value`",
        ),
        (
            json!({"minimum": 2}),
            json!(2),
            json!(1),
            "must be at least 2",
        ),
        (
            json!({"maximum": 2}),
            json!(2.0),
            json!(2.5),
            "must be at most 2",
        ),
        (
            json!({"exclusiveMinimum": 2}),
            json!(3),
            json!(2),
            "must be more than 2",
        ),
        (
            json!({"exclusiveMaximum": 2}),
            json!("x"),
            json!(2),
            "must be less than 2",
        ),
        (
            json!({"maximum": u64::MAX}),
            json!(u64::MAX),
            json!(1e20),
            "must be at most 18446744073709551615",
        ),
        (
            json!({"minLength": 2}),
            json!("ää"),
            json!("ä"),
            "must have at least 2 characters",
        ),
        (
            json!({"maxLength": 2}),
            json!("ää"),
            json!("äää"),
            "must have at most 2 characters",
        ),
        (
            json!({"pattern": "^a+$"}),
            json!("aa"),
            json!("ab"),
            "must match `^a+$`",
        ),
        (
            json!({"minItems": 1}),
            json!([1]),
            json!([]),
            "must have at least 1 items",
        ),
        (
            json!({"maxItems": 1}),
            json!([1]),
            json!([1, 2]),
            "must have at most 1 items",
        ),
        (
            json!({"minProperties": 1}),
            json!({"a": 1}),
            json!({}),
            "must have at least 1 members",
        ),
        (
            json!({"maxProperties": 0}),
            json!({}),
            json!({"a": 1}),
            "must have at most 0 members",
        ),
        (
            json!({"required": ["a"]}),
            json!({"a": 1}),
            json!({"b": 1}),
            "`a` is missing",
        ),
        (
            json!({"not": {"type": "string"}}),
            json!(1),
            json!("a"),
            "must not be what the schema excludes",
        ),
        (
            json!({"anyOf": [{"type": "null"}, {"minimum": 3}]}),
            json!(3),
            json!(1),
            "must fit one of 2 forms of the schema",
        ),
        (
            json!({"oneOf": [{"maximum": 5}, {"minimum": 3}]}),
            json!(2),
            json!(4),
            "must fit exactly one of 2 forms of the schema",
        ),
        (
            json!({"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "null"}}),
            json!(null),
            json!(""),
            "must have at least 1 characters",
        ),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}),
            json!(null),
            json!(1),
            "must be null",
        ),
        (json!(true), json!(1), json!(1), ""),
    ];
    for (schema, good, bad, message) in table {
        assert_eq!(check(&schema, &good), Ok(vec![]), "{schema} {good}");
        let problems = check(&schema, &bad).unwrap();
        let messages: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
        let expected: &[&str] = if message.is_empty() { &[] } else { &[message] };
        assert_eq!(messages, expected, "{schema} {bad}");
    }
}

#[test]
fn every_problem_is_reported_at_its_place() {
    let schema = json!({
        "properties": {"a": {"items": {"type": "string"}}, "b/c": {"prefixItems": [true, {"type": "null"}], "items": false}},
        "propertyNames": {"maxLength": 3},
        "additionalProperties": {"additionalProperties": false},
    });
    let settings = json!({"a": ["x", 1, 2], "b/c": [1, 2, 3], "long": {"other": 1}});
    let problems = check(&schema, &settings).unwrap();
    let mut paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["/a/1", "/a/2", "/b~1c/1", "/b~1c/2", "/long", "/long/other"]
    );
    let many = json!({"a": vec![1; 10_000]});
    assert_eq!(check(&schema, &many).unwrap().len(), PROBLEMS);
}

#[test]
fn what_is_not_understood_is_refused() {
    let table = [
        (json!(7), "`` is no schema"),
        (
            json!({"properties": {"a": []}}),
            "`/properties/a` is no schema",
        ),
        (json!({"type": 7}), "`/type` must name types"),
        (
            json!({"type": vec!["string"; 8]}),
            "`/type` must name types",
        ),
        (
            json!({"items": {"minLength": -1}}),
            "`/items/minLength` must be a whole number",
        ),
        (
            json!({"anyOf": []}),
            "`/anyOf` must be an array with something in it",
        ),
        (
            json!({"unevaluatedProperties": false}),
            "the host does not check `unevaluatedProperties`, at ``",
        ),
        (
            json!({"patternProperties": {}}),
            "the host does not check `patternProperties`, at ``",
        ),
        (
            json!({"uniqueItems": true}),
            "the host does not check `uniqueItems`, at ``",
        ),
        (
            json!({"dependentSchemas": {"a": {"$ref": "#"}}}),
            "the host does not check `dependentSchemas`, at ``",
        ),
        (
            json!({"$dynamicRef": "#a"}),
            "the host does not check `$dynamicRef`, at ``",
        ),
        (
            json!({"items": {"$id": "x"}}),
            "the host does not check `$id`, at `/items`",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            "`/$schema` is another dialect",
        ),
        (
            json!({"items": {"$schema": DIALECT}}),
            "`/items/$schema` is another dialect",
        ),
        (
            json!({"$ref": "https://example.com/schema"}),
            "the reference `https://example.com/schema` leads",
        ),
        (
            json!({"$ref": "file:///etc/passwd"}),
            "the reference `file:///etc/passwd` leads",
        ),
        (
            json!({"$ref": "#/$defs/none"}),
            "the reference `#/$defs/none` leads",
        ),
        (
            json!({"$ref": "#/title", "title": {"type": "null"}}),
            "the reference `#/title` leads",
        ),
        (
            json!({"$ref": "#/%24defs/a", "$defs": {"a": {}}, "%24defs": {}}),
            "the host does not check `%24defs`, at ``",
        ),
        (
            json!({"$ref": "#/$defs/a%25", "$defs": {"a%25": {}}}),
            "the reference `#/$defs/a%25` leads",
        ),
        (
            json!({"pattern": "("}),
            "`/pattern` is no regular expression",
        ),
        (
            json!({"pattern": "(?=a)"}),
            "`/pattern` is no regular expression",
        ),
        (json!({"pattern": "\\pL{200}"}), "`/pattern` is too large"),
        (
            json!({"pattern": "a".repeat(1025)}),
            "`/pattern` is longer than 1024 octets",
        ),
        (
            json!({"allOf": vec![json!({"pattern": "a"}); 65]}),
            "`/allOf/64/pattern` is one pattern too many",
        ),
        (
            json!({"k\u{1b}[31mX\n": 1}),
            "the host does not check `k [31mX `, at ``",
        ),
    ];
    for (schema, problem) in table {
        let found = refused(&schema).unwrap_or_else(|| panic!("{schema}: accepted"));
        let found = found.strip_prefix("the schema: ").unwrap();
        assert!(found.starts_with(problem), "{schema}: {found}");
    }
}

#[test]
fn patterns_of_the_usual_size_are_accepted() {
    let name = "^([*][.])?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?[.])+[a-z]([a-z0-9-]*[a-z0-9])?$";
    let cidr = r"^(([0-9]{1,3}[.]){3}[0-9]{1,3}|[0-9a-f:]{2,45})(/[0-9]{1,3})?$";
    let version = r"^\d+\.\d+\.\d+(-[\w.]+)?$";
    for pattern in [name, cidr, version] {
        assert_eq!(refused(&json!({"pattern": pattern})), None, "{pattern}");
    }
}

#[test]
fn patterns_mean_what_they_mean_in_json_schema() {
    let texts = [
        "", "a", "7", "\u{667}", "_", "ä", "[", "]", "&", "-", "a&b", "a7",
    ];
    for pattern in [
        r"^\d$", r"^\D$", r"^\w$", r"^\W$", r"^[\w-]$", r"^[^\d]$", "^[[]$", "^[a&&b]$",
        r"^[\]a]$", "a|7", "^.$", r"^[~a]+$", "&", "~",
    ] {
        let schema = json!({"pattern": pattern});
        let theirs = jsonschema::draft202012::new(&schema).unwrap();
        for text in texts {
            let ours = check(&schema, &json!(text)).unwrap().is_empty();
            assert_eq!(ours, theirs.is_valid(&json!(text)), "{pattern} {text}");
        }
    }
    for pattern in ["[]", "[^]a]", "[+--]", "a\\"] {
        assert!(refused(&json!({"pattern": pattern})).is_some(), "{pattern}");
    }
}

#[test]
fn a_schema_that_never_goes_down_is_refused() {
    let chain = |length: usize| {
        let next = |i: usize| json!({"not": {"$ref": format!("#/$defs/d{}", i + 1)}});
        let mut defs: Map<_, _> = (0..length).map(|i| (format!("d{i}"), next(i))).collect();
        defs.insert(format!("d{length}"), json!({}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    };
    for (name, schema, good) in [
        ("itself", json!({"$ref": "#"}), false),
        (
            "through a keyword",
            json!({"allOf": [{"$ref": "#"}]}),
            false,
        ),
        (
            "through two",
            json!({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            false,
        ),
        ("a long chain", chain(40), false),
        ("a very long chain", chain(20_000), false),
        ("a short chain", chain(20), true),
        (
            "down and back",
            json!({"properties": {"a": {"$ref": "#"}}}),
            true,
        ),
        (
            "shared",
            json!({"$defs": {"a": {}}, "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}),
            true,
        ),
    ] {
        assert_eq!(refused(&schema).is_none(), good, "{name}");
    }
}

/// Schemas that ask for more than anybody has time for: each is refused or answered, and soon.
#[test]
fn a_check_ends_whatever_the_schema_asks() {
    let doubling = |levels: usize, down: bool| {
        let next = |i: usize| json!({"$ref": format!("#/$defs/d{}", i + 1)});
        let level = |i: usize| match down {
            false => json!({"anyOf": [next(i), next(i)]}),
            true => json!({"allOf": [{"items": next(i)}, {"items": next(i)}]}),
        };
        let mut defs: Map<_, _> = (0..levels).map(|i| (format!("d{i}"), level(i))).collect();
        defs.insert(format!("d{levels}"), json!({"type": "object"}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    };
    let product = |width: usize| {
        let all = |rule: Value| json!({"allOf": vec![rule; width]});
        json!({
            "allOf": all(json!({"properties": {"schemes": {"$ref": "#/$defs/l1"}}}))["allOf"],
            "$defs": {
                "l1": all(json!({"items": {"$ref": "#/$defs/l2"}})),
                "l2": all(json!({"type": "string"})),
            },
        })
    };
    let nested = (0..29).fold(json!({}), |inner, _| json!([inner]));
    let schemes = json!({"schemes": vec!["https"; 40]});
    let long = json!(vec!["a".repeat(100); 100]);
    let pattern =
        json!({"items": {"allOf": vec![json!({"pattern": "(a|b|ab)*c{1,40}(x|y)*$"}); 60]}});
    let enums = json!({"items": {"enum": vec!["b".repeat(100); 2_000]}});
    for (name, schema, settings) in [
        ("doubling", doubling(28, false), json!(1)),
        ("doubling on the way down", doubling(29, true), nested),
        ("a product of levels", product(3_000), schemes),
        ("patterns", pattern, long.clone()),
        ("comparisons", enums, json!(vec!["a".repeat(100); 2_000])),
    ] {
        let begun = Instant::now();
        let checked = check(&schema, &settings);
        let spent = begun.elapsed();
        assert!(spent < Duration::from_secs(10), "{name}: {spent:?}");
        if !matches!(name, "patterns" | "comparisons") {
            assert!(
                matches!(checked, Err(LoadError::Describe(_))),
                "{name}: {checked:?}"
            );
        }
    }
}

#[test]
fn large_settings_of_the_shipped_policy_are_within_the_budget() {
    let schema: Value = serde_json::from_str(include_str!(
        "../../../../guest/policies/egress/settings.schema.json"
    ))
    .unwrap();
    let schema = Schema::read(&schema).unwrap();
    for (name, settings) in [
        ("hosts", json!({"hosts": {"deny": vec!["a"; 500_000]}})),
        (
            "networks",
            json!({"networks": {"deny": vec!["1.1.1.1"; 200_000]}}),
        ),
        ("ports", json!({"ports": vec![1; 500_000]})),
        ("ranges", json!({"ports": vec!["1-2"; 200_000]})),
        (
            "subjects",
            json!({"subjects": vec![json!({"match": ["a"], "hosts": {"allow": ["b"]}}); 50_000]}),
        ),
    ] {
        let octets = settings.to_string().len();
        assert_eq!(schema.check(&settings, octets), Ok(vec![]), "{name}");
    }
}

/// Random schemas of the known keywords, and random values: another implementation says the same.
#[test]
fn another_implementation_agrees() {
    let mut dice = Dice(7);
    let (mut good, mut bad) = (0, 0);
    for round in 0..3_000 {
        let schema = random_schema(&mut dice, 3);
        let theirs = jsonschema::draft202012::new(&schema).unwrap();
        for _ in 0..4 {
            let value = random_value(&mut dice, 3);
            let ours = check(&schema, &value).unwrap().is_empty();
            assert_eq!(
                ours,
                theirs.is_valid(&value),
                "round {round}: {schema} {value}"
            );
            *(if ours { &mut good } else { &mut bad }) += 1;
        }
    }
    assert!(
        good > 1_000 && bad > 1_000,
        "{good} and {bad}: a table of one side"
    );
}

/// A small generator of numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn one_of(&mut self, values: Value) -> Value {
        let values = values.as_array().unwrap();
        values[self.below(values.len())].clone()
    }
}

fn random_value(dice: &mut Dice, depth: usize) -> Value {
    let kinds = if depth == 0 { 4 } else { 6 };
    match dice.below(kinds) {
        0 => json!(null),
        1 => json!(dice.below(2) == 0),
        2 => dice.one_of(json!([
            0,
            1,
            2,
            3,
            -1,
            1.0,
            1.5,
            2.0,
            18446744073709551615_u64
        ])),
        3 => dice.one_of(json!(["", "a", "b", "ab", "ää", "aaa"])),
        4 => (0..dice.below(4))
            .map(|_| random_value(dice, depth - 1))
            .collect(),
        _ => {
            let names = ["a", "b", "ab", "ä"];
            let members =
                (0..dice.below(4)).map(|i| (names[i].into(), random_value(dice, depth - 1)));
            Value::Object(members.collect())
        }
    }
}

fn random_schema(dice: &mut Dice, depth: usize) -> Value {
    let mut map = Map::new();
    for _ in 0..=dice.below(3) {
        let sub = |dice: &mut Dice| match depth {
            0 => dice.one_of(json!([true, true, false, {"type": "string"}, {"type": "integer"}])),
            _ => random_schema(dice, depth - 1),
        };
        let (keyword, value) = match dice.below(26) {
            0 | 1 => (
                "type",
                dice.one_of(json!([
                    "string",
                    "integer",
                    "number",
                    "object",
                    "array",
                    "null",
                    "boolean",
                    ["string", "array"],
                    ["object", "number"]
                ])),
            ),
            2 => (
                "enum",
                json!([
                    random_value(dice, 1),
                    random_value(dice, 1),
                    random_value(dice, 0)
                ]),
            ),
            3 => ("const", random_value(dice, 1)),
            4 => ("minimum", dice.one_of(json!([0, 1, 1.5]))),
            5 => ("maximum", dice.one_of(json!([2, 1.0, 1e3]))),
            6 => ("exclusiveMinimum", json!(1)),
            7 => ("exclusiveMaximum", json!(2)),
            8 => ("minLength", json!(dice.below(3))),
            9 => ("maxLength", json!(dice.below(3))),
            10 => ("pattern", dice.one_of(json!(["^a", "b$", "^a*$", "."]))),
            11 => ("minItems", json!(dice.below(3))),
            12 => ("maxItems", json!(dice.below(3))),
            13 => ("minProperties", json!(dice.below(3))),
            14 => ("maxProperties", json!(dice.below(3))),
            15 => ("required", dice.one_of(json!([[], ["a"], ["a", "b"]]))),
            16 => ("properties", json!({"a": sub(dice), "b": sub(dice)})),
            17 => ("additionalProperties", sub(dice)),
            18 => ("propertyNames", sub(dice)),
            19 => ("items", sub(dice)),
            20 => ("prefixItems", json!([sub(dice), sub(dice)])),
            21 => ("allOf", json!([sub(dice), sub(dice)])),
            22 => ("anyOf", json!([sub(dice), sub(dice)])),
            23 => ("oneOf", json!([sub(dice), sub(dice)])),
            24 => ("not", sub(dice)),
            _ => {
                map.insert("then".into(), sub(dice));
                map.insert("else".into(), sub(dice));
                ("if", sub(dice))
            }
        };
        map.insert(keyword.into(), value);
    }
    Value::Object(map)
}
