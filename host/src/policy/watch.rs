//! Swaps when files change.
//!
//! Polling, not notification: it works the same on every file system, in containers with mounted
//! configuration, and through renames of a directory above. A change is taken up when two looks in a
//! row saw the same file, so that a file that is being written is left alone until it is whole.

use std::{
    fmt,
    fs::Metadata,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{LoadError, Problem, Source, settings_from_json, source::read_file};
use crate::Limits;

/// Which files to watch.
///
/// Make it before the files are loaded: what they were then counts as seen, and a change that comes
/// between loading and watching is not lost.
///
/// ```no_run
/// # fn main() -> Result<(), pinfold::policy::LoadError> {
/// use pinfold::{Guard, policy::{Watch, WatchEvent}};
///
/// let watch = Watch::policy("policy.wasm").settings("settings.json");
/// let (source, settings) = watch.read()?;
/// let guard = Guard::builder().policy(source).settings(settings).build()?;
/// let watched = guard.clone();
/// let _watcher = watch.start(
///     move |source, settings| watched.swap(source, settings),
///     |event| match event {
///         WatchEvent::Swapped { generation } => println!("generation {generation}"),
///         WatchEvent::Kept { error } => println!("kept the old policy: {error}"),
///         _ => {}
///     },
/// )?;
/// # Ok(())
/// # }
/// ```
///
/// A layer of a chain has a `Watch` of its own, with
/// `move |source, settings| watched.swap_layer("team", source, settings)`.
#[derive(Clone, Debug)]
pub struct Watch {
    policy: Option<PathBuf>,
    settings: Option<PathBuf>,
    made: Stamps,
    fallback: Value,
    interval: Duration,
    parse: Parse,
    limits: Limits,
}

/// Reads the text of a settings file.
type Parse = fn(&str) -> Result<Value, Problem>;

/// What a look at changed files came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// The new policy, or the same with new settings, is active.
    Swapped {
        /// Its generation.
        generation: u64,
    },
    /// The change was refused; the policy that was active stays active.
    Kept {
        /// Why.
        error: LoadError,
    },
}

impl Watch {
    /// Watches a file that holds a policy.
    pub fn policy(path: impl Into<PathBuf>) -> Self {
        let policy = Some(path.into());
        let watch = Self {
            policy,
            ..Self::shipped()
        };
        Self {
            made: watch.stamps(),
            ..watch
        }
    }

    /// Keeps the shipped policy; of use with [`settings`](Self::settings).
    pub fn shipped() -> Self {
        Self {
            policy: None,
            settings: None,
            made: Stamps::default(),
            fallback: Value::Object(serde_json::Map::new()),
            interval: INTERVAL,
            parse: settings_from_json,
            limits: Limits::default(),
        }
    }

    /// Watches a file that holds the settings. Default: none, the settings are `{}`.
    #[must_use]
    pub fn settings(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings = Some(path.into());
        self.made = self.stamps();
        self
    }

    /// Settings to use when no settings file is watched. Default: `{}`.
    #[must_use]
    pub fn fixed_settings(mut self, settings: Value) -> Self {
        self.fallback = settings;
        self
    }

    /// How a settings file is read. Default: [`settings_from_json`].
    #[must_use]
    pub fn parse(mut self, parse: Parse) -> Self {
        self.parse = parse;
        self
    }

    /// Time between two looks. Default: 1 s; at least 10 ms. A change is active after two looks.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(SHORTEST);
        self
    }

    /// Bounds of the files. Default: those of [`Limits`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reads the files as they are now.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, is too large, or the settings cannot be parsed.
    pub fn read(&self) -> Result<(Source, Value), LoadError> {
        let source = match &self.policy {
            Some(path) => Source::Bytes(read_file(path, self.limits.component_bytes)?.into()),
            None => Source::Shipped,
        };
        let settings = match &self.settings {
            Some(path) => self.read_settings(path)?,
            None => self.fallback.clone(),
        };
        Ok((source, settings))
    }

    /// Starts watching, on a thread of its own.
    ///
    /// `swap` takes what was read, for example `move |source, settings| guard.swap(source, settings)`;
    /// `report` hears of each outcome. Neither is called after the [`Watcher`] is dropped. A panic in
    /// one of them does not end the watching: the change is left, and the next one is looked at.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(
        self,
        swap: impl FnMut(Source, Value) -> Result<u64, LoadError> + Send + 'static,
        report: impl FnMut(WatchEvent) + Send + 'static,
    ) -> Result<Watcher, LoadError> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut looks = Looks::new(self, swap, report);
        let stopped = Arc::clone(&stop);
        let work = move || {
            while !stopped.load(Ordering::Acquire) {
                thread::park_timeout(looks.watch.interval);
                if !stopped.load(Ordering::Acquire) {
                    looks.look_on();
                }
            }
        };
        let thread = thread::Builder::new().name("pinfold-watch".into());
        let thread = thread
            .spawn(work)
            .map_err(|e| LoadError::Engine(e.to_string()))?;
        Ok(Watcher {
            stop,
            thread: Some(thread),
        })
    }

    fn stamps(&self) -> Stamps {
        Stamps {
            policy: stamp(self.policy.as_deref()),
            settings: stamp(self.settings.as_deref()),
        }
    }

    fn read_settings(&self, path: &Path) -> Result<Value, LoadError> {
        let bytes = read_file(path, self.limits.settings_bytes)?;
        let text = str::from_utf8(&bytes).map_err(|e| Problem {
            path: String::new(),
            message: e.to_string(),
        });
        text.and_then(self.parse)
            .map_err(|problem| LoadError::Settings(vec![problem]))
    }
}

