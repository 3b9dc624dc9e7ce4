//! The known rebinding strategies, by name.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::{Code, Kind, Reply, Strategy, Tamper, View, Zone};

/// Where an attack plays: which addresses stand for what, and under which name.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Names of attacks are `<anything>.<attack>.<apex>`.
    pub apex: String,
    /// Stands for a public server.
    pub public: Ipv4Addr,
    /// A public server with IPv6, where the machine has IPv6.
    pub public_v6: Option<Ipv6Addr>,
    /// Stands for a server that must not be reached.
    pub internal: Ipv4Addr,
}

/// One way to rebind a name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attack {
    /// Its name, which is also a label of its domain names.
    pub name: &'static str,
    /// What it does and what it is after.
    pub about: &'static str,
    /// How it answers.
    pub strategy: Strategy,
    /// Whether the naive client of [`plain`](crate::plain) is rebound at the first fetch of a name.
    pub fools_plain: bool,
    /// Whether a resolver has cause to ask more than once within one lookup: no usable answer at
    /// first, a cut answer, an alias without the answer of its target.
    pub provokes_retry: bool,
}

impl Scene {
    /// Puts every attack into a zone, and the names that they use: `public.<apex>`,
    /// `internal.<apex>`, `localhost`.
    pub fn set(&self, zone: &Zone) {
        zone.name(&self.of("public"), Strategy::Always(self.public()))
            .name(&self.of("internal"), Strategy::Always(self.internal()))
            .name(
                "localhost",
                Strategy::Always(Reply::address(Ipv4Addr::LOCALHOST)),
            );
        for attack in attacks(self) {
            zone.name(&format!("*.{}.{}", attack.name, self.apex), attack.strategy);
        }
    }

    /// A name under the apex.
    pub fn of(&self, label: &str) -> String {
        format!("{label}.{}", self.apex)
    }

    fn public(&self) -> Reply {
        Reply::address(self.public)
    }

    fn internal(&self) -> Reply {
        Reply::address(self.internal)
    }

    fn in_6to4(&self) -> Reply {
        let [w, x, y, z] = self.internal.octets();
        let (high, low) = (u16::from_be_bytes([w, x]), u16::from_be_bytes([y, z]));
        Reply::address(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1))
    }

    /// The internal address inside an IPv6 one: `prefix` holds the octets before it.
    fn wrapped(&self, prefix: [u16; 6]) -> Reply {
        let [a, b, c, d, e, f] = prefix;
        let [w, x, y, z] = self.internal.octets();
        let (high, low) = (u16::from_be_bytes([w, x]), u16::from_be_bytes([y, z]));
        Reply::address(Ipv6Addr::new(a, b, c, d, e, f, high, low))
    }
}

