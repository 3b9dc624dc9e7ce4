//! Which component, which settings: the digests of a [`PolicyRef`](crate::PolicyRef), without loading anything.

use serde_json::Value;

use super::{LoadError, Source, load::hex_digest, settings::Canonical};
use crate::Limits;

/// SHA-256 of a component, hex: the digest by which records name it. It is neither checked nor compiled.
///
/// # Errors
///
/// When it cannot be read, or is larger than [`Limits::component_bytes`].
pub fn component_digest(source: &Source, limits: &Limits) -> Result<String, LoadError> {
    Ok(hex_digest(&source.read(limits.component_bytes)?))
}

/// SHA-256 of settings, hex: the digest by which records name them. Equal settings have one digest, whatever
/// the order of their keys.
pub fn settings_digest(settings: &Value) -> String {
    Canonical::new(settings.clone(), usize::MAX)
        .map(|canonical| hex_digest(canonical.text.as_bytes()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::Evaluator;

    #[test]
    fn digests_are_those_of_a_loaded_policy() {
        let limits = Limits {
            policy_instances: 16,
            ..Limits::default()
        };
        let settings = json!({"ports": [443, 80], "networks": {"allow": ["10.0.0.0/8"]}});
        let policy = Evaluator::load(Source::Shipped, settings.clone(), &limits)
            .unwrap()
            .policy();
        assert_eq!(
            component_digest(&Source::Shipped, &limits),
            Ok(policy.digest)
        );
        assert_eq!(settings_digest(&settings), policy.settings_digest);
    }
}
