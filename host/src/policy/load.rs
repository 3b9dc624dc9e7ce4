//! The way from bytes to a policy that is ready to judge.

use pinfold_addr::Reason;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmtime::{
    Store,
    component::{Component, Instance, Linker},
};

use super::{
    Description, LoadError, Problem, Source,
    bindings::{Policy, PolicyPre, RawDescription, RawProblem},
    cache::{Cache, Key},
    compiled::{Compiler, Prepared, compile},
    engine::Engines,
    fault::{Fault, tidy},
    gate::{self, Surface},
    inert,
    limits::{
        self, Budget, CONFIGURE_TIME, DESCRIBE_TIME, Data, MESSAGE_BYTES, NAME_BYTES, PROBLEMS,
        RECONFIGURE_TIME, SCHEMA_BYTES, SUMMARY_BYTES,
    },
    maker::Maker,
    schema::Schema,
    settings::{Canonical, united},
    snapshot::Readable,
};
use crate::{Limits, PolicyRef};

/// A configured policy, proven to start.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) settings_digest: String,
    /// Whether it was given WASI that does nothing.
    pub(super) inert_wasi: bool,
    pub(super) maker: Maker,
}

impl Loaded {
    /// What decisions say of the policy that made them, where it is alone.
    pub(super) fn reference(&self, generation: u64) -> PolicyRef {
        PolicyRef {
            layer: None,
            name: self.name.clone(),
            digest: self.digest.clone(),
            settings_digest: self.settings_digest.clone(),
            generation,
            inert_wasi: self.inert_wasi,
        }
    }
}

/// What an operator chose for the policies of a guard.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    /// Where compiled code is kept.
    pub(crate) cache: Option<Cache>,
    /// Whether WASI that does nothing is granted.
    pub(crate) inert_wasi: bool,
    /// Whether each instance takes the settings, instead of beginning where one that took them ended.
    pub(crate) configure_each: bool,
}

impl Loading {
    /// Refuses what may not be loaded; says whether the component is to be given WASI that does nothing.
    pub(super) fn admit(&self, surface: &Surface) -> Result<bool, LoadError> {
        match self.inert_wasi {
            true => surface.admit_with_wasi(),
            false => surface.admit().map(|()| false),
        }
    }
}

/// What a policy is loaded with.
pub(super) struct Loader<'a> {
    pub(super) engines: &'a Engines,
    pub(super) limits: &'a Limits,
    pub(super) chosen: &'a Loading,
}

