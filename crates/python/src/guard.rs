//! The guard.

use std::{path::PathBuf, sync::Arc};

use pinfold::{
    Observer,
    policy::{Layer, LoadError},
    record::Mode,
    resolve::Dns,
};
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyDict};

use crate::{
    asking::Asking,
    decision::Decision,
    ending, errors,
    forking::LOADING,
    layers::{Given, Layers, Part},
    limits,
    local::Local,
    resolver::FixedAnswers,
    runtime::{self, Threads},
    session::Session,
    watch::{self, Watched, Watcher},
};

/// The guard.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Guard {
    inner: Local<Inner>,
    /// A forked child reads it.
    layers: Layers,
}

struct Inner {
    guard: pinfold::Guard,
    threads: Threads,
    mode: Mode,
}

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
        let given: Vec<Given> = layers.into_iter().map(Given::new).collect();
        let options = Options::read(options)?;
        let mode = options.mode;
        let threads = Threads::start()?;
        let mut builder = options.builder();
        if let Some(observer) = observer {
            builder = builder.observer(Told(observer));
        }
        for layer in read(&given).map_err(|error| errors::not_loaded(&error))? {
            builder = builder.layer(layer);
        }
        let built = ending::detach(py, || {
            let _loading = LOADING.pass();
            builder.build()
        });
        let guard = built.map_err(|error| errors::not_loaded(&error))?;
        let inner = Inner {
            guard,
            threads,
            mode,
        };
        Ok(Self {
            inner: Local::new(inner),
            layers: Layers::new(given),
        })
    }

    /// Begins a request.
    #[pyo3(signature = (subject = None, labels = Vec::new(), mode = None))]
    fn session(
        &self,
        subject: Option<String>,
        labels: Vec<(String, String)>,
        mode: Option<&str>,
    ) -> PyResult<Session> {
        let inner = self.inner.get()?;
        let mode = mode.map_or(Ok(inner.mode), |mode| {
            read_mode(mode).map_err(|why| errors::no_option("mode", &why, hint("mode")))
        })?;
        let session = inner.guard.session().in_mode(mode);
        let asking = Asking::new(subject, labels);
        let threads = inner.threads.clone();
        Ok(Session::new(inner.guard.clone(), session, asking, threads))
    }

    /// Replaces one policy (`None`: the first), and returns the new generation.
    #[pyo3(signature = (name, component, settings))]
    fn swap(
        &self,
        py: Python<'_>,
        name: Option<String>,
        component: Option<Vec<u8>>,
        settings: String,
    ) -> PyResult<u64> {
        let guard = &self.inner.get()?.guard;
        let swapped = ending::detach(py, || {
            let _loading = LOADING.pass();
            let name = name.unwrap_or_else(|| self.layers.first());
            let given = Given::new((name, component, settings));
            swap_one(guard, &self.layers, given)
        });
        swapped.map_err(|error| errors::not_loaded(&error))
    }

    /// Replaces all policies, and returns the new generation.
    fn swap_layers(&self, py: Python<'_>, layers: Vec<Part>) -> PyResult<u64> {
        let guard = &self.inner.get()?.guard;
        let given: Vec<Given> = layers.into_iter().map(Given::new).collect();
        let swapped = ending::detach(py, || {
            let _loading = LOADING.pass();
            let generation = guard.swap_layers(read(&given)?)?;
            self.layers.replace(given);
            Ok(generation)
        });
        swapped.map_err(|error: LoadError| errors::not_loaded(&error))
    }

    /// Replaces one policy (`None`: the first) whenever the files change, and at once where they differ from what is
    /// loaded. `told(generation, error)` hears of it: one of both is `None`. `again`: an error at once is told, not raised.
    #[pyo3(signature = (layer, policy, settings, interval, told, again = false))]
    #[expect(clippy::too_many_arguments, reason = "they are those of Python")]
    fn watch(
        &self,
        py: Python<'_>,
        layer: Option<String>,
        policy: Option<PathBuf>,
        settings: Option<PathBuf>,
        interval: f64,
        told: Py<PyAny>,
        again: bool,
    ) -> PyResult<Watcher> {
        let watched = Watched {
            guard: self.inner.get()?.guard.clone(),
            name: layer.unwrap_or_else(|| self.layers.first()),
            layers: self.layers.clone(),
            policy,
            settings,
        };
        watch::start(py, watched, limits::duration(interval)?, told, again)
    }

    /// What is loaded, as it was given; of use in a forked child, too.
    fn layers(&self) -> Vec<Part> {
        self.layers.all().iter().map(Given::part).collect()
    }

    /// The policies that are active, in the order in which they are asked, as JSON.
    fn policies(&self) -> PyResult<String> {
        serde_json::to_string(&self.inner.get()?.guard.policies()).map_err(errors::argument)
    }

    /// Generation of the active policies.
    #[getter]
    fn generation(&self) -> PyResult<u64> {
        Ok(*self.inner.get()?.guard.generation().borrow())
    }

    /// What this machine lacks to run policies at full speed, and what to do about it.
    fn fallbacks(&self) -> PyResult<Vec<(String, &'static str)>> {
        let fallbacks = self.inner.get()?.guard.fallbacks().iter();
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
        let taken = match name {
            "dns" => each(value).map(|dns| self.dns = dns),
            "answers" => value
                .extract()
                .map(|answers| self.answers = Some(answers))
                .map_err(PyErr::from),
            "grants" => each(value).map(|grants| self.grants = grants),
            "listeners" => each(value).map(|listeners| self.listeners = listeners),
            "nat64" => each(value).map(|nat64| self.nat64 = nat64),
            "limits" => limits::read(value.cast()?).map(|limits| self.limits = limits),
            "code_cache" => value.extract().map(|dir| self.code_cache = Some(dir)),
            "inert_wasi" => value.extract().map(|inert| self.inert_wasi = inert),
            "configure_each" => value.extract().map(|each| self.configure_each = each),
            "mode" => value.extract().and_then(|mode: String| {
                self.mode = read_mode(&mode).map_err(errors::argument)?;
                Ok(())
            }),
            _ => Err(errors::argument("is no option of a guard")),
        };
        taken.map_err(|error| not_taken(value.py(), name, error))
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

fn read_mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "report" => Ok(Mode::Report),
        "report-names" => Ok(Mode::ReportNames),
        _ => Err(format!("`{text}` is no mode")),
    }
}

