//! Why a policy was not loaded, one variant for each fault.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{fault::tidy, inert, limits::MESSAGE_BYTES};

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Problem {
    /// JSON Pointer (RFC 6901) to the value; empty for the whole document.
    pub path: String,
    /// What is wrong, at most 512 octets.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the whole document: {}", self.message),
            path => write!(f, "`{path}`: {}", self.message),
        }
    }
}

/// Why a policy was not loaded. The policy that was active before stays active.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The directory for compiled code cannot be used.
    #[error("cannot keep compiled code in `{}`: {problem}", path.display())]
    CodeCache {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The policy is valid, but the machine code for it could not be made.
    #[error("the policy does not compile: {0}")]
    Compile(String),
    /// `configure` took more memory than a policy may have.
    #[error("the policy ran out of memory while it took its settings: {0}")]
    ConfigureMemory(String),
    /// `configure` took longer than its deadline.
    #[error("the policy took too long to take its settings: {0}")]
    ConfigureTimeout(String),
    /// `configure` trapped, overflowed its stack, or answered with something malformed.
    #[error("the policy failed while it took its settings: {0}")]
    ConfigureTrapped(String),
    /// `describe` failed, or its answer is malformed.
    #[error("the policy does not describe itself: {0}")]
    Describe(String),
    /// This machine cannot run policies: no address space for the pool, or no thread.
    #[error("the policy engine does not start: {0}")]
    Engine(String),
    /// It imports something: a policy is a pure function. Every import by name.
    #[error("the policy imports {}", Quoted(.0))]
    Imports(Vec<String>),
    /// The file cannot be read.
    #[error("cannot read `{}`: {problem}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// A policy of the chain was not loaded. Not used where there is only the layer `policy`.
    #[error("layer `{layer}`: {error}")]
    InLayer {
        /// The name of the layer.
        layer: String,
        /// What is wrong with its policy.
        error: Box<Self>,
    },
    /// The name of a layer is not in kebab-case, or too long.
    #[error("`{0}` is no name for a layer")]
    LayerName(String),
    /// Two layers of a chain have the same name.
    #[error("two layers are named `{0}`")]
    LayerTwice(String),
    /// The machine, or the limits of this process, lack what it takes to load a policy: memory, address
    /// space, file descriptors. It says nothing about the policy.
    #[error("this process cannot get what it takes to load a policy: {0}")]
    Machine(String),
    /// A chain without any policy.
    #[error("the chain has no layer")]
    NoLayer,
    /// The bytes are no WebAssembly component, or one that needs features that policies do not have.
    #[error("not a component: {0}")]
    NotComponent(String),
    /// A swap that was asked for later is done already, so that this one was left. The policy of the
    /// later one is active.
    #[error("a later swap was done first")]
    Overtaken,
    /// The configured policy does not start: it needs more than an instance may have.
    #[error("the configured policy does not start: {0}")]
    SelfTest(String),
    /// The settings are wrong: every problem that was found, at most 64.
    #[error("settings refused: {}", Listed(.0))]
    Settings(Vec<Problem>),
    /// The settings are larger than the limit.
    #[error("the settings are {size} bytes of JSON, the limit is {limit}")]
    SettingsTooLarge {
        /// Their size as JSON.
        size: usize,
        /// [`Limits::settings_bytes`](crate::Limits::settings_bytes).
        limit: usize,
    },
    /// A swap names no layer, and there are several.
    #[error("there are {} layers: {}", .0.len(), Quoted(.0))]
    SeveralLayers(Vec<String>),
    /// The component has a shape whose state cannot be frozen after `configure`.
    #[error("the policy cannot be frozen after it took its settings: {0}")]
    Snapshot(String),
    /// The component is valid, but one of its functions, or all together, would keep the compiler busy
    /// for too long.
    #[error("the policy is too complex to compile: {0}")]
    TooComplex(String),
    /// The component is larger than the limit.
    #[error("the policy is {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// [`Limits::component_bytes`](crate::Limits::component_bytes).
        limit: usize,
    },
    /// The chain is longer than the limit.
    #[error("{count} layers, the limit is {limit}")]
    TooManyLayers {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An instance of the component would be made of more parts than an instance may have.
    #[error("the policy is made of too many parts: {0}")]
    TooManyParts(String),
    /// A swap names a layer that the active chain does not have.
    #[error("there is no layer `{layer}`, there is {}", Quoted(known))]
    UnknownLayer {
        /// The name.
        layer: String,
        /// The layers that there are.
        known: Vec<String>,
    },
    /// It is a component, but no policy of a version that this host accepts.
    #[error("the policy does not fulfil {}: {problem}", Quoted(accepted))]
    WrongWorld {
        /// What is missing or different.
        problem: String,
        /// The worlds that this host accepts.
        accepted: Vec<String>,
    },
}

impl LoadError {
    /// Whether it is about the chain of policies, and so about no policy in particular.
    pub fn is_of_chain(&self) -> bool {
        matches!(
            self,
            Self::LayerName(_)
                | Self::LayerTwice(_)
                | Self::NoLayer
                | Self::SeveralLayers(_)
                | Self::TooManyLayers { .. }
                | Self::UnknownLayer { .. }
        )
    }

    /// The error, with the layer that it is about.
    pub(super) fn in_layer(self, layer: &str) -> Self {
        Self::InLayer {
            layer: layer.to_owned(),
            error: Box::new(self),
        }
    }

