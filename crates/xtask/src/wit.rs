//! The contract's own rules: it parses, every item is documented, nothing has 64 bits, the world of
//! a policy imports no function.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail};
use wit_parser::{
    Docs, Function, Interface, PackageId, Resolve, Type, TypeDef, TypeDefKind, World, WorldItem,
};

use crate::shell;

/// Checks `wit/` and prints every violation.
pub(crate) fn run() -> Result<()> {
    let (resolve, package) = parse(&shell::root().join("wit"))?;
    let mut findings = Findings::default();
    findings.package(&resolve, package);
    if findings.list.is_empty() {
        println!(
            "contract: {} documented items, no 64-bit integer, no import",
            findings.documented
        );
        return Ok(());
    }
    bail!(
        "the contract breaks its rules:\n  {}",
        findings.list.join("\n  ")
    )
}

fn parse(folder: &Path) -> Result<(Resolve, PackageId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(folder)
        .context("the contract does not parse")?;
    Ok((resolve, package))
}

#[derive(Default)]
struct Findings {
    list: Vec<String>,
    documented: usize,
}

impl Findings {
    fn package(&mut self, resolve: &Resolve, id: PackageId) {
        let package = &resolve.packages[id];
        self.docs(&package.docs, &package.name.to_string());
        if package.name.version.is_none() {
            self.list.push(format!("{}: has no version", package.name));
        }
        for (name, id) in &package.interfaces {
            self.interface(resolve, &resolve.interfaces[*id], name);
        }
        for id in package.worlds.values() {
            self.world(resolve, &resolve.worlds[*id]);
        }
    }

    fn interface(&mut self, resolve: &Resolve, interface: &Interface, name: &str) {
        self.docs(&interface.docs, name);
        for (item, id) in &interface.types {
            self.type_def(resolve, &resolve.types[*id], &format!("{name}.{item}"));
        }
        for (item, function) in &interface.functions {
            self.function(resolve, function, &format!("{name}.{item}"));
        }
    }

    fn type_def(&mut self, resolve: &Resolve, definition: &TypeDef, path: &str) {
        // A name that came in by `use` is documented where it is defined.
        if matches!(definition.kind, TypeDefKind::Type(Type::Id(_))) {
            return;
        }
        self.docs(&definition.docs, path);
        for (name, docs) in parts(&definition.kind) {
            self.docs(docs, &format!("{path}.{name}"));
        }
        if matches!(
            definition.kind,
            TypeDefKind::Resource | TypeDefKind::Handle(_)
        ) {
            self.list
                .push(format!("{path}: a contract of values has no resources"));
        }
        for used in uses(&definition.kind) {
            self.integers(resolve, used, path);
        }
    }

    fn function(&mut self, resolve: &Resolve, function: &Function, path: &str) {
        self.docs(&function.docs, path);
        for used in function
            .params
            .iter()
            .map(|param| &param.ty)
            .chain(&function.result)
        {
            self.integers(resolve, used, path);
        }
    }

    /// One widely used JavaScript engine rounds 64-bit integers silently.
    fn integers(&mut self, resolve: &Resolve, used: &Type, path: &str) {
        match used {
            Type::U64 | Type::S64 => self.list.push(format!("{path}: a 64-bit integer")),
            // Named types are visited where they are defined.
            Type::Id(id) if resolve.types[*id].name.is_none() => {
                for inner in uses(&resolve.types[*id].kind) {
                    self.integers(resolve, inner, path);
                }
            }
            _ => {}
        }
    }

    /// An interface whose types are used by an export shows as an import. It may hold types only.
    fn world(&mut self, resolve: &Resolve, world: &World) {
        self.docs(&world.docs, &format!("world {}", world.name));
        for (key, item) in &world.imports {
            let name = resolve.name_world_key(key);
            match item {
                WorldItem::Interface { id, .. } if resolve.interfaces[*id].functions.is_empty() => {
                }
                WorldItem::Type { .. } => {}
                _ => self
                    .list
                    .push(format!("world {}: imports {name}", world.name)),
            }
        }
    }