/// A value that is wrong is the operator's mistake; one of the wrong type is the programmer's.
fn not_taken(py: Python<'_>, name: &str, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyTypeError>(py) {
        return PyTypeError::new_err(format!("`{name}`: {}", error.value(py)));
    }
    errors::no_option(name, &error.value(py).to_string(), hint(name))
}

const fn hint(option: &str) -> &'static str {
    match option.as_bytes() {
        b"dns" => "name DNS servers by address, such as `192.0.2.53` or `192.0.2.53:5353`",
        b"grants" => {
            "grant an address or a network, with or without a port: `10.0.0.5:5432`, `[fd00::/64]:443`"
        }
        b"listeners" => {
            "name the sockets of this service by address and port, such as `192.0.2.1:8080`"
        }
        b"nat64" => "name prefixes such as `2001:db8:64::/96`",
        b"limits" => "times are positive seconds, everything else whole numbers",
        b"mode" => "it is `enforce`, `report` or `report-names`",
        _ => "see `help(pinfold.Guard)`",
    }
}

fn read(given: &[Given]) -> Result<Vec<Layer>, LoadError> {
    given.iter().map(Given::layer).collect()
}

/// Replaces one policy, behind the gate of loading.
pub(crate) fn swap_one(
    guard: &pinfold::Guard,
    layers: &Layers,
    given: Given,
) -> Result<u64, LoadError> {
    let generation = guard.swap_layer(&given.name, given.source(), given.document()?)?;
    layers.replace_one(given);
    Ok(generation)
}

/// Tells Python.
struct Told(Py<PyAny>);

impl Observer for Told {
    fn observe(&self, decision: &Arc<pinfold::Decision>) {
        // None while the interpreter ends: then nobody listens.
        let _ = ending::attach(|py| {
            // A pin may be dropped in the middle of an exception, which Python code must not meet.
            let pending = PyErr::take(py);
            let told =
                runtime::telling(|| self.0.call1(py, (Decision::new(Arc::clone(decision)),)));
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}