    /// What the engine says, when it says that the system refused it something: such an error ends in
    /// the system's own words. It is then no fault of the policy, whatever was done with it.
    pub(super) fn of_machine(text: &str) -> Option<Self> {
        let number = text
            .strip_suffix(')')
            .and_then(|text| text.rsplit_once("(os error "));
        let is_code = |code: &str| !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit());
        let refused = number.is_some_and(|(_, code)| is_code(code)) || text.ends_with(NO_MEMFD);
        refused.then(|| Self::Machine(tidy(text, MESSAGE_BYTES)))
    }

    /// What to do about it, one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::CodeCache { .. } => {
                "give a directory that belongs to the user of this process alone, no symbolic link"
            }
            Self::Compile(_) => "rebuild the policy with a current toolchain",
            Self::ConfigureMemory(_) => "shorten the settings, or raise `policy_memory`",
            Self::ConfigureTimeout(_) | Self::ConfigureTrapped(_) => {
                "the policy is faulty: try it with its default settings, `{}`"
            }
            Self::Describe(_) => {
                "the policy is faulty: `describe` must answer, with a schema of the keywords that the contract lists"
            }
            Self::Engine(_) => {
                "lower `policy_instances`, or raise the limit of address space (`ulimit -v`)"
            }
            Self::Imports(names) if names.iter().all(|name| inert::covers(name)) => {
                "build it without WASI (`pinfold policy build` does); an operator may grant inert WASI instead"
            }
            Self::Imports(_) => {
                "build for `wasm32-unknown-unknown` without WASI: a policy imports nothing"
            }
            Self::InLayer { error, .. } => error.hint(),
            Self::Io { .. } => "check the path and its permissions",
            Self::LayerName(_) => {
                "write words in lower case joined by `-`, beginning with a letter, at most 64 octets: `data-protection`"
            }
            Self::LayerTwice(_) => "give each layer a name of its own",
            Self::Machine(_) => {
                "raise the limits of this process: address space (`ulimit -v`), files (`ulimit -n`), memory"
            }
            Self::NoLayer => "give at least one policy: a guard without one judges nothing",
            Self::NotComponent(_) => {
                "give a WebAssembly component, for example made by `wasm-tools component new`"
            }
            Self::Overtaken => "nothing is to be done: what was asked for last is what is active",
            Self::SelfTest(_) => "the policy needs more memory or tables than an instance may have",
            Self::Settings(_) => "`pinfold inspect` shows the schema of the settings",
            Self::SeveralLayers(_) => {
                "say which layer to replace: `swap_layer`, or all: `swap_layers`"
            }
            Self::SettingsTooLarge { .. } => "shorten the settings, or raise `settings_bytes`",
            Self::Snapshot(_) => {
                "link the policy into one core module that exports its memory, without v128 globals \
                 and without instructions that change tables"
            }
            Self::TooComplex(_) => {
                "split the functions that hold many variables and branches, or optimise them for size"
            }
            Self::TooManyLayers { .. } => {
                "merge layers: one policy can take the rules of two as its settings"
            }
            Self::TooManyParts(_) => "link the policy into fewer core modules",
            Self::TooLarge { .. } => "strip the component, or raise `component_bytes`",
            Self::UnknownLayer { .. } => {
                "name a layer that there is, or replace the whole chain: `swap_layers`"
            }
            Self::WrongWorld { .. } => {
                "build the policy against the `wit` of a version that is accepted"
            }
        }
    }
}

/// The one error of the engine that leaves the system's words out.
const NO_MEMFD: &str = "cannot create a memfd";

/// A path on one line: whoever named the file may not steer a terminal.
fn shown(path: &Path) -> String {
    tidy(&path.to_string_lossy(), MESSAGE_BYTES)
}

/// `a`, `b` and 3 more.
struct Quoted<'a>(&'a [String]);

/// The problems, one after the other.
struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}`{name}`", if i == 0 { "" } else { ", " })?;
        }
        more(f, self.0.len())
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
        }
        more(f, self.0.len())
    }
}

fn more(f: &mut fmt::Formatter<'_>, len: usize) -> fmt::Result {
    match len.saturating_sub(SHOWN) {
        0 => Ok(()),
        n => write!(f, " and {n} more"),
    }
}

/// How many names or problems a message shows; the value holds all of them.
const SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_things_and_are_bounded() {
        let names = |n: usize| (0..n).map(|i| format!("i{i}")).collect::<Vec<_>>();
        assert_eq!(
            LoadError::Imports(names(2)).to_string(),
            "the policy imports `i0`, `i1`"
        );
        assert!(
            LoadError::Imports(names(20))
                .to_string()
                .ends_with("`i7` and 12 more")
        );
        let out_of_memory = "mmap failed: Cannot allocate memory (os error 12)";
        for text in [out_of_memory, NO_MEMFD] {
            assert!(LoadError::of_machine(text).is_some(), "{text}");
        }
        for text in [
            "wasm trap: unreachable",
            "(os error )",
            "(os error 12) and more",
        ] {
            assert_eq!(LoadError::of_machine(text), None, "{text}");
        }
        let path = "a\u{1b}[31m\nb".into();
        let problem = "gone".into();
        assert_eq!(
            LoadError::Io { path, problem }.to_string(),
            "cannot read `a [31m b`: gone"
        );
        let problem = Problem {
            path: "/hosts/0".into(),
            message: "must be a string".into(),
        };
        assert_eq!(
            LoadError::Settings(vec![problem]).to_string(),
            "settings refused: `/hosts/0`: must be a string"
        );
    }
}
