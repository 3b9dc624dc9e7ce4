//! Names and their strategies.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{Code, Kind, Question, Reply, Strategy, log::canonical, strategy::Memory};
use crate::{
    limits::{CHASE, NAMES, PATTERNS},
    tasks::locked,
};

/// What the server knows. A name that no pattern covers does not exist.
#[derive(Debug, Default)]
pub struct Zone {
    patterns: RwLock<HashMap<String, Arc<Strategy>>>,
    memories: Mutex<HashMap<(String, Kind), Memory>>,
}

impl Zone {
    /// Sets the behaviour of a name, or of all names below one: `*.rebind.example.com` covers
    /// `1.rebind.example.com` and `a.b.rebind.example.com`, each with a state of its own. The
    /// longest pattern counts; beyond [`PATTERNS`] new ones are ignored. What was asked before is
    /// forgotten: a name that is set again begins anew.
    pub fn name(&self, pattern: &str, strategy: Strategy) -> &Self {
        let mut patterns = self
            .patterns
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let pattern = canonical(pattern);
        locked(&self.memories).retain(|(name, _), _| !covers(&pattern, name));
        if patterns.len() < PATTERNS || patterns.contains_key(&pattern) {
            patterns.insert(pattern, Arc::new(strategy));
        }
        self
    }

    /// Chooses a reply; follows an alias while its target is one of ours.
    pub(super) fn reply(&self, question: &Question) -> Reply {
        let mut reply = self
            .choose(question)
            .unwrap_or_else(|| Reply::code(Code::NxDomain));
        for _ in 0..CHASE {
            let Some(target) = reply.open_alias().map(canonical) else {
                break;
            };
            let Some(next) = self.choose(&Question {
                name: target,
                ..question.clone()
            }) else {
                break;
            };
            reply = reply.and(next);
        }
        reply
    }

    fn choose(&self, question: &Question) -> Option<Reply> {
        let strategy = self.strategy(&question.name)?;
        let mut memories = locked(&self.memories);
        let key = (question.name.clone(), question.kind);
        if memories.len() >= NAMES && !memories.contains_key(&key) {
            return Some(Reply::code(Code::ServFail));
        }
        let mut memory = memories.get(&key).copied();
        let reply = strategy.choose(question, &mut memory);
        memories.extend(memory.map(|memory| (key, memory)));
        Some(reply)
    }

    fn strategy(&self, name: &str) -> Option<Arc<Strategy>> {
        let patterns = self.patterns.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(exact) = patterns.get(name) {
            return Some(exact.clone());
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(strategy) = patterns.get(&format!("*.{parent}")) {
                return Some(strategy.clone());
            }
            rest = parent;
        }
        None
    }
}

fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => name.ends_with(suffix),
        None => name == pattern,
    }
}
