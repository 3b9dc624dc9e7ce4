//! Settings held against a schema, within one budget of steps.

use std::{cmp::Ordering, fmt::Write};

use serde_json::{Number, Value};

use super::{Bound, Count, Id, Rule, Schema, Type};
use crate::policy::{
    LoadError, Problem,
    fault::tidy,
    limits::{MESSAGE_BYTES, PROBLEMS},
    text::At,
};

/// Steps that a check may take, whatever the settings.
const STEPS: u64 = 1 << 20;
/// Steps more for each octet of settings. A schema of the usual kind takes one or two.
const STEPS_PER_OCTET: u64 = 8;
/// Octets that are compared, counted or hashed in one step.
const OCTETS_PER_STEP: usize = 32;
/// Schemas inside one another while one value is judged; the stack has room for as many.
const DEPTH: u32 = 400;

/// What is said of a value where the schema allows none.
const UNKNOWN: &str = "there is no such setting";

impl Schema<'_> {
    /// Everything that is wrong with settings whose JSON has `octets`, up to the most that is reported.
    pub(in crate::policy) fn check(
        &self,
        settings: &Value,
        octets: usize,
    ) -> Result<Vec<Problem>, LoadError> {
        let steps = STEPS.saturating_add(STEPS_PER_OCTET.saturating_mul(octets as u64));
        let mut check = Check {
            schema: self,
            left: steps,
            depth: 0,
            problems: Vec::new(),
        };
        match check.value(0, settings, &At::Root, true) {
            Ok(_) | Err(Stop::Enough) => {
                // Several subschemas may say the same of one value.
                check.problems.dedup();
                Ok(check.problems)
            }
            Err(Stop::Exhausted) => Err(LoadError::Describe(format!(
                "the schema: it takes more than {steps} steps to check these settings"
            ))),
        }
    }
}

struct Check<'s, 'a> {
    schema: &'s Schema<'a>,
    /// Steps that are left.
    left: u64,
    depth: u32,
    problems: Vec<Problem>,
}

/// Why a check ends early.
enum Stop {
    /// There are as many problems as are reported.
    Enough,
    /// The steps are used up.
    Exhausted,
}

/// Whether a value is as it should be.
type Held = Result<bool, Stop>;

