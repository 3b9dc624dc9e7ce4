//! A running gateway: started from a configuration, reloaded, drained.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    admin::Admin,
    assemble::{self, Assembled},
    config::ConfigError,
    event::{Event, Phase, Reloaded},
    lapse,
    listen::{self, Door, Entrance, Operators},
    live::review,
    news::{News, Unread},
    policy::{SelfTest, Trigger},
    reload::Parts,
    service,
    shared::Shared,
};

/// A gateway that serves.
pub struct Gateway {
    shared: Arc<Shared>,
    entrances: Vec<Arc<Entrance>>,
    addresses: Vec<SocketAddr>,
    listening: Vec<Listening>,
    operators: Option<Operators>,
    admin: Arc<Admin>,
    /// Cancelled when an operator asks for a drain.
    asked: CancellationToken,
    news: Unread,
    /// Reloads so far.
    reloads: Arc<AtomicU64>,
    /// Its end was told.
    ended: bool,
}

/// A listener that is bound.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// `127.0.0.1:4750`, `unix:PATH`.
    pub bind: String,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration contradicts itself, or names files that are not there.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket cannot be bound.
    #[error("cannot listen on `{bind}`: {problem}")]
    Bind {
        /// Where.
        bind: String,
        /// What the system says.
        problem: io::Error,
    },
    /// A file that the configuration names cannot be used: a certificate, credentials, a token.
    #[error("{0}")]
    File(String),
    /// A policy is refused.
    #[error("{message}")]
    Policy {
        /// What is wrong with it.
        message: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// The system gives no thread, or no sockets of the service manager.
    #[error("{0}")]
    System(io::Error),
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Drained {
    /// What was still open, and was cut: connections, and tunnels and exchanges on them.
    pub cut: usize,
    /// How long it took.
    pub took: Duration,
    /// Nobody wanted to wait until the end.
    pub hurried: bool,
}

impl Gateway {
    /// Binds, loads, starts. Must run inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the configuration is not [sound](Config::sound), a listener cannot be bound, a file not be read, or a policy
    /// is refused.
    pub async fn start(config: Config, test: Option<SelfTest>) -> Result<Self, StartError> {
        let Assembled {
            shared,
            doors,
            operators,
            admin,
            asked,
            news,
        } = assemble::assemble(config.sound()?, test).await?;
        let addresses = doors
            .iter()
            .filter_map(|(_, door)| door.address())
            .collect();
        let listening = doors.iter().map(Listening::of).collect();
        let entrances = doors
            .iter()
            .map(|(entrance, _)| Arc::clone(entrance))
            .collect();
        for (entrance, door) in doors {
            let accepting = listen::accept(Arc::clone(&shared), entrance, door);
            shared.connections.spawn(accepting);
        }
        if let Some(operators) = &operators {
            let Operators { door, tls } = operators;
            let stop = shared.cut.clone();
            tokio::spawn(Arc::clone(&admin).run(Arc::clone(door), tls.clone(), stop));
        }
        begin(&shared);
        Ok(Self {
            shared,
            entrances,
            addresses,
            listening,
            operators,
            admin,
            asked,
            news,
            reloads: Arc::default(),
            ended: false,
        })
    }

    /// Where it listens, in the order of the configuration, without Unix sockets; for tests that bind port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// The listeners, in the order of the configuration.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The active policies, in the order in which they are asked, each in a line.
    pub fn policies(&self) -> Vec<String> {
        let policies = self.shared.guard.policies();
        policies.iter().map(crate::shown_policy).collect()
    }

    /// What this machine lacks to run policies at full speed, and what is done instead.
    pub fn fallbacks(&self) -> Vec<String> {
        let fallbacks = self.shared.guard.fallbacks();
        fallbacks.iter().map(ToString::to_string).collect()
    }

    /// Where operators connect.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.operators.as_ref()?.door.address()
    }

    /// What whoever runs the gateway has to read, wherever its log goes: changes of the policies, and reloads that were
    /// not done, or not all. Whoever asks first gets it.
    pub fn news(&self) -> Option<News> {
        self.news.take()
    }

    /// Waits until an operator asks for a drain, by the admin interface. Whoever runs the gateway drains it then.
    pub async fn asked_to_drain(&self) {
        self.asked.cancelled().await;
    }

    /// Reads everything again that may change while running: policies, certificates, credentials, the token, and of
    /// the configuration what needs no new listener. What is wrong stays as it was, and is told: all of it when the
    /// configuration is not [sound](Config::sound).
    ///
    /// Certificates, credentials and the token are read before it returns; only regular files are, and bounded. The log
    /// and the policies follow on threads of their own. Must run inside a tokio runtime.
    pub fn reload(&self, config: Config) {
        let config = match config.sound() {
            Ok(config) => config,
            Err(error) => return self.keep(error),
        };
        service::reloading();
        let parts = Parts {
            shared: &self.shared,
            entrances: &self.entrances,
            operators: self.operators.as_ref(),
            admin: &self.admin,
        };
        let later = parts.reload(config);
        let reloads = Arc::clone(&self.reloads);
        let number = reloads.fetch_add(1, Ordering::AcqRel) + 1;
        tokio::spawn(async move {
            later.await;
            // The last one of several says that all are done.
            if reloads.load(Ordering::Acquire) == number {
                service::ready();
            }
        });
    }

    /// Tells that the configuration could not be read again: everything stays as it was.
    pub fn keep(&self, why: impl fmt::Display) {
        service::reloading();
        self.shared.bus.tell(&Event::Reloaded(Arc::new(Reloaded {
            at: SystemTime::now(),
            what: "configuration",
            error: Some(why.to_string()),
        })));
        service::ready();
    }

    /// Accepts no more, lets open exchanges end, cuts what is left after `drain`.
    pub async fn drain(self) -> Drained {
        self.drain_unless(std::future::pending()).await
    }

    /// As [`drain`](Self::drain), unless this comes to its end first: then what is left is cut at once, and what was told
    /// has a moment to be written.
    pub async fn drain_unless(mut self, hurry: impl Future<Output = ()>) -> Drained {
        let began = Instant::now();
        let shared = &self.shared;
        let time = shared.config.load().drain.get();
        service::stopping(time.saturating_add(FAREWELL + FLUSH));
        shared.bus.tell(&Event::Phase(Phase::Draining));
        shared.health.leave().await;
        shared.draining.cancel();
        shared.connections.close();
        let (cut, hurried) = tokio::select! {
            cut = self.end(time) => (cut, false),
            () = hurry => (self.cut().await, true),
        };
        self.tell_end();
        let patience = if hurried { FAREWELL } else { FLUSH };
        tokio::join!(self.shared.telemetry.flush(patience), self.admin.end());
        Drained {
            cut,
            took: began.elapsed(),
            hurried,
        }
    }

    /// Waits until all have ended, for this time. Then what is listed as open is told to, and has a moment for that.
    async fn end(&self, time: Duration) -> usize {
        let shared = &self.shared;
        if timeout(time, shared.connections.wait()).await.is_ok() {
            return 0;
        }
        let left = self.left();
        shared.live.end();
        let _ = timeout(FAREWELL, shared.connections.wait()).await;
        self.cut().await;
        left
    }

    /// Ends what is left, where it stands; it says that it is we who end it.
    async fn cut(&self) -> usize {
        let (shared, left) = (&self.shared, self.left());
        shared.live.end();
        shared.cut.cancel();
        shared.connections.wait().await;
        // Streams of a connection are let go after it.
        let _ = timeout(FAREWELL, shared.live.emptied()).await;
        left
    }

    fn left(&self) -> usize {
        self.shared.connections.len().max(self.shared.live.len())
    }

    fn tell_end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.shared.bus.tell(&Event::Phase(Phase::Stopped));
        }
    }
}

