//! What a component is and what it could do, read from its bytes before anything of it is compiled.

use wasmparser::{
    Parser, Payload, Validator,
    component_types::{
        ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId, ComponentItem,
    },
    types::Types,
};

use super::{
    LoadError, code::Workload, engine::FEATURES, fault::tidy, inert, limits::MESSAGE_BYTES,
    parts::Parts,
};

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

/// Names that are listed of the imports, and of the exports.
const NAMES: usize = 1_000;
/// Octets of a name that are listed; the names of the contract are shorter.
const NAME: usize = 128;
/// Items that are looked at to find them: an instance may hold instances of the same type by the
/// thousand, which a few bytes declare.
const ITEMS: usize = 10_000;
/// Instances in instances.
const DEPTH: usize = 16;

/// The outside of a component: the names of what it takes and gives.
#[derive(Debug)]
pub(super) struct Surface {
    /// Everything that must be given to it, functions as `instance#function`. Types are left out: a
    /// policy that exports an interface shows the types of it as imports, and a type can do nothing.
    pub(super) imports: Vec<String>,
    /// Everything it offers, written the same way.
    pub(super) exports: Vec<String>,
    workload: Workload,
    parts: Parts,
}

impl Surface {
    /// Validates the bytes and reads their outside.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, LoadError> {
        if let Some(problem) = is_something_else(bytes) {
            return Err(LoadError::NotComponent(problem.into()));
        }
        let mut validator = Validator::new_with_features(FEATURES);
        let types = validator.validate_all(bytes).map_err(not_component)?;
        let (mut imports, mut exports) = (Names::default(), Names::default());
        let (mut workload, mut parts) = (Workload::default(), Parts::default());
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(not_component)?;
            workload.add(&payload).map_err(not_component)?;
            parts.add(&payload).map_err(not_component)?;
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let name = import.map_err(not_component)?.name.name;
                        imports.add(&types, name, types.component_item_for_import(name));
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let name = export.map_err(not_component)?.name.name;
                        exports.add(&types, name, types.component_item_for_export(name));
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            imports: imports.list(),
            exports: exports.list(),
            workload,
            parts,
        })
    }

    /// The world it fulfils by its names; none when this host accepts none of it.
    pub(super) fn world(&self) -> Option<&'static str> {
        self.missing().is_none().then_some(WORLD)
    }

    /// What of its imports inert WASI would cover.
    pub(super) fn wasi(&self) -> Vec<String> {
        let covered = self.imports.iter().filter(|import| inert::covers(import));
        covered.cloned().collect()
    }

    /// As [`admit`](Self::admit), where inert WASI is granted: says whether there is any need for it.
    pub(super) fn admit_with_wasi(&self) -> Result<bool, LoadError> {
        let foreign = self.imports.iter().filter(|import| !inert::covers(import));
        self.admit_but(foreign.cloned().collect())?;
        Ok(!self.imports.is_empty())
    }

    /// Refuses what imports anything, what is no policy of a version that is accepted, what is made of too
    /// many parts, and what would keep the compiler busy for too long.
    pub(super) fn admit(&self) -> Result<(), LoadError> {
        self.admit_but(self.imports.clone())
    }

    fn admit_but(&self, refused: Vec<String>) -> Result<(), LoadError> {
        if !refused.is_empty() {
            return Err(LoadError::Imports(refused));
        }
        match self.missing() {
            Some(missing) => Err(wrong_world(self.why(&missing))),
            None => self.parts.admit().and_then(|()| self.workload.admit()),
        }
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

/// What the bytes are, when they are plainly no component.
fn is_something_else(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    match () {
        () if bytes.is_empty() => Some("there are no bytes"),
        () if text.starts_with(b"(component") || text.starts_with(b"(module") => {
            Some("this is the text format, not the binary one")
        }
        () if !bytes.starts_with(b"\0asm") => {
            Some("WebAssembly begins with `\\0asm`, these bytes do not")
        }
        () if Parser::is_core_wasm(bytes) => Some("these bytes are a core module"),
        () => None,
    }
}

/// The names of what is imported, or exported; bounded, whatever the types declare.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    looked_at: usize,
    more: bool,
}

impl Names {
    fn add(&mut self, types: &Types, name: &str, item: Option<&ComponentItem>) {
        if let Some(item) = item {
            self.entity(types, &tidy(name, NAME), &item.ty, 0);
        }
    }