impl Loader<'_> {
    /// Loads a policy. Each step refuses with an error of its own, and nothing of the policy runs before
    /// it is known to import nothing.
    pub(super) fn load(&self, source: &Source, settings: Value) -> Result<Loaded, LoadError> {
        let bytes = source.read(self.limits.component_bytes)?;
        let digest = hex_digest(&bytes);
        let inert_wasi = self.chosen.admit(&Surface::read(&bytes)?)?;
        let settings = Canonical::new(settings, self.limits.settings_bytes)?;
        let settings_digest = hex_digest(settings.text.as_bytes());
        let compiler = self.compiler(&digest);
        let (name, maker) = match inert_wasi || self.chosen.configure_each {
            true => self.each(compiler, &bytes, settings, inert_wasi)?,
            false => self.frozen(compiler, &bytes, &settings, &settings_digest)?,
        };
        Ok(Loaded {
            name,
            digest,
            settings_digest,
            inert_wasi,
            maker,
        })
    }

    fn compiler<'a>(&'a self, digest: &'a str) -> Compiler<'a> {
        Compiler {
            cache: self.chosen.cache.as_ref(),
            digest,
            limits: self.limits,
        }
    }

    /// A policy whose instances begin where `configure` ended.
    fn frozen(
        &self,
        compiler: Compiler<'_>,
        bytes: &[u8],
        settings: &Canonical,
        settings_digest: &str,
    ) -> Result<(String, Maker), LoadError> {
        let key = Key::new(compiler.digest, settings_digest, &self.engines.deciding);
        match self.recall(compiler, &key) {
            Some(known) => Ok(known),
            None => self.make(compiler, bytes, settings, &key),
        }
    }

    /// A policy whose instances take the settings one by one, ahead of time where there is time. One that was
    /// given WASI cannot be frozen: the handles that it holds would lead nowhere in another instance.
    fn each(
        &self,
        compiler: Compiler<'_>,
        bytes: &[u8],
        settings: Canonical,
        inert_wasi: bool,
    ) -> Result<(String, Maker), LoadError> {
        let prepare = || compiler.plain(bytes, &self.engines.deciding, inert_wasi);
        let prepared = self.engines.plain.of(compiler.digest, prepare)?;
        let Prepared { pre, description } = &*prepared;
        let wrong = settings.problems(&description.settings_schema)?;
        let budget = Budget::of_setup(self.limits, CONFIGURE_TIME);
        agreed(wrong, configured(pre, budget, &settings.text).map(drop))?;
        let each = Budget::of_setup(self.limits, RECONFIGURE_TIME);
        let maker = Maker::new(pre.clone(), self.engines.budget(self.limits));
        let maker = proven(maker.configuring_each(settings.text, each))?;
        Ok((description.name.clone(), maker))
    }

    /// What an earlier load made of the same bytes and the same settings: the policy had accepted them.
    fn recall(&self, compiler: Compiler<'_>, key: &Key) -> Option<(String, Maker)> {
        let (component, name) = compiler.find(key, &self.engines.deciding)?;
        Some((name, self.prove(&component).ok()?))
    }

    /// The whole way.
    fn make(
        &self,
        compiler: Compiler<'_>,
        bytes: &[u8],
        settings: &Canonical,
        key: &Key,
    ) -> Result<(String, Maker), LoadError> {
        let readable = Readable::new(bytes);
        let prepare = || compiler.readable(&readable, &self.engines.configuring);
        let prepared = self.engines.readable.of(compiler.digest, prepare)?;
        let Prepared { pre, description } = &*prepared;
        let wrong = settings.problems(&description.settings_schema)?;
        let budget = Budget::of_setup(self.limits, CONFIGURE_TIME);
        // `describe` ran in another instance, so that nothing of it is in the snapshot.
        let configured = configured(pre, budget, &settings.text);
        let (mut store, instance) = agreed(wrong, configured)?;
        let frozen = readable.instrumented()?.freeze(&mut store, instance)?;
        let component = compile(&self.engines.deciding, &frozen)?;
        let maker = self.prove(&component)?;
        compiler.keep(key, &description.name, &component);
        Ok((description.name.clone(), maker))
    }

    /// Proves that the compiled policy starts.
    fn prove(&self, component: &Component) -> Result<Maker, LoadError> {
        component
            .initialize_copy_on_write_image()
            .map_err(|error| compile_failed(&error))?;
        proven(Maker::new(
            link(component)?,
            self.engines.budget(self.limits),
        ))
    }
}

/// Makes an instance, and throws it away.
fn proven(maker: Maker) -> Result<Maker, LoadError> {
    match maker.make() {
        // A full pool is the load of this moment, and says nothing about the policy.
        Err(fault) if fault.reason != Reason::PolicyBusy => {
            let machine = LoadError::of_machine(&fault.detail);
            Err(machine.unwrap_or(LoadError::SelfTest(fault.detail)))
        }
        _ => Ok(maker),
    }
}

/// The configured policy, when neither schema nor policy has anything against the settings. The policy
/// is asked also when the schema refuses: whoever mends settings wants to hear of everything at once.
fn agreed<T>(of_schema: Vec<Problem>, configured: Result<T, LoadError>) -> Result<T, LoadError> {
    match configured {
        Err(LoadError::Settings(of_policy)) => {
            Err(LoadError::Settings(united(of_schema, of_policy)))
        }
        _ if !of_schema.is_empty() => Err(LoadError::Settings(of_schema)),
        configured => configured,
    }
}

/// SHA-256, hex.
pub(super) fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Links a component to nothing.
pub(super) fn link(component: &Component) -> Result<PolicyPre<Data>, LoadError> {
    linked(&Linker::new(component.engine()), component)
}

/// Links a component to WASI that does nothing.
pub(super) fn link_inert(component: &Component) -> Result<PolicyPre<Data>, LoadError> {
    let mut linker = Linker::new(component.engine());
    inert::link(&mut linker, component).map_err(|e| gate::wrong_world(tidy_error(&e)))?;
    linked(&linker, component)
}

fn linked(linker: &Linker<Data>, component: &Component) -> Result<PolicyPre<Data>, LoadError> {
    let linked = linker.instantiate_pre(component);
    linked
        .and_then(PolicyPre::new)
        .map_err(|e| gate::wrong_world(tidy_error(&e)))
}

/// The component is valid, but there is no code for it.
pub(super) fn compile_failed(error: &wasmtime::Error) -> LoadError {
    let problem = tidy_error(error);
    LoadError::of_machine(&problem).unwrap_or(LoadError::Compile(problem))
}

