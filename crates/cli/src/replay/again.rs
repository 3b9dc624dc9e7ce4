//! The same policies are asked the same: do they answer the same?

use pinfold::record::{Difference, Input, replay};

use super::{
    Left, Outcome,
    shelf::{Shelf, component_missing},
    what_if::Shade,
};

/// A record that is judged by the policies that judged it.
pub(super) struct Again<'a> {
    pub(super) input: &'a Input,
}

/// What differs in the answer of one policy.
pub(super) struct Layered {
    /// The name of its layer, in a chain.
    pub(super) layer: Option<String>,
    /// Field by field; never none.
    pub(super) differences: Vec<Difference>,
}

impl Again<'_> {
    pub(super) fn judge(&self, shelf: &mut Shelf) -> Outcome {
        let mut layers = Vec::new();
        for (place, answered) in self.input.answered.iter().enumerate() {
            let policy = match shelf.policy(&answered.policy) {
                Ok(policy) => policy,
                Err(missing) => return Outcome::Fails(missing),
            };
            // What was loaded is another component than was found: its file changed meanwhile.
            let Some(replayed) = replay(policy, self.input, place) else {
                return Outcome::Fails(component_missing(&answered.policy));
            };
            if replayed.depends_on_machine() {
                return Outcome::Left(Left::DependsOnMachine);
            }
            if !replayed.differences.is_empty() {
                layers.push(Layered {
                    layer: answered.policy.layer.clone(),
                    differences: replayed.differences,
                });
            }
        }
        match layers.is_empty() {
            true => Outcome::Same(Shade::Alike),
            false => Outcome::Differs(layers),
        }
    }
}