    /// Lists all but types, instances by what is in them.
    fn entity(&mut self, types: &Types, name: &str, ty: &ComponentEntityType, depth: usize) {
        self.looked_at += 1;
        if self.names.len() >= NAMES || self.looked_at > ITEMS || depth > DEPTH {
            self.more = true;
            return;
        }
        match ty {
            ComponentEntityType::Instance(id) => self.instance(types, name, *id, depth),
            // A resource is a door to whatever its owner does: as good as a function.
            ComponentEntityType::Type {
                created: ComponentAnyTypeId::Resource(_),
                ..
            } => self.names.push(name.into()),
            ComponentEntityType::Type { .. } => {}
            _ => self.names.push(name.into()),
        }
    }

    fn instance(&mut self, types: &Types, name: &str, id: ComponentInstanceTypeId, depth: usize) {
        for (inner, item) in &types[id].exports {
            if self.more {
                return;
            }
            let inner = tidy(&format!("{name}#{inner}"), NAME);
            self.entity(types, &inner, &item.ty, depth + 1);
        }
    }

    /// The names. What was not looked at is listed too, as a last one: it could be anything.
    fn list(mut self) -> Vec<String> {
        if self.more {
            self.names.push("and more".into());
        }
        self.names
    }
}

fn not_component(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::NotComponent(tidy(&error.to_string(), MESSAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn surface(wat: &str) -> Result<Surface, LoadError> {
        Surface::read(&wat::parse_str(wat).unwrap())
    }

    /// An instance that holds `width` instances that hold as many, `levels` deep; with a function at
    /// the bottom, or without.
    fn nested(levels: usize, width: usize, bottom: &str) -> String {
        let mut ty = format!("(type $t0 (instance {bottom}))");
        for level in 1..=levels {
            let inner: String = (0..width)
                .map(|i| format!("(export \"i{i}\" (instance (type $u)))"))
                .collect();
            let below = level - 1;
            let alias = format!("(alias outer 1 $t{below} (type $u))");
            ty.push_str(&format!("(type $t{level} (instance {alias} {inner}))"));
        }
        format!("(component {ty} (import \"a\" (instance (type $t{levels}))))")
    }

    #[test]
    fn names_are_bounded_whatever_the_types_declare() {
        let begun = Instant::now();
        for (name, wat, names) in [
            ("few", nested(1, 3, "(export \"f\" (func))"), 3),
            ("many", nested(4, 20, "(export \"f\" (func))"), NAMES + 1),
            ("many empty ones", nested(4, 20, ""), 1),
            ("deep", nested(40, 1, "(export \"f\" (func))"), 1),
        ] {
            let surface = surface(&wat).unwrap();
            assert_eq!(surface.imports.len(), names, "{name}");
            let Err(LoadError::Imports(imports)) = surface.admit() else {
                panic!("{name}: admitted");
            };
            let more = imports.last().is_some_and(|last| last == "and more");
            assert_eq!(more, name != "few", "{name}");
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn names_are_short_and_on_one_line() {
        let long = "x".repeat(300);
        let wat = format!(
            "(component (import \"url=<http://x/\\1b[31mRED\\0aline>\" (func)) (import \"{long}\" (func)))"
        );
        let imports = surface(&wat).unwrap().imports;
        assert_eq!(imports[0], "url=<http://x/ [31mRED line>");
        assert_eq!(imports[1], long[..NAME]);
    }

    #[test]
    fn what_is_no_component_is_told_on_one_line() {
        for (bytes, problem) in [
            (&b""[..], "there are no bytes"),
            (
                b"\x7fELF\x02\x01\x01\0",
                "WebAssembly begins with `\\0asm`, these bytes do not",
            ),
            (
                b"\n(component)",
                "this is the text format, not the binary one",
            ),
            (b"\0asm\x01\0\0\0", "these bytes are a core module"),
            (b"\0asm\x0d\0", "unexpected end"),
            (b"\0asm\xff\xff\xff\xff", "unknown binary version"),
            (b"\0asm\x0d\0\x01\0\xff\xff\n", ""),
        ] {
            let Err(LoadError::NotComponent(found)) = Surface::read(bytes) else {
                panic!("{problem}: accepted");
            };
            assert!(found.starts_with(problem), "{problem}: {found}");
            assert!(
                !found.contains(['\n', '\x1b']) && found.len() <= MESSAGE_BYTES,
                "{found}"
            );
        }
    }
}
