//! A stage that is not the usual one: other names, other listeners, a configuration of Envoy that is changed.

use std::path::PathBuf;

use pinfold_lab::Lab;
use serde_json::Value;

use super::support::{Envoy, Gateway, Stage, generated};
use crate::serve::write;

/// What a stage shall be.
pub(crate) struct Plan {
    pub(crate) lab: Lab,
    folder: tempfile::TempDir,
    mode: &'static str,
    listener: String,
    over: String,
    words: Vec<String>,
    /// The listener that Envoy asks, when it is not the first of the gateway.
    service: Option<&'static str>,
    edits: Vec<Edit>,
}

type Edit = Box<dyn FnOnce(&mut Value) + Send>;

impl Plan {
    pub(crate) async fn new(mode: &'static str) -> Self {
        Self {
            lab: Lab::start().await.unwrap(),
            folder: tempfile::tempdir().unwrap(),
            mode,
            listener: "bind = '127.0.0.1:0'".to_owned(),
            over: String::new(),
            words: Vec::new(),
            service: None,
            edits: Vec::new(),
        }
    }

    /// A file beside the configurations.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let file = write(self.folder.path(), name, text);
        file.to_str().unwrap().to_owned()
    }

    /// The path of one that somebody else makes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Keys of the listener for Envoys.
    pub(crate) fn listener(mut self, keys: &str) -> Self {
        self.listener = keys.to_owned();
        self
    }

    /// More for the configuration of the gateway.
    pub(crate) fn over(mut self, toml: &str) -> Self {
        self.over += toml;
        self.over += "\n";
        self
    }

    /// More for `pinfold envoy config`.
    pub(crate) fn words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(ToString::to_string));
        self
    }

    /// Envoy believes the authority of the lab.
    pub(crate) fn trusting(self) -> Self {
        let roots = self.file("roots.pem", &self.lab.authority().pem());
        self.words(&["--roots", &roots])
    }

    /// Envoy asks this listener of the gateway.
    pub(crate) fn through(mut self, listener: &'static str) -> Self {
        self.service = Some(listener);
        self
    }

    /// Changes what was generated.
    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    pub(crate) async fn start(self) -> Stage {
        let Self { lab, folder, .. } = self;
        let at = folder.path();
        let gateway = Gateway::at(&self.listener, at, "gateway", &lab, &self.over).await;
        let service = match self.service {
            None => gateway.service.to_string(),
            Some(name) => listener(&gateway, name),
        };
        let mut words: Vec<_> = self.words.iter().map(String::as_str).collect();
        words.extend(["--service", &service]);
        let mut config = generated(self.mode, &gateway.config, &[], &words);
        if !self.edits.is_empty() {
            let mut value = serde_saphyr::from_str(&config).unwrap();
            self.edits.into_iter().for_each(|edit| edit(&mut value));
            // JSON is YAML.
            config = value.to_string();
        }
        let envoy = Envoy::start(at, "envoy", &config).await;
        Stage {
            lab,
            gateway,
            envoy,
            folder,
        }
    }
}

/// Where the listener with this name is.
fn listener(gateway: &Gateway, name: &str) -> String {
    let named = format!(" ({name})");
    let line = gateway
        .served
        .said()
        .iter()
        .find(|line| line.contains(&named));
    line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

/// The part of a configuration that speaks HTTP with clients.
pub(crate) fn http(config: &mut Value) -> &mut Value {
    let filters = chain(config)["filters"].as_array_mut().unwrap();
    let is_http = |filter: &&mut Value| {
        let name = filter["typed_config"]["@type"].as_str().unwrap();
        name.ends_with(".HttpConnectionManager")
    };
    &mut filters.iter_mut().find(is_http).unwrap()["typed_config"]
}

/// The first filter chain of the first listener.
pub(crate) fn chain(config: &mut Value) -> &mut Value {
    &mut config["static_resources"]["listeners"][0]["filter_chains"][0]
}

/// Its routes.
pub(crate) fn routes(config: &mut Value) -> &mut Vec<Value> {
    let hosts = &mut http(config)["route_config"]["virtual_hosts"];
    hosts[0]["routes"].as_array_mut().unwrap()
}
