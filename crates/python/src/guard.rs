//! The guard.

use std::{path::PathBuf, sync::Arc, time::Duration};

use pinfold::{
    Observer,
    policy::{Layer, Source, Watch, settings_from_json},
    record::Mode,
    resolve::Dns,
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    asking::Asking, decision::Decision, errors, limits, loading::Loading, local::Local,
    resolver::FixedAnswers, runtime::Threads, session::Session, watch, watch::Watcher,
};

/// The guard.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Guard(Local<Inner>);

struct Inner {
    guard: pinfold::Guard,
    threads: Threads,
    mode: Mode,
}

/// A policy of a chain: name, component (none: the shipped one), settings as JSON.
type Part = (String, Option<Vec<u8>>, String);

#[pymethods]
impl Guard {
    /// Loads policies and makes a guard.
    ///
    /// `layers`: name, component (`None`: the shipped one) and settings as JSON of each. `options`: what differs from the
    /// defaults: `dns`, `answers`, `grants`, `listeners`, `nat64`, `limits`, `code_cache`, `inert_wasi`,
    /// `configure_each`, `mode`. `observer(decision)` hears of each decision.
    #[new]
    #[pyo3(signature = (layers, options, observer = None))]
    fn new(
        py: Python<'_>,
        layers: Vec<Part>,
        options: &Bound<'_, PyDict>,
        observer: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let layers = read_layers(layers)?;
        let options = Options::read(options)?;
        let mode = options.mode;
        let threads = Threads::start()?;
        let mut builder = options.builder();
        if let Some(observer) = observer {
            builder = builder.observer(Told(observer));
        }
        for layer in layers {
            builder = builder.layer(layer);
        }
        let built = py.detach(|| {
            let _loading = Loading::begin();
            builder.build()
        });
        let guard = built.map_err(|error| errors::not_loaded(&error))?;
        Ok(Self(Local::new(Inner {
            guard,
            threads,
            mode,
        })))
    }

    /// Begins a request.
    #[pyo3(signature = (subject = None, labels = Vec::new(), mode = None))]
    fn session(
        &self,
        subject: Option<String>,
        labels: Vec<(String, String)>,
        mode: Option<&str>,
    ) -> PyResult<Session> {
        let inner = self.0.get()?;
        let mode = mode.map_or(Ok(inner.mode), read_mode)?;
        let session = inner.guard.session().in_mode(mode);
        let asking = Asking::new(subject, labels);
        let threads = inner.threads.clone();
        Ok(Session::new(inner.guard.clone(), session, asking, threads))
    }

    /// Replaces all policies, and returns the new generation.
    fn swap(&self, py: Python<'_>, layers: Vec<Part>) -> PyResult<u64> {
        let inner = self.0.get()?;
        let layers = read_layers(layers)?;
        let swapped = py.detach(|| {
            let _loading = Loading::begin();
            inner.guard.swap_layers(layers)
        });
        swapped.map_err(|error| errors::not_loaded(&error))
    }

    /// Replaces the policy of one layer whenever the files change. `told(generation, error, component, settings)` hears of
    /// it: generation, component and settings when it was replaced, the error otherwise.
    #[pyo3(signature = (layer, policy, settings, fixed, interval, told))]
    fn watch(
        &self,
        layer: String,
        policy: Option<PathBuf>,
        settings: Option<PathBuf>,
        fixed: &str,
        interval: f64,
        told: Py<PyAny>,
    ) -> PyResult<Watcher> {
        let inner = self.0.get()?;
        let watch = files(policy, settings, fixed, limits::duration(interval)?)?;
        watch::start(watch, inner.guard.clone(), layer, told)
    }

    /// The policies that are active, in the order in which they are asked, as JSON.
    fn policies(&self) -> PyResult<String> {
        serde_json::to_string(&self.0.get()?.guard.policies()).map_err(errors::argument)
    }

    /// Generation of the active policies.
    #[getter]
    fn generation(&self) -> PyResult<u64> {
        Ok(*self.0.get()?.guard.generation().borrow())
    }

    /// What this machine lacks to run policies at full speed, and what to do about it.
    fn fallbacks(&self) -> PyResult<Vec<(String, &'static str)>> {
        let fallbacks = self.0.get()?.guard.fallbacks().iter();
        Ok(fallbacks
            .map(|fallback| (fallback.to_string(), fallback.hint()))
            .collect())
    }
}

