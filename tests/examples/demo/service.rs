//! Act 4: a service fetches without a pause while its policy is replaced.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use pinfold::{
    Grant, Guard, Limits,
    policy::{Source, Watch, WatchEvent, Watcher},
    resolve::Dns,
};
use pinfold_http::Client;
use pinfold_lab::{APEX, PUBLIC};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    guests, say,
    theatre::{PATH, PUBLIC_NAME, Theatre},
};

/// Time between two requests of the service.
const PAUSE: Duration = Duration::from_millis(10);
/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(50);
/// Time for one decision: generous, so that a verdict does not depend on how busy this machine is.
const DECISION: Duration = Duration::from_millis(500);
/// How long a change may take to show.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the policy of the fixture `deny` says.
const DENY_CODE: &str = "fixture";
/// Requests that show that a verdict stays.
const ENOUGH: usize = 20;

/// The verdict changes with the files, without a restart; a bad file changes nothing.
pub(crate) async fn act_four(theatre: &Theatre) -> Result<()> {
    say::act("Act 4: a service runs while its policy is replaced");
    let files = Files::new(theatre)?;
    let service = Service::start(theatre, &files)?;
    say::line(format!("a service fetches {} again and again", service.url));
    service.until("served").await?;
    say::happened(
        service.guard.policy().generation == 1,
        "served, under generation 1",
    )?;

    say::line("the policy is replaced by another one, which denies everything");
    files.policy(&guests::component("deny"))?;
    service.swapped(2).await?;
    service.until(DENY_CODE).await?;

    say::line("the policy is replaced by a corrupt file");
    files.policy(b"\0asm, or so it says")?;
    say::printed(&service.kept().await?);
    service.until(DENY_CODE).await?;
    let generation = service.guard.policy().generation;
    say::happened(
        generation == 2,
        "the file is refused, the last good policy stays",
    )?;

    say::line("the policy is replaced by the shipped one");
    files.policy(&theatre.shipped()?)?;
    service.swapped(3).await?;
    service.until("served").await?;

    say::line(format!(
        "the settings are replaced: they deny {PUBLIC_NAME}.{APEX}"
    ));
    files.settings(&format!(
        r#"{{ "hosts": {{ "deny": ["{PUBLIC_NAME}.{APEX}"] }} }}"#
    ))?;
    service.swapped(4).await?;
    service.until("host-denied").await?;

    service.finish(&["served", DENY_CODE, "served", "host-denied"])
}

/// The policy and its settings, replaced as a deployment would: written beside, then renamed.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(theatre: &Theatre) -> Result<Self> {
        let files = Self {
            folder: tempfile::tempdir()?,
        };
        files.policy(&theatre.shipped()?)?;
        files.settings("{}")?;
        Ok(files)
    }

    fn policy(&self, bytes: &[u8]) -> Result<()> {
        replace(&self.policy_path(), bytes)
    }

    fn settings(&self, text: &str) -> Result<()> {
        replace(&self.settings_path(), text.as_bytes())
    }

    fn policy_path(&self) -> PathBuf {
        self.folder.path().join("policy.wasm")
    }

    fn settings_path(&self) -> PathBuf {
        self.folder.path().join("settings.json")
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path))?;
    Ok(())
}

/// A guard that follows its files, and a client that never rests.
struct Service {
    url: String,
    guard: Guard,
    log: Log,
    fetching: JoinHandle<()>,
    events: mpsc::Receiver<WatchEvent>,
    _watcher: Watcher,
}

impl Service {
    fn start(theatre: &Theatre, files: &Files) -> Result<Self> {
        let grant: Grant = format!("{PUBLIC}:{}", theatre.lab.port()).parse()?;
        let mut limits = Limits::default();
        limits.decision = DECISION;
        let guard = Guard::builder()
            .limits(limits)
            .policy(Source::Path(files.policy_path()))
            .resolver(Dns::servers([theatre.lab.dns().addr()]))
            .grants([grant])
            .build()?;
        let (events, watcher) = watch(guard.clone(), files)?;
        let (url, log) = (theatre.lab.url(PUBLIC_NAME, PATH), Log::default());
        let fetching = tokio::spawn(fetch(Client::new(guard.clone()), url.clone(), log.clone()));
        Ok(Self {
            url,
            guard,
            log,
            fetching,
            events,
            _watcher: watcher,
        })
    }

    /// Waits until the service has seen this outcome often enough, from now on.
    async fn until(&self, outcome: &str) -> Result<()> {
        let from = self.log.len();
        let seen = async {
            while self.log.count_since(from, outcome) < ENOUGH {
                sleep(PAUSE).await;
            }
        };
        let seen = timeout(PATIENCE, seen).await;
        seen.with_context(|| format!("the service never saw `{outcome}`: {:?}", self.log.runs()))
    }

    async fn swapped(&self, expected: u64) -> Result<()> {
        match self.event().await? {
            WatchEvent::Swapped { generation } => say::happened(
                generation == expected,
                format!("generation {generation} is active"),
            ),
            other => bail!("the file was not taken up: {other:?}"),
        }
    }

    async fn kept(&self) -> Result<String> {
        match self.event().await? {
            WatchEvent::Kept { error } => Ok(error.to_string()),
            other => bail!("the corrupt file was taken up: {other:?}"),
        }
    }

    async fn event(&self) -> Result<WatchEvent> {
        let event = async {
            loop {
                match self.events.try_recv() {
                    Ok(event) => return event,
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        timeout(PATIENCE, event)
            .await
            .context("nobody looked at the files")
    }

    /// Every request had one of these outcomes, which changed only with the files.
    fn finish(self, expected: &[&str]) -> Result<()> {
        ensure!(!self.fetching.is_finished(), "the service stopped");
        self.fetching.abort();
        let runs = self.log.runs();
        let mut first = 1;
        for (outcome, count) in &runs {
            say::line(format!(
                "requests {first:>4} to {:>4}: {outcome}",
                first + count - 1
            ));
            first += count;
        }
        let outcomes: Vec<&str> = runs.iter().map(|(outcome, _)| outcome.as_str()).collect();
        say::happened(
            outcomes == expected,
            "no request was lost, none had another verdict",
        )
    }
}

fn watch(guard: Guard, files: &Files) -> Result<(mpsc::Receiver<WatchEvent>, Watcher)> {
    let (report, events) = mpsc::channel();
    let watch = Watch::policy(files.policy_path())
        .settings(files.settings_path())
        .interval(LOOK);
    let watcher = watch.start(
        move |source, settings| guard.swap(source, settings),
        // A service that stopped listening is none of the watcher's business.
        move |event| drop(report.send(event)),
    )?;
    Ok((events, watcher))
}

async fn fetch(client: Client, url: String, log: Log) {
    loop {
        log.push(match client.get(&url).send().await {
            Ok(response) if response.status().is_success() => "served".to_owned(),
            Ok(response) => response.status().to_string(),
            Err(error) => error
                .denial()
                .map_or(error.to_string(), |denial| denial.code().to_owned()),
        });
        sleep(PAUSE).await;
    }
}

/// What became of each request, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, outcome: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(outcome);
    }

    fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn len(&self) -> usize {
        self.all().len()
    }

    fn count_since(&self, from: usize, outcome: &str) -> usize {
        self.all()
            .iter()
            .skip(from)
            .filter(|seen| *seen == outcome)
            .count()
    }

    /// The same outcome in a row, and how often.
    fn runs(&self) -> Vec<(String, usize)> {
        let all = self.all();
        all.chunk_by(|a, b| a == b)
            .map(|run| (run[0].clone(), run.len()))
            .collect()
    }
}
