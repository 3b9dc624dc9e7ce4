//! From a configuration to the parts of a gateway: sockets, files, guard, and what they are tied together by.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use pinfold::{
    Guard, GuardBuilder, Limits,
    record::Inputs,
    resolve::{Answers, Dns, Fixed},
};
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Config, StartError,
    admin::{Access, Admin, Operated, Recent},
    config,
    envoy::Health,
    event::{Bus, Sink},
    identity::Identities,
    limit::Admission,
    listen::{Door, Entrance, Inherited, Manner, Operators, tls},
    live::Registry,
    news,
    policy::{Failure, Prepared, SelfTest},
    shadow::{Feed, Shadow},
    shared::Shared,
    telemetry::Telemetry,
};

/// Everything that a gateway is made of, ready to accept.
pub(crate) struct Assembled {
    pub(crate) shared: Arc<Shared>,
    pub(crate) doors: Vec<(Arc<Entrance>, Door)>,
    pub(crate) operators: Option<Operators>,
    pub(crate) admin: Arc<Admin>,
    /// Cancelled when an operator asks for a drain.
    pub(crate) asked: CancellationToken,
    pub(crate) news: news::Unread,
}

/// Binds and reads everything. Nobody is accepted yet: one part that is bad keeps all of it from starting.
pub(crate) async fn assemble(
    config: Config,
    test: Option<SelfTest>,
) -> Result<Assembled, StartError> {
    let mut inherited = Inherited::all().map_err(StartError::System)?;
    let doors = doors(&config, &mut inherited)?;
    let operators = operators(&config, &mut inherited)?;
    let access = Access::new(&config.admin).map_err(StartError::File)?;
    let identities =
        Identities::read(&config).map_err(|error| StartError::File(error.to_string()))?;
    let (prepared, guard) = loaded(&config, own(&doors, operators.as_ref()), test).await?;
    let telemetry = telemetry(&config).await?;
    let recent = Recent::new(&config.records.log.withhold, telemetry.aliases());
    let feed = Arc::new(Feed::default());
    let mut sinks = telemetry.sinks();
    sinks.extend([recent.clone() as Arc<dyn Sink>, feed.clone()]);
    let (reporter, news) = news::begin();
    sinks.push(reporter);
    let bus = Bus::new(sinks);
    let policies = prepared
        .manage(guard.clone(), bus.clone())
        .map_err(StartError::System)?;
    let listeners = doors.iter().map(shown).collect();
    let secured = with_tls(&doors, operators.as_ref());
    let asked = CancellationToken::new();
    let shared = Arc::new(Shared {
        connector: guard.connector(),
        forwarder: forwarder(&guard),
        health: Health::serving().await,
        admission: Admission::new(&config.limits),
        live: Arc::new(Registry::new(bus.clone())),
        shadow: Shadow::new(feed, bus.clone(), guard.limits()),
        config: ArcSwap::from_pointee(config),
        draining: CancellationToken::new(),
        cut: CancellationToken::new(),
        connections: TaskTracker::new(),
        policies,
        identities,
        telemetry,
        bus,
        guard,
    });
    let operated = Operated::new(
        Arc::clone(&shared),
        Arc::clone(&recent),
        listeners,
        secured,
        asked.clone(),
    );
    let admin = Admin::new(Arc::new(operated), access, recent);
    Ok(Assembled {
        shared,
        doors,
        operators,
        admin: Arc::new(admin),
        asked,
        news,
    })
}

fn doors(
    config: &Config,
    inherited: &mut Inherited,
) -> Result<Vec<(Arc<Entrance>, Door)>, StartError> {
    let open = |listener: &config::Listener| {
        let manner = Manner {
            unix_mode: listener.unix_mode,
            reuse_port: listener.reuse_port,
            backlog: config.limits.backlog,
        };
        let entrance = Entrance {
            tls: secured(listener.tls.as_ref().map(tls::Files::of_listener))?,
            config: ArcSwap::from_pointee(listener.clone()),
        };
        let door = door(&listener.bind, manner, inherited)?;
        Ok((Arc::new(entrance), door))
    };
    config.listener.iter().map(open).collect()
}

fn operators(config: &Config, inherited: &mut Inherited) -> Result<Option<Operators>, StartError> {
    let admin = &config.admin;
    if !admin.enabled {
        return Ok(None);
    }
    let manner = Manner {
        unix_mode: admin.unix_mode,
        reuse_port: false,
        backlog: ADMIN_BACKLOG,
    };
    Ok(Some(Operators {
        tls: secured(admin.tls.as_ref().map(tls::Files::of_admin))?,
        door: Arc::new(door(&admin.bind, manner, inherited)?),
    }))
}

pub(crate) fn secured(files: Option<tls::Files>) -> Result<Option<Arc<tls::Tls>>, StartError> {
    let read = files.map(|files| tls::Tls::new(&files)).transpose();
    let read = read.map_err(|error| StartError::File(error.to_string()))?;
    Ok(read.map(Arc::new))
}

fn door(
    bind: &config::Bind,
    manner: Manner,
    inherited: &mut Inherited,
) -> Result<Door, StartError> {
    Door::open(bind, manner, inherited).map_err(|problem| StartError::Bind {
        bind: bind.to_string(),
        problem,
    })
}

/// Where the gateway itself listens, so that nobody is led to fetch from it.
fn own(doors: &[(Arc<Entrance>, Door)], operators: Option<&Operators>) -> Vec<SocketAddr> {
    let doors = doors.iter().map(|(_, door)| door);
    let doors = doors.chain(operators.map(|operators| &*operators.door));
    doors.filter_map(Door::address).collect()
}

