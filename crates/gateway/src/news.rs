//! What whoever runs a gateway has to read, wherever its log goes: changes of the policies, and reloads that were not
//! done, or not all.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    admin::FILES_BACK,
    event::{Event, PolicyChange, PolicyEvent, Reloaded, Sink},
    reload::RESTART,
};

/// Lines for people, as they come.
#[derive(Debug)]
pub struct News(Receiver<String>);

/// A sink of the bus. What nobody reads is dropped.
#[derive(Debug)]
pub(crate) struct Reporter(Sender<String>);

/// News until somebody takes them.
#[derive(Debug)]
pub(crate) struct Unread(Mutex<Option<News>>);

impl News {
    /// The next line; none when the gateway has ended.
    pub async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }
}

impl Unread {
    pub(crate) fn take(&self) -> Option<News> {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unread.take()
    }
}

pub(crate) fn begin() -> (Arc<Reporter>, Unread) {
    let (lines, news) = channel(LINES);
    (
        Arc::new(Reporter(lines)),
        Unread(Mutex::new(Some(News(news)))),
    )
}

impl Sink for Reporter {
    fn take(&self, event: &Event) {
        let line = match event {
            Event::Policy(event) => policy(event),
            Event::Reloaded(reloaded) => reload(reloaded),
            _ => None,
        };
        if let Some(line) = line {
            // Nobody reads, or too slowly: the log has it.
            let _ = self.0.try_send(line);
        }
    }
}

fn policy(event: &PolicyEvent) -> Option<String> {
    let by = event.trigger;
    Some(match &event.what {
        PolicyChange::Active { .. } if by == "start" => return None,
        PolicyChange::Active {
            generation,
            policies,
            back,
        } => {
            let went = if *back { "went back: " } else { "" };
            let policies: Vec<_> = policies.iter().map(crate::shown_policy).collect();
            let policies = policies.join(", then ");
            format!("policy: {went}generation {generation} is active (by {by}): {policies}")
        }
        PolicyChange::Kept { step, error } => {
            format!("policy: refused at {step} (by {by}), what was active stays: {error}")
        }
        PolicyChange::Aside => format!(
            "policy: the files are not in effect, what an operator made active stays: {FILES_BACK}"
        ),
        PolicyChange::Reviewed { .. } | PolicyChange::Shadow { .. } => return None,
    })
}

fn reload(reloaded: &Reloaded) -> Option<String> {
    let (what, error) = (reloaded.what, reloaded.error.as_ref()?);
    // Of a configuration that cannot be read who read it has told.
    match what {
        "configuration" if !error.starts_with(RESTART) => None,
        "configuration" => Some(format!("reload: {error}")),
        _ => Some(format!(
            "reload: {what}: {error}; what was read before stays"
        )),
    }
}

/// Lines that may wait.
const LINES: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn said(event: &Event) -> Option<String> {
        let (reporter, unread) = begin();
        reporter.take(event);
        unread.take().unwrap().0.try_recv().ok()
    }

    fn policy(trigger: &'static str, what: PolicyChange) -> Event {
        Event::Policy(Arc::new(PolicyEvent {
            at: SystemTime::now(),
            trigger,
            what,
        }))
    }

    fn reloaded(what: &'static str, error: Option<&str>) -> Event {
        Event::Reloaded(Arc::new(Reloaded {
            at: SystemTime::now(),
            what,
            error: error.map(Into::into),
        }))
    }

    #[test]
    fn what_operators_have_to_read_is_said() {
        let active = |back| PolicyChange::Active {
            generation: 2,
            policies: Vec::new(),
            back,
        };
        let kept = PolicyChange::Kept {
            step: "load",
            error: "no such setting".into(),
        };
        let restart = format!("{RESTART}: `dns.timeout`");
        for (event, expected) in [
            (policy("start", active(false)), None),
            (
                policy("file", active(false)),
                Some("generation 2 is active (by file)"),
            ),
            (
                policy("admin", active(true)),
                Some("went back: generation 2"),
            ),
            (
                policy("file", kept),
                Some("refused at load (by file), what was active stays: no such setting"),
            ),
            (
                policy("signal", PolicyChange::Aside),
                Some("`pinfold gateway reload` puts the files back"),
            ),
            (reloaded("token", None), None),
            (
                reloaded("token", Some("gone")),
                Some("reload: token: gone; what was read before stays"),
            ),
            (
                reloaded("configuration", Some(&restart)),
                Some("`dns.timeout`"),
            ),
            (reloaded("configuration", Some("no TOML")), None),
        ] {
            let line = said(&event);
            match expected {
                None => assert_eq!(line, None),
                Some(part) => assert!(
                    line.as_ref().is_some_and(|line| line.contains(part)),
                    "{line:?}"
                ),
            }
        }
    }
}