/// Watches while it lives; dropping it stops the thread and waits for a swap that is under way.
#[must_use = "watching stops when the watcher is dropped"]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A callback may own the watcher itself: a thread does not wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

/// One look after the other.
struct Looks<S, R> {
    watch: Watch,
    swap: S,
    report: R,
    /// What was last acted upon.
    done: Stamps,
    /// What the last look saw.
    seen: Stamps,
}

impl<S, R> Looks<S, R>
where
    S: FnMut(Source, Value) -> Result<u64, LoadError>,
    R: FnMut(WatchEvent),
{
    fn new(watch: Watch, swap: S, report: R) -> Self {
        let done = watch.made.clone();
        Self {
            watch,
            swap,
            report,
            seen: done.clone(),
            done,
        }
    }

    /// Looks, and outlives whatever panics in the embedder's code: a watcher that has ended without a
    /// word would leave an operator's change unread for good.
    fn look_on(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.look())).is_err() {
            // What was acted upon counts as done: the same panic again helps nobody.
            self.done = self.seen.clone();
        }
    }

    fn look(&mut self) {
        let now = self.watch.stamps();
        let settled = now == self.seen;
        self.seen = now;
        if settled && self.seen != self.done {
            self.act();
        }
    }

    fn act(&mut self) {
        let read = self.watch.read();
        if self.watch.stamps() != self.seen {
            // It changed while it was read: the next looks see to it.
            return;
        }
        self.done = self.seen.clone();
        let outcome = read.and_then(|(source, settings)| (self.swap)(source, settings));
        (self.report)(match outcome {
            Ok(generation) => WatchEvent::Swapped { generation },
            Err(error) => WatchEvent::Kept { error },
        });
    }
}

/// What both files looked like.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Stamps {
    policy: Option<Stamp>,
    settings: Option<Stamp>,
}

/// What a file looked like; two files that look alike are the same.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// None when there is no file.
fn stamp(path: Option<&Path>) -> Option<Stamp> {
    let meta = std::fs::metadata(path?).ok()?;
    Some(Stamp {
        modified: meta.modified().ok(),
        len: meta.len(),
        inode: inode(&meta),
    })
}

