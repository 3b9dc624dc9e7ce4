//! Turns a core module into a component: `encode MODULE COMPONENT [WIT]`.
//!
//! A module built with the Rust SDK says itself which world it implements. For one that does not (C
//! without wit-bindgen's object file), `WIT` is the folder of the package, whose only world it is.

use std::{env, fs};

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let (module, component, wit) = match words.as_slice() {
        [module, component] => (module, component, None),
        [module, component, wit] => (module, component, Some(wit)),
        _ => bail!("usage: encode MODULE COMPONENT [WIT]"),
    };
    let mut bytes = fs::read(module).with_context(|| format!("cannot read `{module}`"))?;
    if let Some(wit) = wit {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit)?;
        let world = resolve.select_world(&[package], None)?;
        embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)?;
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)?
        .encode()
        .with_context(|| format!("`{module}` is no component of its world"))?;
    fs::write(component, encoded).with_context(|| format!("cannot write `{component}`"))
}