/// What goes on beside the connections, until the gateway ends.
fn begin(shared: &Arc<Shared>) {
    let of = Arc::clone(shared);
    let review = review::run(Arc::clone(&shared.live), shared.guard.clone(), move || {
        of.rules()
    });
    spawn_until_cut(shared, review);
    spawn_until_cut(shared, lapse::watch(Arc::clone(shared)));
    spawn_until_cut(shared, service::watchdog());
    let of = Arc::clone(shared);
    spawn_until_cut(shared, async move {
        let config = of.config.load_full();
        let shadow = config.shadow.as_ref();
        of.shadow.follow(shadow, &of.policies, Trigger::Start).await;
    });
    shared.bus.tell(&Event::Phase(Phase::Ready));
    service::ready();
}

fn spawn_until_cut(shared: &Shared, task: impl Future<Output = ()> + Send + 'static) {
    let cut = shared.cut.clone();
    tokio::spawn(async move { cut.run_until_cancelled(task).await });
}

/// Dropped without a drain, it ends at once.
impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.draining.cancel();
        self.shared.live.end();
        self.shared.cut.cancel();
        self.tell_end();
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("addresses", &self.addresses())
            .field("admin", &self.admin_address())
            .finish_non_exhaustive()
    }
}

impl Listening {
    fn of((entrance, door): &(Arc<Entrance>, Door)) -> Self {
        let config = entrance.config.load();
        let bound = door.address().map(|address| address.to_string());
        Self {
            name: config.name.clone(),
            bind: bound.unwrap_or_else(|| config.bind.to_string()),
        }
    }
}

impl StartError {
    /// What to do about it, where that can be told.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Bind { problem, .. } => bind_hint(problem),
            Self::File(_) | Self::System(_) => None,
            Self::Policy { hint, .. } => *hint,
        }
    }
}

fn bind_hint(problem: &io::Error) -> Option<&'static str> {
    match problem.kind() {
        io::ErrorKind::AddrInUse => {
            Some("another process listens there: end it, or choose another `bind`")
        }
        io::ErrorKind::AddrNotAvailable => Some("`bind` takes an address of this machine"),
        io::ErrorKind::AlreadyExists => Some("remove it, or choose another path"),
        io::ErrorKind::PermissionDenied => {
            Some("ports below 1024 and some folders need rights: choose another `bind`")
        }
        _ => None,
    }
}

/// For what was told last to be written and sent.
const FLUSH: Duration = Duration::from_secs(5);
/// For connections to end after they were told to, and to tell so.
const FAREWELL: Duration = Duration::from_secs(1);