/// What an operator may choose.
#[derive(Default)]
struct Options {
    dns: Vec<std::net::SocketAddr>,
    answers: Option<FixedAnswers>,
    grants: Vec<pinfold::Grant>,
    listeners: Vec<std::net::SocketAddr>,
    nat64: Vec<ipnet::Ipv6Net>,
    limits: pinfold::Limits,
    code_cache: Option<PathBuf>,
    inert_wasi: bool,
    configure_each: bool,
    mode: Mode,
}

impl Options {
    fn read(table: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut options = Self::default();
        for (name, value) in table.iter() {
            options.set(&name.extract::<String>()?, &value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match name {
            "dns" => self.dns = each(value)?,
            "answers" => self.answers = Some(value.cast::<FixedAnswers>()?.get().clone()),
            "grants" => self.grants = each(value)?,
            "listeners" => self.listeners = each(value)?,
            "nat64" => self.nat64 = each(value)?,
            "limits" => self.limits = limits::read(Some(value.cast::<PyDict>()?))?,
            "code_cache" => self.code_cache = Some(value.extract()?),
            "inert_wasi" => self.inert_wasi = value.extract()?,
            "configure_each" => self.configure_each = value.extract()?,
            "mode" => self.mode = read_mode(&value.extract::<String>()?)?,
            _ => {
                return Err(errors::argument(format!(
                    "`{name}` is no option of a guard"
                )));
            }
        }
        Ok(())
    }

    fn builder(self) -> pinfold::GuardBuilder {
        let mut builder = pinfold::Guard::builder()
            .grants(self.grants)
            .listeners(self.listeners)
            .nat64(self.nat64)
            .limits(self.limits)
            .inert_wasi(self.inert_wasi)
            .configure_each(self.configure_each);
        if let Some(dir) = self.code_cache {
            builder = builder.code_cache(dir);
        }
        match self.answers {
            Some(answers) => builder.resolver(answers),
            None if self.dns.is_empty() => builder,
            None => builder.resolver(Dns::servers(self.dns)),
        }
    }
}

/// Texts, each read.
fn each<T>(value: &Bound<'_, PyAny>) -> PyResult<Vec<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let texts: Vec<String> = value.extract()?;
    let read = texts.iter().map(|text| {
        let named = |error| errors::argument(format!("`{text}`: {error}"));
        text.parse().map_err(named)
    });
    read.collect()
}

fn read_mode(text: &str) -> PyResult<Mode> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "report" => Ok(Mode::Report),
        "report-names" => Ok(Mode::ReportNames),
        _ => Err(errors::argument(format!(
            "`{text}` is no mode: it is `enforce`, `report` or `report-names`"
        ))),
    }
}

fn read_layers(parts: Vec<Part>) -> PyResult<Vec<Layer>> {
    let layer = |(name, component, settings): Part| {
        let source = component.map_or(Source::Shipped, |bytes| Source::Bytes(bytes.into()));
        Ok(Layer::new(name, source).settings(read_settings(&settings)?))
    };
    parts.into_iter().map(layer).collect()
}

fn read_settings(json: &str) -> PyResult<serde_json::Value> {
    settings_from_json(json)
        .map_err(|problem| errors::not_loaded(&pinfold::policy::LoadError::Settings(vec![problem])))
}

fn files(
    policy: Option<PathBuf>,
    settings: Option<PathBuf>,
    fixed: &str,
    interval: Duration,
) -> PyResult<Watch> {
    let watch = match policy {
        Some(path) => Watch::policy(path),
        None => Watch::shipped(),
    };
    let watch = match settings {
        Some(path) => watch.settings(path),
        None => watch.fixed_settings(read_settings(fixed)?),
    };
    Ok(watch.interval(interval))
}

/// Tells Python.
struct Told(Py<PyAny>);

impl Observer for Told {
    fn observe(&self, decision: &Arc<pinfold::Decision>) {
        // None while the interpreter ends: then nobody listens.
        let _ = Python::try_attach(|py| {
            let told = self.0.call1(py, (Decision::new(Arc::clone(decision)),));
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        });
    }
}
