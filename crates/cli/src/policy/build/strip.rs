//! Leaves out of a component what nobody needs to run it: names for debuggers, and notes of compilers.

use anyhow::Context;
use wasm_encoder::{Component, ComponentSectionId, Module, RawSection, Section};
use wasmparser::{Encoding, Parser, Payload};

/// Custom sections that stay: who made it, of what, under which licence. An auditor reads them
/// (`wasm-tools metadata show`), and none depends on the folder or the day of the build.
const KEPT: [&str; 9] = [
    ".dep-v0",
    "authors",
    "description",
    "homepage",
    "licenses",
    "producers",
    "revision",
    "source",
    "version",
];

/// The component without custom sections other than [`KEPT`], at any depth.
///
/// # Errors
///
/// Bytes that are no component.
pub(super) fn strip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    // The binary that is being written, below those that it is part of.
    let mut open: Vec<Open> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.context("the component is malformed")?;
        match &payload {
            Payload::Version { encoding, .. } => open.push(Open::new(*encoding)),
            Payload::End(_) => {
                let Some(whole) = open.pop() else { break };
                match open.last_mut() {
                    Some(parent) => parent.section(whole.id, &whole.bytes),
                    None => return Ok(whole.bytes),
                }
            }
            // What is in them follows as payloads of its own.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {}
            Payload::CustomSection(section) if !KEPT.contains(&section.name()) => {}
            _ => {
                if let (Some((id, range)), Some(top)) = (payload.as_section(), open.last_mut()) {
                    top.section(id, bytes.get(range).unwrap_or_default());
                }
            }
        }
    }
    anyhow::bail!("the component ends too early")
}

/// A module or component that is being written.
struct Open {
    /// The section that it is in what it is part of.
    id: u8,
    bytes: Vec<u8>,
}

impl Open {
    fn new(encoding: Encoding) -> Self {
        let (id, header) = match encoding {
            Encoding::Module => (ComponentSectionId::CoreModule, Module::HEADER),
            Encoding::Component => (ComponentSectionId::Component, Component::HEADER),
        };
        Self {
            id: id as u8,
            bytes: header.to_vec(),
        }
    }

    fn section(&mut self, id: u8, data: &[u8]) {
        RawSection { id, data }.append_to(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use wasm_encoder::{CustomSection, ModuleSection, NestedComponentSection};

    use super::*;

    fn custom(name: &'static str) -> CustomSection<'static> {
        CustomSection {
            name: name.into(),
            data: Cow::Borrowed(b"data"),
        }
    }

    /// A component in a component, with a module in it, and these custom sections at each depth.
    fn nested(names: &[&'static str]) -> Vec<u8> {
        let mut module = Module::new();
        let mut inner = Component::new();
        let mut outer = Component::new();
        for name in names {
            module.section(&custom(name));
        }
        inner.section(&ModuleSection(&module));
        for name in names {
            inner.section(&custom(name));
        }
        outer.section(&NestedComponentSection(&inner));
        for name in names {
            outer.section(&custom(name));
        }
        outer.finish()
    }

    #[test]
    fn custom_sections_go_at_any_depth_and_some_stay() {
        let whole = nested(&["name", "producers", ".debug_info", "component-name"]);
        assert_eq!(strip(&whole).unwrap(), nested(&["producers"]));
        assert_eq!(strip(&nested(&[])).unwrap(), nested(&[]));
    }

    #[test]
    fn bytes_that_are_cut_are_an_error() {
        let whole = nested(&["producers"]);
        for end in 0..whole.len() {
            // Some cuts leave a whole component behind; none may panic.
            let _ = strip(&whole[..end]);
        }
        assert!(strip(b"\0asm").is_err());
    }
}
