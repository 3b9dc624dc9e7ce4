//! The machine code of a component: kept on disk by an earlier load, or made now.
//!
//! Two forms of a component have no settings in them, and so serve all settings: the one that is *readable*,
//! which is configured and frozen, and the one that is *plain*, whose instances are configured one by one. What
//! is frozen has the settings in it, and is compiled once for each.

use std::fmt;

use wasmtime::{Engine, component::Component};

use super::{
    Cache, Description, LoadError,
    bindings::PolicyPre,
    cache::Key,
    limits::Data,
    load::{self, describe, link, link_inert},
    snapshot::Readable,
};
use crate::Limits;

/// Finds or makes the code of one component.
#[derive(Clone, Copy)]
pub(super) struct Compiler<'a> {
    pub(super) cache: Option<&'a Cache>,
    /// Of the component as it came.
    pub(super) digest: &'a str,
    pub(super) limits: &'a Limits,
}

/// A policy that has described itself and waits for settings.
pub(super) struct Prepared {
    pub(super) pre: PolicyPre<Data>,
    pub(super) description: Description,
}

impl Compiler<'_> {
    /// The form that is configured and frozen.
    pub(super) fn readable(
        &self,
        component: &Readable<'_>,
        engine: &Engine,
    ) -> Result<Prepared, LoadError> {
        let make = || compile(engine, &component.instrumented()?.bytes);
        self.prepared(&Key::new(self.digest, READABLE, engine), engine, make, link)
    }

    /// The component as it is, given WASI that does nothing or nothing at all.
    pub(super) fn plain(
        &self,
        bytes: &[u8],
        engine: &Engine,
        inert_wasi: bool,
    ) -> Result<Prepared, LoadError> {
        let key = Key::new(self.digest, UNCONFIGURED, engine);
        let link = match inert_wasi {
            true => link_inert,
            false => link,
        };
        self.prepared(&key, engine, || compile(engine, bytes), link)
    }

    /// What was compiled is kept when the policy has described itself well: one that is refused leaves
    /// nothing behind.
    fn prepared(
        &self,
        key: &Key,
        engine: &Engine,
        make: impl FnOnce() -> Result<Component, LoadError>,
        link: fn(&Component) -> Result<PolicyPre<Data>, LoadError>,
    ) -> Result<Prepared, LoadError> {
        let known = self.find(key, engine).map(|(component, _)| component);
        let is_new = known.is_none();
        let component = known.map_or_else(make, Ok)?;
        let pre = link(&component)?;
        let description = describe(&pre, self.limits)?;
        if is_new {
            self.keep(key, "", &component);
        }
        Ok(Prepared { pre, description })
    }

    /// What is kept under this key, and the name of the policy that is kept with it.
    pub(super) fn find(&self, key: &Key, engine: &Engine) -> Option<(Component, String)> {
        let entry = self.cache?.find(key)?;
        Some((entry.revive(engine)?, entry.name()?.to_owned()))
    }

    /// Keeps code, where it is to be kept.
    pub(super) fn keep(&self, key: &Key, name: &str, component: &Component) {
        if let Some(cache) = self.cache
            && let Ok(code) = component.serialize()
        {
            cache.keep(key, name, &code);
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("name", &self.description.name)
            .finish_non_exhaustive()
    }
}

/// Compiles a component: what takes seconds where it is an interpreter.
pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, LoadError> {
    #[cfg(test)]
    COMPILED.set(COMPILED.get() + 1);
    Component::new(engine, bytes).map_err(|error| load::compile_failed(&error))
}

/// In the key of compiled code, in the place of settings: there are none in it.
const UNCONFIGURED: &str = "unconfigured";
/// The same, and its memory can be read.
const READABLE: &str = "readable";

#[cfg(test)]
thread_local! {
    /// How many components were compiled on this thread.
    pub(super) static COMPILED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