/// Hears what a policy says of itself, in an instance made for that.
pub(super) fn describe(pre: &PolicyPre<Data>, limits: &Limits) -> Result<Description, LoadError> {
    let budget = Budget::of_setup(limits, DESCRIBE_TIME);
    let (mut store, policy) = start(pre, budget)?;
    let answer = policy.pinfold_policy_settings().call_describe(&mut store);
    let raw = answer.map_err(|error| {
        let fault = Fault::of(&error, store.data());
        LoadError::Describe(format!("{}: {}", fault.reason, fault.detail))
    })?;
    description(raw)
}

fn description(raw: RawDescription) -> Result<Description, LoadError> {
    for (what, text, limit) in [
        ("name", &raw.name, NAME_BYTES),
        ("version", &raw.version, NAME_BYTES),
        ("summary", &raw.summary, SUMMARY_BYTES),
        ("schema", &raw.settings_schema, SCHEMA_BYTES),
    ] {
        if text.len() > limit {
            let size = text.len();
            return Err(LoadError::Describe(format!(
                "{what}: {size} octets, at most {limit}"
            )));
        }
    }
    if !is_name(&raw.name) {
        let name = tidy(&raw.name, NAME_BYTES);
        return Err(LoadError::Describe(format!(
            "`{name}` is no kebab-case name"
        )));
    }
    let schema = serde_json::from_str(&raw.settings_schema)
        .map_err(|e| LoadError::Describe(format!("the schema is no JSON: {e}")))?;
    Schema::read(&schema)?;
    Ok(Description {
        version: tidy(&raw.version, NAME_BYTES),
        summary: tidy(&raw.summary, SUMMARY_BYTES),
        name: raw.name,
        settings_schema: schema,
    })
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.bytes().all(plain)
}

/// A fresh instance that took its settings.
fn configured(
    pre: &PolicyPre<Data>,
    budget: Budget,
    json: &str,
) -> Result<(Store<Data>, Instance), LoadError> {
    let mut store = limits::store(pre.engine(), budget);
    let started = pre.instance_pre().instantiate(&mut store);
    let instance = started.map_err(|e| configure_failed(Fault::of_start(&e, store.data())))?;
    let policy =
        Policy::new(&mut store, &instance).map_err(|e| gate::wrong_world(tidy_error(&e)))?;
    limits::restart_clock(&mut store);
    match policy
        .pinfold_policy_settings()
        .call_configure(&mut store, json)
    {
        Ok(Ok(())) => Ok((store, instance)),
        Ok(Err(problems)) => Err(LoadError::Settings(problems_of(problems))),
        Err(error) => Err(configure_failed(Fault::of(&error, store.data()))),
    }
}

fn configure_failed(fault: Fault) -> LoadError {
    if let Some(machine) = LoadError::of_machine(&fault.detail) {
        return machine;
    }
    match fault.reason {
        Reason::PolicyMemory => LoadError::ConfigureMemory(fault.detail),
        Reason::PolicyTimeout => LoadError::ConfigureTimeout(fault.detail),
        _ => LoadError::ConfigureTrapped(fault.detail),
    }
}

fn problems_of(raw: Vec<RawProblem>) -> Vec<Problem> {
    let problem = |path: &str, message: &str| Problem {
        path: tidy(path, MESSAGE_BYTES),
        message: tidy(message, MESSAGE_BYTES),
    };
    if raw.is_empty() {
        return vec![problem(
            "",
            "the policy refuses the settings and does not say why",
        )];
    }
    raw.iter()
        .take(PROBLEMS)
        .map(|raw| problem(&raw.path, &raw.message))
        .collect()
}

/// Makes the first instance ever of a policy. Here it shows whether its functions have the types of
/// the contract.
fn start(pre: &PolicyPre<Data>, budget: Budget) -> Result<(Store<Data>, Policy), LoadError> {
    let mut store = limits::store(pre.engine(), budget);
    let instance = pre
        .instance_pre()
        .instantiate(&mut store)
        .map_err(|error| {
            let fault = Fault::of_start(&error, store.data());
            LoadError::of_machine(&fault.detail).unwrap_or_else(|| {
                LoadError::Describe(format!(
                    "it does not start: {}: {}",
                    fault.reason, fault.detail
                ))
            })
        })?;
    let policy = Policy::new(&mut store, &instance)
        .map_err(|error| gate::wrong_world(tidy_error(&error)))?;
    limits::restart_clock(&mut store);
    Ok((store, policy))
}

fn tidy_error(error: &wasmtime::Error) -> String {
    tidy(&format!("{error:#}"), MESSAGE_BYTES)
}
