//! Configures a policy once and freezes the result.
//!
//! The component is instrumented so that its memory and globals can be read from outside, run up to
//! the end of `configure`, and rewritten with what was read as its initial state. An instance of the
//! result begins where `configure` ended, and parses nothing.

use std::{
    cell::OnceCell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use wasmtime::{
    Result, Store,
    component::{ComponentNamedList, Instance, Lift, TypedFunc, WasmList},
    error::Context as _,
};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::{
    LoadError,
    fault::tidy,
    limits::{Data, MESSAGE_BYTES, make_room_to_read, restart_clock},
};

/// A component that is made readable when it is first wanted so: code for it may be known already, and
/// settings that are refused are never frozen.
pub(super) struct Readable<'a> {
    component: &'a [u8],
    instrumented: OnceCell<Instrumented<'a>>,
}

impl<'a> Readable<'a> {
    /// It must have been validated before: the tool expects nothing that a policy may not have.
    pub(super) fn new(component: &'a [u8]) -> Self {
        Self {
            component,
            instrumented: OnceCell::new(),
        }
    }

    /// The component, made readable.
    pub(super) fn instrumented(&self) -> Result<&Instrumented<'a>, LoadError> {
        if let Some(known) = self.instrumented.get() {
            return Ok(known);
        }
        let made = Instrumented::new(self.component)?;
        Ok(self.instrumented.get_or_init(|| made))
    }
}

/// A component made readable.
pub(super) struct Instrumented<'a> {
    cx: ComponentContext<'a>,
    /// The component to instantiate and configure.
    pub(super) bytes: Vec<u8>,
}

impl<'a> Instrumented<'a> {
    fn new(component: &'a [u8]) -> Result<Self, LoadError> {
        let (cx, bytes) = shielded(|| wizer().instrument_component(component))?;
        Ok(Self { cx, bytes })
    }

    /// The component, frozen in the state of this configured instance of it.
    pub(super) fn freeze(
        &self,
        store: &mut Store<Data>,
        instance: Instance,
    ) -> Result<Vec<u8>, LoadError> {
        make_room_to_read(store);
        let mut reader = Reader {
            store,
            instance,
            memories: HashMap::new(),
            failed: None,
        };
        let frozen =
            shielded(|| pollster::block_on(wizer().snapshot_component(&self.cx, &mut reader)));
        match reader.failed {
            Some(error) => Err(unsupported(&error)),
            None => frozen,
        }
    }
}

/// `configure` stays exported: taking it away makes the component invalid. Nobody calls it later.
fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    wizer
}

/// The tool asserts what it expects of a component. A policy that does not meet it is refused like
/// any other; it does not end the process.
fn shielded<T>(run: impl FnOnce() -> Result<T>) -> Result<T, LoadError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| unsupported(&error)),
        Err(_) => Err(LoadError::Snapshot(
            "it has a shape that the snapshot does not know".into(),
        )),
    }
}

fn unsupported(error: &wasmtime::Error) -> LoadError {
    let problem = tidy(&format!("{error:#}"), MESSAGE_BYTES);
    LoadError::of_machine(&problem).unwrap_or(LoadError::Snapshot(problem))
}

/// Reads memory and globals of an instance through the functions that instrumentation added.
///
/// The tool has no way to hear of an error, so that the first one is kept here and an empty value
/// handed over; whatever the tool makes of it is thrown away.
struct Reader<'a> {
    store: &'a mut Store<Data>,
    instance: Instance,
    /// Memory is read twice, and each reading would grow it.
    memories: HashMap<String, Vec<u8>>,
    failed: Option<wasmtime::Error>,
}

impl Reader<'_> {
    fn read<T: Default>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> T {
        read(self).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            T::default()
        })
    }

    fn call<R: Lift + 'static>(&mut self, instance: &str, function: &str) -> Result<R> {
        let function = self.function::<(R,)>(instance, function)?;
        restart_clock(self.store);
        Ok(function.call(&mut *self.store, ())?.0)
    }

    fn function<R>(&mut self, instance: &str, function: &str) -> Result<TypedFunc<(), R>>
    where
        R: ComponentNamedList + Lift + 'static,
    {
        let outer = self
            .instance
            .get_export_index(&mut *self.store, None, instance);
        let outer = outer.context("the instrumented component has no accessors")?;
        let inner = self
            .instance
            .get_export_index(&mut *self.store, Some(&outer), function);
        let inner = inner.context("the instrumented component lacks an accessor")?;
        self.instance.get_typed_func(&mut *self.store, inner)
    }

    fn memory(&mut self, instance: &str, function: &str) -> Result<Vec<u8>> {
        let list: WasmList<u8> = self
            .call(instance, function)
            .context("its memory has no page of room between what it uses and its maximum")?;
        Ok(list.as_le_slice(&*self.store).to_vec())
    }
}

impl ComponentInstanceState for Reader<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if !self.memories.contains_key(func) {
            let memory = self.read(|reader| reader.memory(instance, func));
            self.memories.insert(func.into(), memory);
        }
        contents(self.memories.get(func).map_or(&[], Vec::as_slice));
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(|reader| reader.call(instance, func))
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(|reader| reader.call(instance, func))
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.read(|reader| reader.call::<f32>(instance, func))
            .to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.read(|reader| reader.call::<f64>(instance, func))
            .to_bits()
    }
}