impl<'s> Check<'s, '_> {
    /// Judges one value by one subschema. A loud check reports every problem; a quiet one is a question,
    /// and ends at the first.
    fn value(&mut self, id: Id, value: &Value, at: &At<'_>, loud: bool) -> Held {
        self.spend(1)?;
        if self.depth == DEPTH {
            return Err(Stop::Exhausted);
        }
        self.depth += 1;
        let (schema, mut held): (&'s Schema<'_>, _) = (self.schema, true);
        for rule in schema.nodes.get(id).into_iter().flatten() {
            held &= self.rule(rule, value, at, loud)?;
            if !held && !loud {
                break;
            }
        }
        self.depth -= 1;
        Ok(held)
    }

    fn rule(&mut self, rule: &Rule<'_>, value: &Value, at: &At<'_>, loud: bool) -> Held {
        self.spend(1)?;
        let held = match (rule, value) {
            (Rule::Never, _) => false,
            (Rule::Type(types), _) => types.iter().any(|ty| ty.holds(value)),
            (Rule::Enum(values), _) => self.one_of(values, value)?,
            (Rule::Const(constant), _) => self.equal(constant, value)?,
            (Rule::Number(bound, limit), Value::Number(number)) => bound.holds(number, limit),
            (Rule::Count(count, limit), _) => self.counted(*count, *limit, value)?,
            (Rule::Pattern(pattern), Value::String(text)) => {
                self.spend(pattern.cost(text))?;
                pattern.matches(text)
            }
            (Rule::Not(id), _) => !self.value(*id, value, at, false)?,
            (Rule::Any(ids), _) => self.how_many(ids, value, at, 1)? == 1,
            (Rule::One(ids), _) => self.how_many(ids, value, at, 2)? == 1,
            _ => return self.parts(rule, value, at, loud),
        };
        match held {
            true => Ok(true),
            false => self.report(|| rule.demand(), at, loud),
        }
    }

    /// The rules that hand values on to other subschemas, which report for themselves.
    fn parts(&mut self, rule: &Rule<'_>, value: &Value, at: &At<'_>, loud: bool) -> Held {
        let mut held = true;
        match (rule, value) {
            (Rule::All(ids), _) => {
                for id in ids {
                    held &= self.value(*id, value, at, loud)?;
                }
            }
            (
                Rule::If {
                    test,
                    then,
                    otherwise,
                },
                _,
            ) => {
                let branch = match self.value(*test, value, at, false)? {
                    true => then,
                    false => otherwise,
                };
                if let Some(id) = branch {
                    held = self.value(*id, value, at, loud)?;
                }
            }
            (Rule::Required(names), Value::Object(map)) => {
                for name in names {
                    self.spend(1 + steps(name.len()))?;
                    if !map.contains_key(*name) {
                        held = self.report(|| format!("`{name}` is missing"), at, loud)?;
                    }
                }
            }
            (Rule::Members { known, others }, Value::Object(map)) => {
                for (name, value) in map {
                    self.spend(1 + steps(name.len()))?;
                    if let Some(id) = known.get(name.as_str()).or(others.as_ref()) {
                        held &= self.value(*id, value, &At::Member(at, name), loud)?;
                    }
                }
            }
            (Rule::Names(id), Value::Object(map)) => {
                for name in map.keys() {
                    self.spend(1 + steps(name.len()))?;
                    let text = Value::String(name.clone());
                    held &= self.value(*id, &text, &At::Member(at, name), loud)?;
                }
            }
            (Rule::Items { first, others }, Value::Array(list)) => {
                for (index, value) in list.iter().enumerate() {
                    self.spend(1)?;
                    if let Some(id) = first.get(index).or(others.as_ref()) {
                        held &= self.value(*id, value, &At::Item(at, index), loud)?;
                    }
                }
            }
            _ => {}
        }
        Ok(held)
    }

    /// How many of these subschemas a value fits; counting ends at `enough`.
    fn how_many(
        &mut self,
        ids: &[Id],
        value: &Value,
        at: &At<'_>,
        enough: usize,
    ) -> Result<usize, Stop> {
        let mut fits = 0;
        for id in ids {
            fits += usize::from(self.value(*id, value, at, false)?);
            if fits == enough {
                break;
            }
        }
        Ok(fits)
    }

    fn one_of(&mut self, values: &[Value], value: &Value) -> Held {
        for allowed in values {
            if self.equal(allowed, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Equality as the standard has it: numbers by value, objects without order.
    fn equal(&mut self, one: &Value, other: &Value) -> Held {
        self.spend(1)?;
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => Ok(compare(one, other).is_eq()),
            (Value::String(one), Value::String(other)) if one.len() == other.len() => {
                self.spend(steps(one.len()))?;
                Ok(one == other)
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
                for (one, other) in one.iter().zip(other) {
                    if !self.equal(one, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
                for (name, one) in one {
                    self.spend(steps(name.len()))?;
                    let Some(other) = other.get(name) else {
                        return Ok(false);
                    };
                    if !self.equal(one, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Null | Value::Bool(_), other) => Ok(one == other),
            _ => Ok(false),
        }
    }

    fn counted(&mut self, count: Count, limit: u64, value: &Value) -> Held {
        let found = match (count, value) {
            (Count::MinLength | Count::MaxLength, Value::String(text)) => {
                self.spend(steps(text.len()))?;
                text.chars().count()
            }
            (Count::MinItems | Count::MaxItems, Value::Array(list)) => list.len(),
            (Count::MinProperties | Count::MaxProperties, Value::Object(map)) => map.len(),
            _ => return Ok(true),
        };
        Ok(match count {
            Count::MinLength | Count::MinItems | Count::MinProperties => found as u64 >= limit,
            Count::MaxLength | Count::MaxItems | Count::MaxProperties => found as u64 <= limit,
        })
    }

    fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        self.left = self.left.checked_sub(steps).ok_or(Stop::Exhausted)?;
        Ok(())
    }

    /// Something is not as it should be. What to say is made up only when it is said.
    fn report(&mut self, problem: impl Fn() -> String, at: &At<'_>, loud: bool) -> Held {
        if loud {
            self.problems.push(Problem {
                path: tidy(&at.to_string(), MESSAGE_BYTES),
                message: tidy(&problem(), MESSAGE_BYTES),
            });
            if self.problems.len() == PROBLEMS {
                return Err(Stop::Enough);
            }
        }
        Ok(false)
    }
}

/// Steps for so many octets.
fn steps(octets: usize) -> u64 {
    (octets / OCTETS_PER_STEP) as u64
}

impl Rule<'_> {
    /// What a value must be, for whoever gave another.
    fn demand(&self) -> String {
        match self {
            Self::Never => UNKNOWN.into(),
            Self::Type(types) => {
                let names: Vec<_> = types.iter().map(|ty| ty.name()).collect();
                format!("must be {}", names.join(" or "))
            }
            Self::Enum(values) => listed(values),
            Self::Const(value) => listed(std::slice::from_ref(*value)),
            Self::Number(bound, limit) => format!("must be {} {limit}", bound.word()),
            Self::Count(count, limit) => count.demand(*limit),
            Self::Pattern(pattern) => format!("must match `{}`", pattern.source),
            Self::Not(_) => "must not be what the schema excludes".into(),
            Self::Any(ids) => format!("must fit one of {} forms of the schema", ids.len()),
            Self::One(ids) => format!("must fit exactly one of {} forms of the schema", ids.len()),
            _ => "must fit the schema".into(),
        }
    }
}

impl Bound {
    fn holds(self, number: &Number, limit: &Number) -> bool {
        let order = compare(number, limit);
        match self {
            Self::AtLeast => order.is_ge(),
            Self::AtMost => order.is_le(),
            Self::Above => order.is_gt(),
            Self::Below => order.is_lt(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::AtLeast => "at least",
            Self::AtMost => "at most",
            Self::Above => "more than",
            Self::Below => "less than",
        }
    }
}

/// The order of two numbers, exact for whole ones.
fn compare(one: &Number, other: &Number) -> Ordering {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => {
            let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
            float(one).total_cmp(&float(other))
        }
    }
}

fn whole(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

/// The values that are allowed, as far as they fit into a message.
fn listed(values: &[Value]) -> String {
    const SHOWN: usize = 8;
    let mut text = "must be ".to_owned();
    for (index, value) in values.iter().take(SHOWN).enumerate() {
        let between = if index == 0 { "" } else { " or " };
        // A value of the schema may be as large as the schema.
        let shown = match value {
            Value::String(text) => tidy(text, MESSAGE_BYTES / SHOWN),
            Value::Array(_) | Value::Object(_) => "a certain value".into(),
            other => other.to_string(),
        };
        let _ = write!(text, "{between}`{shown}`");
    }
    if values.len() > SHOWN {
        text.push_str(" or another of the schema");
    }
    text
}

impl Type {
    fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null)
            | (Self::Boolean, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::String, Value::String(_))
            | (Self::Array, Value::Array(_))
            | (Self::Object, Value::Object(_)) => true,
            // 1.0 is an integer.
            (Self::Integer, Value::Number(number)) => {
                whole(number).is_some() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
            }
            _ => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "`true` or `false`",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl Count {
    fn demand(self, limit: u64) -> String {
        match self {
            Self::MinLength => format!("must have at least {limit} characters"),
            Self::MaxLength => format!("must have at most {limit} characters"),
            Self::MinItems => format!("must have at least {limit} items"),
            Self::MaxItems => format!("must have at most {limit} items"),
            Self::MinProperties => format!("must have at least {limit} members"),
            Self::MaxProperties => format!("must have at most {limit} members"),
        }
    }
}
