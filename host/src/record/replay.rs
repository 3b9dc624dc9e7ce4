//! Asks a policy again what was recorded, and compares.

use serde_json::Value;

use super::{Answered, Input, Mode};
use crate::{
    Denial, PolicyRef,
    policy::{Evaluation, Evaluator},
};

/// What a policy answers to a recorded question, beside what it answered then.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// What it answers now.
    pub answered: Answered,
    /// Each field in which that is not what was recorded; none when both are the same, bit for bit.
    pub differences: Vec<Difference>,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Which: `target.deny.code`, `target.allow.redirects`, `addresses[1].detail`.
    pub field: String,
    /// What was recorded; null where there was nothing.
    pub recorded: Value,
    /// What is answered now; null where there is nothing.
    pub now: Value,
}

impl Replayed {
    /// Whether the policy was late now, or had no place for an instance: the comparison says nothing.
    pub fn depends_on_machine(&self) -> bool {
        self.answered.depends_on_machine()
    }
}

/// Asks `policy` again what the policy at this place of the chain was asked (0 where there is only one), and
/// compares the answers of both stages: terms, codes and details, for each address.
///
/// None when no policy at this place was asked, or its component or settings are others; [`ask`] then tells what this one
/// would have answered.
pub fn replay(policy: &Evaluator, input: &Input, place: usize) -> Option<Replayed> {
    let itself = policy.policy();
    let recorded = input.answered.get(place).filter(|answered| {
        let then = &answered.policy;
        (&then.digest, &then.settings_digest) == (&itself.digest, &itself.settings_digest)
    })?;
    let addresses = recorded.addresses.is_some();
    let answered = question(itself, || policy.start(), input, addresses);
    Some(Replayed {
        differences: recorded.differences(&answered),
        answered,
    })
}

/// Asks `policy` what it answers to a recorded request: stage one, and, when it allows the target, or only
/// [names](Mode::ReportNames) were reported, and addresses were recorded, stage two.
pub fn ask(policy: &Evaluator, input: &Input) -> Answered {
    let addresses = !input.answers.is_empty();
    question(policy.policy(), || policy.start(), input, addresses)
}

/// Both stages, as a guard asks them: in one instance, where the first one is allowed.
pub(super) fn question(
    policy: PolicyRef,
    start: impl Fn() -> Result<Evaluation, Denial>,
    input: &Input,
    addresses: bool,
) -> Answered {
    let of_target = |mut instance: Evaluation| {
        let terms = instance.check_target(&input.request)?;
        Ok((instance, terms))
    };
    let of_addresses = |mut instance: Evaluation| {
        instance.check_addresses(&input.request, &input.chain, &input.answers)
    };
    match start().and_then(of_target) {
        Ok((instance, terms)) => Answered {
            policy,
            target: Ok(terms),
            addresses: addresses.then(|| of_addresses(instance)),
        },
        Err(denial) => Answered {
            policy,
            target: Err(denial),
            // What answered a denial is used up.
            addresses: (addresses && input.report == Mode::ReportNames)
                .then(|| of_addresses(start()?)),
        },
    }
}

impl Answered {
    /// Each field in which `now` is something else. Which policy it was is not compared.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if !self.agrees(now) {
            compare("", &self.to_json(), &now.to_json(), &mut found);
        }
        found
    }

    /// The answers alone, as they are written in a record.
    fn to_json(&self) -> Value {
        let target = match &self.target {
            Ok(terms) => serde_json::json!({ "allow": terms }),
            Err(denial) => serde_json::json!({ "deny": denial }),
        };
        let addresses = match &self.addresses {
            None => Value::Null,
            Some(Ok(each)) => serde_json::json!(each),
            Some(Err(denial)) => serde_json::json!({ "deny": denial }),
        };
        serde_json::json!({ "target": target, "addresses": addresses })
    }
}

/// Walks two values and notes the leaves that differ. As deep as an answer is, which is five levels.
fn compare(field: &str, recorded: &Value, now: &Value, found: &mut Vec<Difference>) {
    match (recorded, now) {
        _ if recorded == now => {}
        (Value::Object(one), Value::Object(other)) => {
            let more = other.keys().filter(|key| !one.contains_key(*key));
            for key in one.keys().chain(more) {
                let [one, other] = [one, other].map(|map| map.get(key).unwrap_or(&Value::Null));
                let dot = if field.is_empty() { "" } else { "." };
                compare(&format!("{field}{dot}{key}"), one, other, found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{field}[{at}]"), one, other, found);
            }
        }
        _ => found.push(Difference {
            field: field.to_owned(),
            recorded: recorded.clone(),
            now: now.clone(),
        }),
    }
}