/// Reads, tests and compiles the first policies, which takes a while.
pub(crate) async fn loaded(
    config: &Config,
    own: Vec<SocketAddr>,
    test: Option<SelfTest>,
) -> Result<(Prepared, Guard), StartError> {
    let (policy, limits) = (config.policy.clone(), limits(config));
    let builder = builder(config, own);
    let loading = tokio::task::spawn_blocking(move || {
        let prepared = Prepared::read(&policy, &limits, test)?;
        let guard = prepared.build(builder)?;
        Ok((prepared, guard))
    });
    let loaded = loading.await.map_err(|error| StartError::Policy {
        message: format!("loading the policy broke off: {error}"),
        hint: None,
    })?;
    loaded.map_err(|failure: Failure| StartError::Policy {
        message: failure.message,
        hint: failure.hint,
    })
}

/// A guard without its policies: who looks up, what is granted, what is bounded.
fn builder(config: &Config, own: Vec<SocketAddr>) -> GuardBuilder {
    let builder = Guard::builder()
        .grants(config.floor.grants.iter().copied())
        .nat64(config.floor.nat64.iter().copied())
        .listeners(own)
        .limits(limits(config))
        // The shadow and a replayable log need what the policies were asked; sinks withhold what must not be told.
        .record_inputs(Inputs::Keep);
    resolver(builder, &config.dns)
}

fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    limits.resolve = config.dns.timeout.get();
    limits.connect = config.tunnels.connect.get();
    // Others are tried after a quarter of a second, whatever becomes of the first: one address may take the whole time.
    limits.attempt = limits.connect;
    limits.policy_instances = config.limits.policy_instances;
    limits
}

/// Opens the log and whatever else is told to. A file can block, and a collector of traces has a guard of its own.
async fn telemetry(config: &Config) -> Result<Telemetry, StartError> {
    let (records, dns) = (config.records.clone(), config.dns.clone());
    let starting = tokio::task::spawn_blocking(move || {
        let servers = servers(&dns);
        let fixed = fixed(&dns);
        match servers {
            Some(servers) => Telemetry::start(&records, fixed.or(servers)),
            None => Telemetry::start(&records, fixed),
        }
    });
    let started = starting.await.map_err(|error| error.to_string());
    started
        .and_then(|started| started)
        .map_err(StartError::File)
}

/// Fixed names first, then the configured servers, else those of the system, which is what a guard asks by itself.
fn resolver(builder: GuardBuilder, dns: &config::Dns) -> GuardBuilder {
    match (dns.fixed.is_empty(), servers(dns)) {
        (true, Some(servers)) => builder.resolver(servers),
        (true, None) => builder,
        (false, Some(servers)) => builder.resolver(fixed(dns).or(servers)),
        (false, None) => builder.resolver(fixed(dns)),
    }
}

fn servers(dns: &config::Dns) -> Option<Dns> {
    match dns.servers.is_empty() {
        // Where the system names none, fixed names and addresses still work.
        true => Dns::system_servers().ok(),
        false => Some(Dns::servers(dns.servers.iter().copied())),
    }
}

fn fixed(dns: &config::Dns) -> Fixed {
    let names = dns.fixed.iter();
    names.fold(Fixed::default(), |fixed, (name, addresses)| {
        fixed.with(
            name.clone(),
            Answers::from_addresses(addresses.iter().copied()),
        )
    })
}

/// Without roots: `https://` is refused before it comes here, since TLS is not ended in a gateway.
fn forwarder(guard: &Guard) -> pinfold_http::Forwarder {
    let roots = pinfold_http::TlsRoots::Only(Vec::new());
    pinfold_http::Forwarder::new(guard, kept(), &roots)
}

/// As many connections to a server as a busy service has requests under way. With the few that suit one client, most
/// would be opened for a single request.
fn kept() -> pinfold_http::Limits {
    let mut limits = pinfold_http::Limits::default();
    limits.idle_per_origin = KEPT_PER_ORIGIN;
    limits.idle_total = KEPT;
    limits
}

/// Listeners that have a certificate, by name.
fn with_tls(
    doors: &[(Arc<Entrance>, Door)],
    operators: Option<&Operators>,
) -> Vec<(String, Arc<tls::Tls>)> {
    let of_doors = doors.iter().filter_map(|(entrance, _)| {
        let tls = entrance.tls.as_ref()?;
        Some((entrance.config.load().name.clone(), Arc::clone(tls)))
    });
    let of_operators = operators.and_then(|operators| operators.tls.as_ref());
    let of_operators = of_operators.map(|tls| ("admin".to_owned(), Arc::clone(tls)));
    of_doors.chain(of_operators).collect()
}

/// A listener, as operators are shown it.
fn shown((entrance, door): &(Arc<Entrance>, Door)) -> Value {
    let config = entrance.config.load();
    let bound = door.address().map(|address| address.to_string());
    json!({
        "name": config.name,
        "bind": bound.unwrap_or_else(|| config.bind.to_string()),
        "protocols": config.protocols,
        "tls": entrance.tls.is_some(),
    })
}

const KEPT_PER_ORIGIN: usize = 128;
/// Within the files that [`Descriptors`](crate::Descriptors) has to spare.
const KEPT: usize = 256;
/// Operators are few.
const ADMIN_BACKLOG: u32 = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_address_may_take_the_whole_time() {
        for (text, whole) in [
            ("", 10),
            ("tunnels.connect = '45s'", 45),
            ("tunnels.connect = '1s'", 1),
        ] {
            let limits = limits(&toml::from_str(text).unwrap());
            assert_eq!(limits.connect, Duration::from_secs(whole), "{text}");
            assert_eq!(limits.attempt, limits.connect, "{text}");
        }
    }
}
