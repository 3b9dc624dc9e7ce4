//! What a component is and what it could do, read from its bytes before anything of it is compiled.

use wasmparser::{
    Parser, Payload, Validator,
    component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId},
    types::Types,
};

use super::{LoadError, engine::FEATURES};

/// The world that a policy fulfils, as `pinfold inspect` prints it.
pub(super) const WORLD: &str = "pinfold:policy/policy@0.1.0";

/// What a component of that world exports, and the functions in it.
const EXPORTS: [(&str, &[&str]); 2] = [
    ("pinfold:policy/settings@0.1.0", &["describe", "configure"]),
    (
        "pinfold:policy/decide@0.1.0",
        &["check-target", "check-addresses"],
    ),
];

/// The outside of a component: the names of what it takes and gives.
#[derive(Debug)]
pub(super) struct Surface {
    /// Everything that must be given to it, functions as `instance#function`. Types are left out: a
    /// policy that exports an interface shows the types of it as imports, and a type can do nothing.
    pub(super) imports: Vec<String>,
    /// Everything it offers, written the same way.
    pub(super) exports: Vec<String>,
}

impl Surface {
    /// Validates the bytes and reads their outside.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, LoadError> {
        if Parser::is_core_wasm(bytes) {
            return Err(LoadError::NotComponent(
                "these bytes are a core module".into(),
            ));
        }
        let mut validator = Validator::new_with_features(FEATURES);
        let types = validator.validate_all(bytes).map_err(not_component)?;
        let mut surface = Self {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(not_component)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let name = import.map_err(not_component)?.name.name;
                        let item = types.component_item_for_import(name);
                        let entity = item.map(|item| &item.ty);
                        entity
                            .into_iter()
                            .for_each(|ty| list(&types, name, ty, &mut surface.imports));
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let name = export.map_err(not_component)?.name.name;
                        let item = types.component_item_for_export(name);
                        let entity = item.map(|item| &item.ty);
                        entity
                            .into_iter()
                            .for_each(|ty| list(&types, name, ty, &mut surface.exports));
                    }
                }
                _ => {}
            }
        }
        Ok(surface)
    }

    /// The world it fulfils by its names; none when this host accepts none of it.
    pub(super) fn world(&self) -> Option<&'static str> {
        self.missing().is_none().then_some(WORLD)
    }

    /// Refuses what imports anything, then what is no policy of a version that is accepted.
    pub(super) fn admit(&self) -> Result<(), LoadError> {
        if !self.imports.is_empty() {
            return Err(LoadError::Imports(self.imports.clone()));
        }
        self.missing()
            .map_or(Ok(()), |missing| Err(wrong_world(self.why(&missing))))
    }

    fn missing(&self) -> Option<String> {
        let wanted = EXPORTS.iter().flat_map(|(interface, functions)| {
            functions
                .iter()
                .map(move |function| format!("{interface}#{function}"))
        });
        wanted.into_iter().find(|name| !self.exports.contains(name))
    }

    /// Says which other version it was built for, when it is one.
    fn why(&self, missing: &str) -> String {
        let other = self
            .exports
            .iter()
            .find(|name| name.starts_with("pinfold:policy/"));
        match other.and_then(|name| name.split(['@', '#']).nth(1)) {
            Some(version) if !WORLD.ends_with(version) => {
                format!("it is built for version `{version}`")
            }
            _ => format!("it does not export `{missing}`"),
        }
    }
}

/// A component that is no policy of a version that is accepted.
pub(super) fn wrong_world(problem: String) -> LoadError {
    LoadError::WrongWorld {
        problem,
        accepted: vec![WORLD.into()],
    }
}

/// Lists all but types, instances by what is in them.
fn list(types: &Types, name: &str, ty: &ComponentEntityType, names: &mut Vec<String>) {
    match ty {
        ComponentEntityType::Instance(id) => list_instance(types, name, *id, names),
        // A resource is a door to whatever its owner does: as good as a function.
        ComponentEntityType::Type {
            created: ComponentAnyTypeId::Resource(_),
            ..
        } => {
            names.push(name.into());
        }
        ComponentEntityType::Type { .. } => {}
        _ => names.push(name.into()),
    }
}

fn list_instance(types: &Types, name: &str, id: ComponentInstanceTypeId, names: &mut Vec<String>) {
    for (inner, item) in &types[id].exports {
        list(types, &format!("{name}#{inner}"), &item.ty, names);
    }
}

fn not_component(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::NotComponent(error.to_string())
}