#[cfg(unix)]
fn inode(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// Time between two looks, by default and at least.
const INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use serde_json::json;

    use super::*;

    /// Files, and what was done about them.
    struct Bench {
        dir: tempfile::TempDir,
        swaps: Rc<RefCell<Vec<Swapped>>>,
        events: Rc<RefCell<Vec<WatchEvent>>>,
    }

    type Swapped = (Vec<u8>, Value);
    type Swap = Box<dyn FnMut(Source, Value) -> Result<u64, LoadError>>;
    type Report = Box<dyn FnMut(WatchEvent)>;

    impl Bench {
        fn new() -> (Self, Looks<Swap, Report>) {
            let dir = tempfile::tempdir().unwrap();
            let (swaps, events) = <(Rc<RefCell<Vec<_>>>, Rc<RefCell<Vec<_>>>)>::default();
            let bench = Self {
                dir,
                swaps: Rc::clone(&swaps),
                events: Rc::clone(&events),
            };
            bench.write("p", "one");
            bench.write("s", "{}");
            let swap: Swap = Box::new(move |source, settings| {
                let bytes = source.read(100).unwrap().into_owned();
                swaps.borrow_mut().push((bytes, settings));
                Ok(swaps.borrow().len() as u64 + 1)
            });
            let report: Report = Box::new(move |event| events.borrow_mut().push(event));
            let limits = Limits {
                component_bytes: 100,
                ..Limits::default()
            };
            let watch = Watch::policy(bench.path("p"))
                .settings(bench.path("s"))
                .limits(limits);
            (bench, Looks::new(watch, swap, report))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
        }

        fn swaps(&self) -> Vec<Swapped> {
            self.swaps.take()
        }
    }

    #[test]
    fn a_change_between_loading_and_watching_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (policy, settings) = (dir.path().join("p"), dir.path().join("s"));
        std::fs::write(&policy, "one").unwrap();
        std::fs::write(&settings, "{}").unwrap();
        let watch = Watch::policy(&policy).settings(&settings);
        assert_eq!(watch.read().unwrap().1, json!({}));
        std::fs::write(&policy, "another").unwrap();
        let mut swaps = 0;
        let swap = |_, _| {
            swaps += 1;
            Ok(2)
        };
        let mut looks = Looks::new(watch, swap, |_| {});
        (0..3).for_each(|_| looks.look());
        assert_eq!(swaps, 1);
    }

    #[test]
    fn unchanged_files_cost_nothing() {
        let (bench, mut looks) = Bench::new();
        (0..5).for_each(|_| looks.look());
        assert!(bench.swaps().is_empty());
    }

    #[test]
    fn a_change_is_taken_up_once_it_has_settled() {
        let (bench, mut looks) = Bench::new();
        bench.write("p", "second");
        looks.look();
        assert!(bench.swaps().is_empty(), "not at first sight");
        bench.write("p", "second and more");
        looks.look();
        assert!(bench.swaps().is_empty(), "not while it is written");
        (0..5).for_each(|_| looks.look());
        assert_eq!(bench.swaps(), [(b"second and more".to_vec(), json!({}))]);
        bench.write("s", r#"{"a":1}"#);
        (0..5).for_each(|_| looks.look());
        assert_eq!(
            bench.swaps(),
            [(b"second and more".to_vec(), json!({"a": 1}))]
        );
        let events = bench.events.take();
        assert!(matches!(
            events[..],
            [WatchEvent::Swapped { .. }, WatchEvent::Swapped { .. }]
        ));
    }

    #[test]
    fn a_file_replaced_by_one_of_the_same_size_is_a_change() {
        let (bench, mut looks) = Bench::new();
        bench.write("new", "two");
        std::fs::rename(bench.path("new"), bench.path("p")).unwrap();
        (0..2).for_each(|_| looks.look());
        assert_eq!(bench.swaps().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_reported_once_and_keeps_the_old() {
        let (bench, mut looks) = Bench::new();
        for (name, change) in [
            ("no JSON", ("s", Some("{".to_owned()))),
            (
                "written twice",
                ("s", Some(r#"{"deny":["a"],"deny":[]}"#.to_owned())),
            ),
            ("no file", ("p", None)),
            ("too large", ("p", Some("x".repeat(101)))),
        ] {
            match change {
                (file, Some(text)) => bench.write(file, &text),
                (file, None) => std::fs::remove_file(bench.path(file)).unwrap(),
            }
            (0..5).for_each(|_| looks.look());
            assert!(
                matches!(bench.events.take()[..], [WatchEvent::Kept { .. }]),
                "{name}"
            );
            assert!(bench.swaps().is_empty(), "{name}");
        }
    }

    #[test]
    fn a_panic_does_not_end_the_watching() {
        for (name, in_swap) in [("in the swap", true), ("in the report", false)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("p");
            std::fs::write(&path, "one").unwrap();
            let (send, heard) = std::sync::mpsc::channel();
            let watch = Watch::policy(&path).interval(Duration::ZERO);
            let swap = move |source: Source, _| {
                let bytes = source.read(100)?.into_owned();
                send.send(bytes.clone()).unwrap();
                assert!(!in_swap || bytes != b"bad", "the swap panics");
                Ok(u64::from(bytes == b"bad"))
            };
            let report = move |event| {
                let bad = matches!(event, WatchEvent::Swapped { generation: 1 });
                assert!(in_swap || !bad, "the report panics");
            };
            let watcher = watch.start(swap, report).unwrap();
            for bytes in ["bad", "good again"] {
                std::fs::write(&path, bytes).unwrap();
                let seen = heard.recv_timeout(Duration::from_secs(10));
                assert_eq!(seen.as_deref(), Ok(bytes.as_bytes()), "{name}");
            }
            drop(watcher);
            assert!(heard.try_recv().is_err(), "{name}: the panic was repeated");
        }
    }

    #[test]
    fn the_thread_looks_and_stops_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "one").unwrap();
        let (send, heard) = std::sync::mpsc::channel();
        let watch = Watch::policy(&path).interval(Duration::ZERO);
        let report = move |event| send.send(event).unwrap();
        let watcher = watch.start(|_, _| Ok(7), report).unwrap();
        std::fs::write(&path, "another").unwrap();
        let event = heard.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(matches!(event, WatchEvent::Swapped { generation: 7 }));
        drop(watcher);
        std::fs::write(&path, "a third one").unwrap();
        assert!(
            heard.recv_timeout(Duration::from_secs(1)).is_err(),
            "the channel is closed"
        );
    }
}