    fn docs(&mut self, docs: &Docs, path: &str) {
        match docs.contents.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => self.documented += 1,
            _ => self.list.push(format!("{path}: not documented")),
        }
    }
}

/// Fields, cases and flags with their documentation.
fn parts(kind: &TypeDefKind) -> BTreeMap<&str, &Docs> {
    match kind {
        TypeDefKind::Record(record) => named(&record.fields, |field| (&field.name, &field.docs)),
        TypeDefKind::Flags(flags) => named(&flags.flags, |flag| (&flag.name, &flag.docs)),
        TypeDefKind::Variant(variant) => named(&variant.cases, |case| (&case.name, &case.docs)),
        TypeDefKind::Enum(cases) => named(&cases.cases, |case| (&case.name, &case.docs)),
        _ => BTreeMap::new(),
    }
}

fn named<T>(items: &[T], part: impl Fn(&T) -> (&String, &Docs)) -> BTreeMap<&str, &Docs> {
    items
        .iter()
        .map(part)
        .map(|(name, docs)| (name.as_str(), docs))
        .collect()
}

/// The types that a type is made of.
fn uses(kind: &TypeDefKind) -> Vec<&Type> {
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| &field.ty).collect(),
        TypeDefKind::Tuple(tuple) => tuple.types.iter().collect(),
        TypeDefKind::Variant(variant) => variant
            .cases
            .iter()
            .filter_map(|case| case.ty.as_ref())
            .collect(),
        TypeDefKind::Option(inner)
        | TypeDefKind::List(inner)
        | TypeDefKind::FixedLengthList(inner, _)
        | TypeDefKind::Type(inner) => vec![inner],
        TypeDefKind::Map(key, value) => vec![key, value],
        TypeDefKind::Result(result) => result.ok.iter().chain(&result.err).collect(),
        TypeDefKind::Future(inner) | TypeDefKind::Stream(inner) => inner.iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_violation() {
        let cases = [
            (
                "undocumented field",
                "/// R.\nrecord r {\n a: u8 }",
                "i.r.a: not documented",
            ),
            (
                "undocumented type",
                "record r {\n /// A.\n a: u8 }",
                "i.r: not documented",
            ),
            (
                "u64 in a list",
                "/// R.\nrecord r {\n /// A.\n a: list<u64> }",
                "i.r: a 64-bit integer",
            ),
            (
                "s64 in a result",
                "/// F.\nf: func() -> result<s64>;",
                "i.f: a 64-bit integer",
            ),
            ("undocumented function", "f: func();", "i.f: not documented"),
            (
                "resource",
                "/// R.\nresource r;",
                "i.r: a contract of values has no resources",
            ),
        ];
        for (name, body, expected) in cases {
            let list = check(&format!(
                "/// P.\npackage a:b@0.1.0;\n/// I.\ninterface i {{\n{body}\n}}"
            ));
            assert_eq!(list, [expected], "{name}");
        }
    }

    #[test]
    fn a_world_may_import_types_and_no_functions() {
        let package = "/// P.\npackage a:b@0.1.0;\n/// T.\ninterface t {\n/// N.\ntype n = u8;\n}\n\
             /// E.\ninterface e {\nuse t.{n};\n/// F.\nf: func() -> n;\n}\n";
        let pure = format!("{package}/// W.\nworld w {{ export e; }}");
        assert_eq!(check(&pure), [""; 0]);
        let greedy = format!("{package}/// W.\nworld w {{ import e; }}");
        assert_eq!(check(&greedy), ["world w: imports a:b/e@0.1.0"]);
    }

    fn check(text: &str) -> Vec<String> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("test.wit", text).unwrap();
        let mut findings = Findings::default();
        findings.package(&resolve, package);
        findings.list
    }
}