/// All of them.
pub fn attacks(scene: &Scene) -> Vec<Attack> {
    [
        schedules(scene),
        answers(scene),
        aliases(scene),
        wrappers(scene),
        failures(scene),
        packets(scene),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Public at first, internal later.
fn schedules(scene: &Scene) -> Vec<Attack> {
    let (p, i) = (|| scene.public(), || scene.internal());
    let millis = Duration::from_millis;
    vec![
        fools(
            "first-then-second",
            "the check sees the public address, the fetch the internal one",
            Strategy::first_then_second(p(), i()),
        ),
        fools(
            "round-robin",
            "the answer alternates",
            Strategy::RoundRobin(vec![p(), i()]),
        ),
        safe(
            "random",
            "each answer is drawn anew",
            Strategy::Random {
                replies: vec![p(), i()],
                seed: 0x5eed,
            },
        ),
        fools(
            "once-then-forever",
            "public once, internal for ever",
            Strategy::after(1, p(), i()),
        ),
        safe(
            "twice-then-forever",
            "survives a client that checks twice",
            Strategy::after(2, p(), i()),
        ),
        fools(
            "programme-repeats",
            "public once, internal twice, and again",
            Strategy::Programme {
                steps: vec![(1, p()), (2, i())],
                repeat: true,
            },
        ),
        fools(
            "timed",
            "internal from a moment on, however often it was asked",
            Strategy::Timed {
                first: p(),
                second: i(),
                after: millis(20),
                window: None,
            },
        ),
        fools(
            "timed-window",
            "internal only for a while",
            Strategy::Timed {
                first: p(),
                second: i(),
                after: millis(20),
                window: Some(millis(500)),
            },
        ),
        fools(
            "ttl-zero",
            "nothing may be kept",
            Strategy::after(1, p().ttl(0), i().ttl(0)),
        ),
        fools(
            "ttl-largest",
            "kept for 68 years (2^31-1), if one believes it",
            Strategy::after(1, p().ttl(0x7fff_ffff), i().ttl(0x7fff_ffff)),
        ),
        fools(
            "ttl-overflow",
            "above 2^31-1, which counts as 0 (RFC 2181)",
            Strategy::after(1, p().ttl(u32::MAX), i().ttl(u32::MAX)),
        ),
        safe(
            "ttl-shrinks",
            "300 s, then 1 s, then the internal address",
            Strategy::Programme {
                steps: vec![(1, p().ttl(300)), (1, p().ttl(1)), (1, i())],
                repeat: false,
            },
        ),
        fools(
            "zero-later",
            "0.0.0.0 is this host on Linux and macOS",
            Strategy::after(1, p(), Reply::address(Ipv4Addr::UNSPECIFIED)),
        ),
        fools(
            "other-port",
            "the client that asked first sees another answer than the next",
            Strategy::PerClient {
                by: View::Port,
                first: p(),
                other: i(),
            },
        ),
        safe(
            "other-subnet",
            "who tells a client subnet sees another answer",
            Strategy::PerClient {
                by: View::Subnet,
                first: p(),
                other: i(),
            },
        ),
        safe(
            "delayed",
            "the internal answer comes late",
            Strategy::after(2, p(), i().delay(millis(30))),
        ),
    ]
}

/// Several records in one answer.
fn answers(scene: &Scene) -> Vec<Attack> {
    let (p, i) = (|| scene.public(), || scene.internal());
    let near =
        |count: u8| Reply::addresses((1..=count).map(|last| IpAddr::from([127, 0, 1, last])));
    let v6 = scene.public_v6.map_or_else(Reply::no_data, Reply::address);
    vec![
        safe(
            "mixed",
            "both addresses: the client fails over to the internal one",
            Strategy::Always(p().ttl(10).and(i())),
        ),
        safe(
            "mixed-internal-first",
            "both addresses, the internal one first",
            Strategy::Always(i().and(p().ttl(10))),
        ),
        fools(
            "mixed-rotated",
            "both addresses, in changing order",
            Strategy::RoundRobin(vec![p().and(i()), i().and(p())]),
        ),
        fools(
            "mixed-dead-first",
            "a dead address, then the internal one",
            Strategy::Always(near(1).and(i())),
        ),
        safe(
            "static-ttls",
            "several records with times to live of their own",
            Strategy::Always(p().ttl(300).and(near(2).ttl(5)).and(i().ttl(1))),
        ),
        fools(
            "zero-address",
            "0.0.0.0 is this host on Linux and macOS",
            Strategy::Always(Reply::address(Ipv4Addr::UNSPECIFIED)),
        ),
        fools_retried(
            "many",
            "200 addresses, the internal one last: too much for a datagram",
            Strategy::Always(near(199).and(i())),
        ),
        fools_retried(
            "many-later",
            "200 addresses at the second lookup",
            Strategy::after(1, p(), near(199).and(i())),
        ),
        safe(
            "family-split-v4",
            "A is internal, AAAA is public",
            Strategy::family_split(i(), v6),
        ),
        safe(
            "hint",
            "a service binding names the internal address",
            Strategy::WithKind {
                kind: Kind::Https,
                reply: Reply::hint([scene.internal.into()]),
                rest: Box::new(Strategy::Always(p())),
            },
        ),
        safe(
            "hint-unasked",
            "the same, in the additional section",
            Strategy::Always(p().unasked_hint([scene.internal.into()])),
        ),
        safe(
            "other-owner",
            "the internal address belongs to another name",
            Strategy::Always(i().owner(&scene.of("elsewhere")).and(p())),
        ),
        safe(
            "other-owner-alone",
            "the same, and nothing else",
            Strategy::Always(i().owner(&scene.of("elsewhere"))),
        ),
    ]
}

/// By another name.
fn aliases(scene: &Scene) -> Vec<Attack> {
    let p = || scene.public();
    let internal = || Reply::alias(scene.of("internal")).ttl(10);
    vec![
        safe(
            "alias",
            "an alias of an internal name",
            Strategy::Always(internal()),
        ),
        retried(
            "alias-bare",
            "an alias without the answer of its target",
            Strategy::Always(internal().bare()),
        ),
        safe(
            "alias-localhost",
            "an alias of `localhost`",
            Strategy::Always(Reply::alias("localhost").ttl(10)),
        ),
        fools(
            "alias-later",
            "an alias from the second lookup on",
            Strategy::after(1, Reply::alias(scene.of("public")), internal()),
        ),
        safe(
            "subtree",
            "the whole subtree moves (DNAME)",
            Strategy::Always(Reply::subtree(scene.of("inside"), scene.internal)),
        ),
        fools(
            "subtree-later",
            "the whole subtree moves from the second lookup on",
            Strategy::after(1, p(), Reply::subtree(scene.of("inside"), scene.internal)),
        ),
        safe(
            "chain-short",
            "three aliases to the internal address",
            Strategy::Always(Reply::chain(3, &scene.of("short"), scene.internal)),
        ),
        safe(
            "chain-long",
            "twenty aliases to the internal address",
            Strategy::Always(Reply::chain(20, &scene.of("long"), scene.internal)),
        ),
        retried(
            "chain-loop",
            "aliases of each other",
            Strategy::Always(Reply::alias_loop(&scene.of("loop"))),
        ),
    ]
}

/// The internal address inside an IPv6 one.
fn wrappers(scene: &Scene) -> Vec<Attack> {
    let p = || scene.public();
    let always = |prefix| Strategy::Always(scene.wrapped(prefix));
    vec![
        fools_v6(
            scene,
            "family-split-v6",
            "A is public, AAAA is the internal one, mapped",
            Strategy::family_split(p(), scene.wrapped([0, 0, 0, 0, 0, 0xffff])),
        ),
        fools_v6(
            scene,
            "mapped",
            "`::ffff:a.b.c.d`",
            always([0, 0, 0, 0, 0, 0xffff]),
        ),
        fools_v6(
            scene,
            "mapped-later",
            "the same, at the second lookup",
            Strategy::PerFamily {
                v4: Box::new(Strategy::Always(p())),
                v6: Box::new(Strategy::after(
                    1,
                    Reply::no_data(),
                    scene.wrapped([0, 0, 0, 0, 0, 0xffff]),
                )),
            },
        ),
        safe("compatible", "`::a.b.c.d`", always([0; 6])),
        safe(
            "translated",
            "`::ffff:0:a.b.c.d`",
            always([0, 0, 0, 0, 0xffff, 0]),
        ),
        safe(
            "nat64",
            "`64:ff9b::a.b.c.d`",
            always([0x64, 0xff9b, 0, 0, 0, 0]),
        ),
        safe(
            "nat64-local",
            "`64:ff9b:1::a.b.c.d`",
            always([0x64, 0xff9b, 1, 0, 0, 0]),
        ),
        safe(
            "isatap",
            "`2001:db8::5efe:a.b.c.d`",
            always([0x2001, 0xdb8, 0, 0, 0, 0x5efe]),
        ),
        safe("6to4", "`2002:ab:cd::1`", Strategy::Always(scene.in_6to4())),
    ]
}

/// A failure first: a client that asks again gets something else.
fn failures(scene: &Scene) -> Vec<Attack> {
    let (p, i) = (|| scene.public(), || scene.internal());
    let then = |failure| Strategy::Programme {
        steps: vec![(1, failure), (1, p()), (1, i())],
        repeat: false,
    };
    let straight = |failure| Strategy::after(1, failure, i());
    vec![
        fools_retried(
            "servfail-then-both",
            "a failure, then public, then internal",
            then(Reply::code(Code::ServFail)),
        ),
        retried(
            "servfail-then-internal",
            "a failure, then internal",
            straight(Reply::code(Code::ServFail)),
        ),
        fools_retried(
            "silence-then-both",
            "no reply, then public, then internal",
            then(Reply::silence()),
        ),
        retried(
            "silence-then-internal",
            "no reply, then internal",
            straight(Reply::silence()),
        ),
        retried(
            "no-data-then-internal",
            "no record of this type, then internal",
            straight(Reply::no_data()),
        ),
        retried(
            "nxdomain-then-internal",
            "no such name, then internal",
            straight(Reply::code(Code::NxDomain)),
        ),
        retried(
            "refused-then-internal",
            "a refusal, then internal",
            straight(Reply::code(Code::Refused)),
        ),
    ]
}

/// Bent packets, and other answers by transport.
fn packets(scene: &Scene) -> Vec<Attack> {
    let (p, i) = (|| scene.public(), || scene.internal());
    let bent = |tamper| Strategy::Always(i().tamper(tamper));
    let forged = |tamper| Strategy::Always(i().tamper(tamper).then(p()));
    let tcp_later = Strategy::PerTransport {
        udp: Box::new(Strategy::Always(p().truncated())),
        tcp: Box::new(Strategy::after(2, p(), i())),
    };
    vec![
        safe(
            "tcp-differs",
            "public over UDP, internal over TCP",
            Strategy::transport_split(p(), i()),
        ),
        retried(
            "cut-tcp-differs",
            "a cut public answer over UDP, internal over TCP",
            Strategy::transport_split(p().truncated(), i()),
        ),
        fools_retried(
            "cut-tcp-later",
            "a cut answer over UDP, public then internal over TCP",
            tcp_later,
        ),
        safe(
            "wrong-id",
            "a forged answer with another transaction id comes first",
            forged(Tamper::WrongId),
        ),
        safe(
            "wrong-question",
            "a forged answer to another question comes first",
            forged(Tamper::WrongQuestion),
        ),
        retried(
            "flipped-case",
            "the question comes back in other letters (0x20)",
            Strategy::Always(p().tamper(Tamper::FlippedCase)),
        ),
        retried("garbage", "no DNS message", bent(Tamper::Garbage)),
        retried("short", "seven octets of an answer", bent(Tamper::Short(7))),
        retried(
            "header-only",
            "twelve octets of an answer",
            bent(Tamper::Short(12)),
        ),
        retried(
            "lying-counts",
            "more records in the header than in the packet",
            bent(Tamper::LyingCounts),
        ),
        retried(
            "pointer-loop",
            "a compression pointer that points to itself",
            bent(Tamper::PointerLoop),
        ),
        retried(
            "raw",
            "text",
            Strategy::Always(Reply::raw("HTTP/1.1 200 OK\r\n\r\n")),
        ),
    ]
}

fn safe(name: &'static str, about: &'static str, strategy: Strategy) -> Attack {
    Attack {
        name,
        about,
        strategy,
        fools_plain: false,
        provokes_retry: false,
    }
}

fn fools(name: &'static str, about: &'static str, strategy: Strategy) -> Attack {
    Attack {
        fools_plain: true,
        ..safe(name, about, strategy)
    }
}

fn retried(name: &'static str, about: &'static str, strategy: Strategy) -> Attack {
    Attack {
        provokes_retry: true,
        ..safe(name, about, strategy)
    }
}

fn fools_retried(name: &'static str, about: &'static str, strategy: Strategy) -> Attack {
    Attack {
        fools_plain: true,
        ..retried(name, about, strategy)
    }
}

/// Needs a socket of the other family.
fn fools_v6(scene: &Scene, name: &'static str, about: &'static str, strategy: Strategy) -> Attack {
    Attack {
        fools_plain: scene.public_v6.is_some(),
        ..safe(name, about, strategy)
    }
}
