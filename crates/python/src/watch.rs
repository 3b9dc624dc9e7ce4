//! Swaps when files change.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pinfold::{
    Guard,
    policy::{self, LoadError, Problem, Source, Watch, WatchEvent, settings_from_json},
};
use pyo3::prelude::*;
use serde_json::Value;

use crate::{
    ending, errors,
    forking::LOADING,
    guard::swap_one,
    layers::{Given, Layers},
    local::Local,
};

const EMPTIED: &str =
    "the file says nothing any more: to lift all rules, swap them for `{}` in the program";

/// Watches files while it lives.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Watcher(Mutex<Option<Local<policy::Watcher>>>);

#[pymethods]
impl Watcher {
    /// Stops, and waits for a swap that is under way.
    fn stop(&self, py: Python<'_>) {
        let watcher = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread it waits for may want the interpreter.
        ending::detach(py, || drop(watcher));
    }
}

impl Drop for Watcher {
    /// As `stop`, but on another thread: whoever collects garbage holds the interpreter.
    fn drop(&mut self) {
        let watcher = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            std::thread::spawn(|| drop(watcher));
        }
    }
}

/// What is watched, and for which policy.
pub(crate) struct Watched {
    pub(crate) guard: Guard,
    pub(crate) layers: Layers,
    /// The layer.
    pub(crate) name: String,
    /// The file of its component; none: that stays as it is.
    pub(crate) policy: Option<PathBuf>,
    /// The file of its settings; none: they stay as they are.
    pub(crate) settings: Option<PathBuf>,
}

/// Starts watching. What the files hold now is loaded at once if it is not what is loaded.
pub(crate) fn start(
    py: Python<'_>,
    watched: Watched,
    interval: Duration,
    told: Py<PyAny>,
    again: bool,
) -> PyResult<Watcher> {
    // Before the files are read: a change that comes later is seen.
    let watch = watched.watch().interval(interval);
    let first = ending::detach(py, || {
        let (source, settings) = watch.read()?;
        watched.swap_if_new(source, settings)
    });
    match first {
        Ok(None) => {}
        Ok(Some(generation)) => tell(py, &told, WatchEvent::Swapped { generation }),
        Err(error) if again => tell(py, &told, WatchEvent::Kept { error }),
        Err(error) => return Err(errors::not_loaded(&error)),
    }
    let swap = move |source, settings| watched.swap(source, settings);
    let watcher = watch.start(swap, move |event| {
        // None while the interpreter ends: then nobody listens.
        let _ = ending::attach(|py| tell(py, &told, event));
    });
    let watcher = watcher.map_err(|error| errors::not_loaded(&error))?;
    Ok(Watcher(Mutex::new(Some(Local::new(watcher)))))
}

impl Watched {
    fn watch(&self) -> Watch {
        let watch = match &self.policy {
            Some(path) => Watch::policy(path),
            None => Watch::shipped(),
        };
        match &self.settings {
            Some(path) if is_toml(path) => watch.settings(path).parse(from_toml),
            Some(path) => watch.settings(path),
            None => watch,
        }
    }

    fn swap(&self, source: Source, settings: Value) -> Result<u64, LoadError> {
        let _loading = LOADING.pass();
        swap_one(&self.guard, &self.layers, self.given(source, &settings)?)
    }

    fn swap_if_new(&self, source: Source, settings: Value) -> Result<Option<u64>, LoadError> {
        let _loading = LOADING.pass();
        let given = self.given(source, &settings)?;
        let is_loaded = self.layers.named(&self.name).is_some_and(|loaded| {
            let same = |one: &Given, other: &Given| one.document().ok() == other.document().ok();
            loaded.component == given.component && same(&loaded, &given)
        });
        match is_loaded {
            true => Ok(None),
            false => swap_one(&self.guard, &self.layers, given).map(Some),
        }
    }

    /// What is read, and for the rest what is loaded.
    fn given(&self, source: Source, settings: &Value) -> Result<Given, LoadError> {
        let loaded = self.layers.named(&self.name);
        let loaded = loaded.ok_or_else(|| self.unknown())?;
        self.require_whole(settings, &loaded)?;
        Ok(Given {
            component: match source {
                Source::Bytes(bytes) => Some(bytes),
                _ => loaded.component,
            },
            settings: match self.settings {
                Some(_) => settings.to_string(),
                None => loaded.settings,
            },
            name: loaded.name,
        })
    }

    /// The beginning of a TOML file is TOML as well: one that is about to be written anew says nothing, and must not lift
    /// what was there.
    fn require_whole(&self, settings: &Value, loaded: &Given) -> Result<(), LoadError> {
        let lost = self.settings.as_deref().is_some_and(is_toml)
            && says_nothing(settings)
            && !says_nothing(&loaded.document()?);
        match lost {
            true => Err(LoadError::Settings(vec![problem(EMPTIED.into())])),
            false => Ok(()),
        }
    }

    fn unknown(&self) -> LoadError {
        let names = self.layers.all().into_iter().map(|given| given.name);
        LoadError::UnknownLayer {
            layer: self.name.clone(),
            known: names.collect(),
        }
    }
}

/// Reads TOML, with Python's parser.
fn from_toml(text: &str) -> Result<Value, Problem> {
    let read = ending::attach(|py| {
        let read = py
            .import("pinfold._documents")?
            .call_method1("json_of_toml", (text,))?;
        read.extract::<String>()
    });
    match read {
        Some(Ok(json)) => settings_from_json(&json),
        Some(Err(error)) => Err(problem(error.to_string())),
        None => Err(problem("the interpreter ends".into())),
    }
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "toml")
}

/// Whether there is no setting in it, be there tables or not.
fn says_nothing(settings: &Value) -> bool {
    let table = settings.as_object();
    table.is_some_and(|table| table.values().all(says_nothing))
}

fn problem(message: String) -> Problem {
    Problem {
        path: String::new(),
        message,
    }
}

fn tell(py: Python<'_>, told: &Py<PyAny>, event: WatchEvent) {
    let called = match event {
        WatchEvent::Swapped { generation } => told.call1(py, (generation, py.None())),
        WatchEvent::Kept { error } => told.call1(py, (py.None(), errors::not_loaded(&error))),
        _ => return,
    };
    if let Err(error) = called {
        error.write_unraisable(py, None);
    }
}
