//! What a configuration cannot mean. Each contradiction has its message, its place, and what to do.

mod bounds;
mod listeners;
mod policies;
mod records;

use super::{
    Bind, Config,
    problem::{Key, Problem},
};

/// Everything that contradicts itself.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut found = Found::default();
    listeners::check(config, &mut found);
    policies::check(config, &mut found);
    bounds::check(config, &mut found);
    records::check(config, &mut found);
    found.0
}

/// What was found so far.
#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn say(&mut self, key: Key, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Problem::new(key, message, hint));
    }

    fn say_if(&mut self, wrong: bool, key: Key, message: &str, hint: &str) {
        if wrong {
            self.say(key, message, hint);
        }
    }
}

/// Whether only this machine reaches it. Of a socket that was inherited nothing is known yet.
pub(super) fn is_local(bind: &Bind) -> bool {
    match bind {
        Bind::Tcp(address) => super::is_loopback(address.ip()),
        Bind::Unix(_) => true,
        Bind::Inherited(_) => false,
    }
}

/// The first value that is there twice, and where it is there again.
fn twice<T: PartialEq>(values: &[T]) -> Option<(usize, &T)> {
    let mut numbered = values.iter().enumerate();
    numbered.find(|(at, value)| values.iter().take(*at).any(|before| before == *value))
}
