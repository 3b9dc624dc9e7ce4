//! From a core module to a component of the world of a policy.
//!
//! The encoder is linked in: an author needs a compiler, and no further program.

use std::{fs, path::Path};

use anyhow::{Context, anyhow};
use pinfold::policy::LoadError;
use wasmparser::{Imports, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

/// The contract, file by file.
const WIT: [(&str, &str); 2] = [
    ("policy.wit", include_str!("../../../../../wit/policy.wit")),
    ("types.wit", include_str!("../../../../../wit/types.wit")),
];

/// Makes a component of a module that says itself which world it fulfils, as the Rust SDK's do.
///
/// # Errors
///
/// [`LoadError::Imports`] for a module that imports anything: the world of a policy has nothing to give
/// it. Otherwise what the encoder says of a module that does not fulfil its world.
pub(super) fn component(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let imports = imports(module)?;
    if !imports.is_empty() {
        return Err(LoadError::Imports(imports).into());
    }
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .context("the module is no component of the world `pinfold:policy/policy`")
}

/// Makes a component of a module that does not say which world it fulfils: it is that of a policy.
///
/// # Errors
///
/// As [`component`].
pub(super) fn component_of_the_world(mut module: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut sources = SourceMap::default();
    for (name, text) in WIT {
        sources.push_str(name, text);
    }
    let group = sources.parse().map_err(|(_, error)| anyhow!("{error}"))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group)?;
    let world = resolve.select_world(&[package], None)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    component(&module)
}

/// Writes the contract into a folder, for tools that read it from there.
pub(super) fn write_contract(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    for (name, text) in WIT {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    Ok(())
}

/// What a core module imports, each as `module#name`.
fn imports(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(section) = payload.context("the module is malformed")? else {
            continue;
        };
        for group in section {
            collect(group?, &mut found)?;
        }
    }
    Ok(found)
}

fn collect(group: Imports<'_>, found: &mut Vec<String>) -> anyhow::Result<()> {
    match group {
        Imports::Single(_, import) => found.push(format!("{}#{}", import.module, import.name)),
        Imports::Compact1 { module, items } => {
            for item in items {
                found.push(format!("{module}#{}", item?.name));
            }
        }
        Imports::Compact2 { module, names, .. } => {
            for name in names {
                found.push(format!("{module}#{}", name?));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{EntityType, ImportSection, Module, TypeSection, ValType};

    use super::*;

    #[test]
    fn what_a_module_imports_is_named() {
        let mut types = TypeSection::new();
        types.ty().function([], [ValType::I64]);
        let mut imports = ImportSection::new();
        let clock = "wasi:clocks/monotonic-clock@0.2.0";
        imports.import(clock, "now", EntityType::Function(0));
        imports.import("env", "log", EntityType::Function(0));
        let mut module = Module::new();
        module.section(&types).section(&imports);
        for encode in [
            component(module.as_slice()),
            component_of_the_world(module.finish()),
        ] {
            match encode.unwrap_err().downcast_ref() {
                Some(LoadError::Imports(names)) => {
                    assert_eq!(names, &[format!("{clock}#now"), "env#log".into()]);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_module_without_the_exports_of_a_policy_is_refused() {
        let error = component_of_the_world(Module::new().finish()).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("pinfold:policy/"), "{text}");
    }
}
