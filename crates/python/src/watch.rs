//! Swaps when files change.

use std::sync::{Arc, Mutex, PoisonError};

use pinfold::{
    Guard,
    policy::{self, Source, Watch, WatchEvent},
};
use pyo3::prelude::*;

use crate::{errors, loading::Loading, local::Local};

/// Watches files while it lives.
#[pyclass(frozen, module = "pinfold._native")]
pub(crate) struct Watcher(Mutex<Option<Local<policy::Watcher>>>);

#[pymethods]
impl Watcher {
    /// Stops, and waits for a swap that is under way.
    fn stop(&self, py: Python<'_>) {
        let watcher = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread it waits for may want the interpreter.
        py.detach(|| drop(watcher));
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

/// What was loaded last: component (none: the shipped one) and settings as JSON.
type Loaded = Arc<Mutex<Option<(Option<Arc<[u8]>>, String)>>>;

/// Starts watching for one layer.
pub(crate) fn start(
    watch: Watch,
    guard: Guard,
    layer: String,
    told: Py<PyAny>,
) -> PyResult<Watcher> {
    let loaded = Loaded::default();
    let last = Arc::clone(&loaded);
    let swap = move |source: Source, settings: serde_json::Value| {
        let _loading = Loading::begin();
        let bytes = match &source {
            Source::Bytes(bytes) => Some(Arc::clone(bytes)),
            _ => None,
        };
        let json = settings.to_string();
        let generation = guard.swap_layer(&layer, source, settings)?;
        *loaded.lock().unwrap_or_else(PoisonError::into_inner) = Some((bytes, json));
        Ok(generation)
    };
    let watcher = watch.start(swap, move |event| {
        let loaded = last.lock().unwrap_or_else(PoisonError::into_inner).take();
        // None while the interpreter ends: then nobody listens.
        let _ = Python::try_attach(|py| tell(py, &told, event, loaded));
    });
    let watcher = watcher.map_err(|error| errors::not_loaded(&error))?;
    Ok(Watcher(Mutex::new(Some(Local::new(watcher)))))
}

fn tell(
    py: Python<'_>,
    told: &Py<PyAny>,
    event: WatchEvent,
    loaded: Option<(Option<Arc<[u8]>>, String)>,
) {
    let called = match event {
        WatchEvent::Swapped { generation } => {
            let (bytes, settings) = loaded.unzip();
            let bytes = bytes.flatten().map(|bytes| bytes.to_vec());
            told.call1(py, (generation, py.None(), bytes, settings))
        }
        WatchEvent::Kept { error } => {
            let error = errors::not_loaded(&error);
            told.call1(py, (py.None(), error, py.None(), py.None()))
        }
        _ => return,
    };
    if let Err(error) = called {
        error.write_unraisable(py, None);
    }
}
