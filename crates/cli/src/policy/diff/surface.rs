//! What two components are, before either is asked anything: imports, exports, size, settings schema.

use std::collections::BTreeSet;

use pinfold::policy::Inspection;
use serde::Serialize;
use serde_json::Value;

use super::schema::{self, SchemaChange};

/// Both components side by side.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Surface {
    /// What was there.
    pub(super) old: Component,
    /// What is to replace it.
    pub(super) new: Component,
    /// What it could reach. A policy reaches nothing: any import is refused.
    pub(super) imports: Names,
    /// What it offers.
    pub(super) exports: Names,
    /// What changed in the settings that it takes; none when one of both was refused before it could say
    /// what it takes.
    pub(super) schema: Option<Vec<SchemaChange>>,
}

/// One component.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Component {
    /// Its name; none when it does not say.
    pub(super) name: Option<String>,
    /// Its version.
    pub(super) version: Option<String>,
    /// The world that it fulfils.
    pub(super) world: Option<String>,
    /// SHA-256 of its bytes.
    pub(super) digest: String,
    /// Its size.
    pub(super) size_bytes: u64,
    /// Why it would not be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
}

/// Names that only one of both has.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Names {
    /// Only the new one.
    pub(super) added: Vec<String>,
    /// Only the old one.
    pub(super) removed: Vec<String>,
}

impl Surface {
    /// Compares two components.
    pub(super) fn new(old: &Inspection, new: &Inspection) -> Self {
        Self {
            imports: Names::compare(&old.imports, &new.imports),
            exports: Names::compare(&old.exports, &new.exports),
            schema: schemas(old, new).map(|(old, new)| schema::compare(old, new)),
            old: Component::of(old),
            new: Component::of(new),
        }
    }

    /// Whether both are the same bytes.
    pub(super) fn is_same(&self) -> bool {
        self.old.digest == self.new.digest
    }
}

impl Component {
    fn of(inspection: &Inspection) -> Self {
        let says = inspection.description.as_ref();
        Self {
            name: says.map(|says| says.name.clone()),
            version: says.map(|says| says.version.clone()),
            world: inspection.world.clone(),
            digest: inspection.digest.clone(),
            size_bytes: inspection.size as u64,
            fault: inspection.fault.clone(),
        }
    }
}

impl Names {
    fn compare(old: &[String], new: &[String]) -> Self {
        let [old, new] = [old, new].map(|names| names.iter().collect::<BTreeSet<_>>());
        let only = |these: &BTreeSet<&String>, those: &BTreeSet<&String>| {
            these
                .difference(those)
                .map(|name| (*name).clone())
                .collect()
        };
        Self {
            added: only(&new, &old),
            removed: only(&old, &new),
        }
    }
}

/// The schemas of both; none when one of both does not say what it takes.
fn schemas<'a>(old: &'a Inspection, new: &'a Inspection) -> Option<(&'a Value, &'a Value)> {
    let (old, new) = (old.description.as_ref()?, new.description.as_ref()?);
    Some((&old.settings_schema, &new.settings_schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_sets() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let compared = Names::compare(&names(&["a", "b"]), &names(&["c", "b"]));
        let expected = Names {
            added: names(&["c"]),
            removed: names(&["a"]),
        };
        assert_eq!(compared, expected);
        let same = Names::compare(&names(&["a", "b"]), &names(&["b", "a"]));
        assert_eq!(same, Names::default());
    }
}
