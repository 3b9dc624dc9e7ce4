//! Which reply a question gets, depending on what was asked before.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::{Kind, Question, Reply, Transport};

/// The behaviour of a name. Each name has a state of its own, one for each record type, so that the
/// two questions of one lookup (`A` and `AAAA`) do not push each other on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Strategy {
    /// The same reply always.
    Always(Reply),
    /// `first` to the first question; `second` as long as the next question comes within `quiet`
    /// of the last; after a longer pause it begins anew.
    FirstThenSecond {
        /// What the check sees.
        first: Reply,
        /// What the fetch sees.
        second: Reply,
        /// The pause after which it begins anew.
        quiet: Duration,
    },
    /// One after the other, then from the start.
    RoundRobin(Vec<Reply>),
    /// Any of them, drawn anew for each question from the seed, the name and the count.
    Random {
        /// What is drawn from.
        replies: Vec<Reply>,
        /// The same seed draws the same.
        seed: u64,
    },
    /// Each reply so many times, in order; at the end the last one for ever, or from the start.
    Programme {
        /// How often, and what.
        steps: Vec<(u64, Reply)>,
        /// Whether to begin anew after the last.
        repeat: bool,
    },
    /// `second` from `after` on, counted from the first question, and for `window`; then `first`.
    Timed {
        /// Outside of the window.
        first: Reply,
        /// Inside of the window.
        second: Reply,
        /// When the window opens.
        after: Duration,
        /// How long it is open; none for ever.
        window: Option<Duration>,
    },
    /// Another behaviour for each family. Other types follow `v4`.
    PerFamily {
        /// For `A`.
        v4: Box<Self>,
        /// For `AAAA`.
        v6: Box<Self>,
    },
    /// Another behaviour for each transport.
    PerTransport {
        /// For datagrams.
        udp: Box<Self>,
        /// For connections.
        tcp: Box<Self>,
    },
    /// One view for the client that asked first, another for every other.
    PerClient {
        /// What tells clients apart.
        by: View,
        /// What the first client sees.
        first: Reply,
        /// What the others see.
        other: Reply,
    },
    /// Another behaviour for one record type.
    WithKind {
        /// The type.
        kind: Kind,
        /// What is answered to it.
        reply: Reply,
        /// The behaviour for the rest.
        rest: Box<Self>,
    },
}

/// What tells one client from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum View {
    /// Address and source port of the question: the same program, asking again, is another.
    Port,
    /// The client subnet in the question (EDNS): `other` to whoever tells one.
    Subnet,
}

/// What a name remembers of earlier questions of one type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Questions before this one.
    asked: u64,
    /// Questions since the last pause.
    burst: u64,
    began: Instant,
    last: Instant,
    first_client: SocketAddr,
}

impl Strategy {
    /// `first` once, then `second`, with a pause of 30 s to begin anew.
    pub fn first_then_second(first: Reply, second: Reply) -> Self {
        Self::FirstThenSecond {
            first,
            second,
            quiet: Duration::from_secs(30),
        }
    }

    /// `first` so many times, then `second` for ever.
    pub fn after(times: u64, first: Reply, second: Reply) -> Self {
        Self::Programme {
            steps: vec![(times, first), (1, second)],
            repeat: false,
        }
    }

    /// One reply for each family, always the same.
    pub fn family_split(v4: Reply, v6: Reply) -> Self {
        Self::PerFamily {
            v4: Box::new(Self::Always(v4)),
            v6: Box::new(Self::Always(v6)),
        }
    }

    /// One reply for each transport, always the same.
    pub fn transport_split(udp: Reply, tcp: Reply) -> Self {
        Self::PerTransport {
            udp: Box::new(Self::Always(udp)),
            tcp: Box::new(Self::Always(tcp)),
        }
    }

    /// Chooses, and remembers the question.
    pub(super) fn choose(&self, question: &Question, memory: &mut Option<Memory>) -> Reply {
        let before = memory.unwrap_or_else(|| Memory::new(question));
        let reply = self.pick(question, &before);
        *memory = Some(before.after(question, self.quiet()));
        reply.cloned().unwrap_or_else(Reply::no_data)
    }

    /// The reply; none when a list of replies is empty.
    fn pick(&self, question: &Question, memory: &Memory) -> Option<&Reply> {
        match self {
            Self::Always(reply) => Some(reply),
            Self::FirstThenSecond {
                first,
                second,
                quiet,
            } => Some(if memory.burst_at(question, *quiet) == 0 {
                first
            } else {
                second
            }),
            Self::RoundRobin(replies) => nth(replies, memory.asked),
            Self::Random { replies, seed } => nth(replies, draw(*seed, question, memory.asked)),
            Self::Programme { steps, repeat } => step(steps, *repeat, memory.asked),
            Self::Timed {
                first,
                second,
                after,
                window,
            } => {
                let since = question.at.saturating_duration_since(memory.began);
                let open = since >= *after && window.is_none_or(|window| since < *after + window);
                Some(if open { second } else { first })
            }
            Self::PerFamily { v4, v6 } => {
                if question.kind == Kind::Aaaa { v6 } else { v4 }.pick(question, memory)
            }
            Self::PerTransport { udp, tcp } => match question.transport {
                Transport::Udp => udp.pick(question, memory),
                Transport::Tcp => tcp.pick(question, memory),
            },
            Self::PerClient { by, first, other } => Some(if by.is_first(question, memory) {
                first
            } else {
                other
            }),
            Self::WithKind { kind, reply, rest } => {
                if question.kind == *kind {
                    Some(reply)
                } else {
                    rest.pick(question, memory)
                }
            }
        }
    }

    fn quiet(&self) -> Duration {
        match self {
            Self::FirstThenSecond { quiet, .. } => *quiet,
            _ => Duration::MAX,
        }
    }
}

impl Memory {
    fn new(question: &Question) -> Self {
        Self {
            asked: 0,
            burst: 0,
            began: question.at,
            last: question.at,
            first_client: question.client,
        }
    }

    fn after(self, question: &Question, quiet: Duration) -> Self {
        Self {
            asked: self.asked.saturating_add(1),
            burst: self.burst_at(question, quiet).saturating_add(1),
            last: question.at,
            ..self
        }
    }

    fn burst_at(&self, question: &Question, quiet: Duration) -> u64 {
        if question.at.saturating_duration_since(self.last) > quiet {
            0
        } else {
            self.burst
        }
    }
}

impl View {
    fn is_first(self, question: &Question, memory: &Memory) -> bool {
        match self {
            Self::Port => question.client == memory.first_client,
            Self::Subnet => question.subnet.is_none(),
        }
    }
}

fn nth(replies: &[Reply], count: u64) -> Option<&Reply> {
    let length = u64::try_from(replies.len())
        .ok()
        .filter(|length| *length > 0)?;
    replies.get(usize::try_from(count % length).ok()?)
}

fn step(steps: &[(u64, Reply)], repeat: bool, asked: u64) -> Option<&Reply> {
    let round: u64 = steps.iter().map(|(times, _)| times).sum();
    let mut left = if repeat && round > 0 {
        asked % round
    } else {
        asked
    };
    for (times, reply) in steps {
        if left < *times {
            return Some(reply);
        }
        left -= times;
    }
    steps.last().map(|(_, reply)| reply)
}

/// A number that depends on nothing but its inputs (FNV-1a, then the finaliser of SplitMix64).
fn draw(seed: u64, question: &Question, asked: u64) -> u64 {
    let kind = [u8::from(question.kind == Kind::Aaaa)];
    let octets = question.name.bytes().chain(kind).chain(asked.to_be_bytes());
    let hash = octets.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::dns::reply::{Body, Data};

    const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const INTERNAL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

    /// One letter a question: `p` for public, `i` for internal, `-` for anything else.
    fn play(strategy: &Strategy, questions: &[Question]) -> String {
        let mut memory = None;
        questions
            .iter()
            .map(|question| letter(&strategy.choose(question, &mut memory)))
            .collect()
    }

    fn letter(reply: &Reply) -> char {
        let Body::Records { answers, .. } = &reply.body else {
            return '-';
        };
        match answers.first().map(|entry| &entry.data) {
            Some(Data::Address(IpAddr::V4(PUBLIC))) => 'p',
            Some(Data::Address(IpAddr::V4(INTERNAL))) => 'i',
            _ => '-',
        }
    }

    fn ask(start: Instant, millis: u64) -> Question {
        Question {
            name: "x.lab.example.com".into(),
            written: "x.lab.example.com".into(),
            kind: Kind::A,
            transport: Transport::Udp,
            client: SocketAddr::from(([127, 0, 0, 1], 1000)),
            subnet: None,
            at: start + Duration::from_millis(millis),
        }
    }

    #[test]
    fn strategies_play_their_schedule() {
        let (p, i) = (|| Reply::address(PUBLIC), || Reply::address(INTERNAL));
        let millis = Duration::from_millis;
        let rows = [
            ("always", Strategy::Always(p()), "ppppp"),
            (
                "first then second",
                Strategy::first_then_second(p(), i()),
                "piiii",
            ),
            (
                "first then second, begins anew",
                Strategy::FirstThenSecond {
                    first: p(),
                    second: i(),
                    quiet: millis(5),
                },
                "ppppp",
            ),
            ("round robin", Strategy::RoundRobin(vec![p(), i()]), "pipip"),
            (
                "round robin of nothing",
                Strategy::RoundRobin(vec![]),
                "-----",
            ),
            ("after", Strategy::after(2, p(), i()), "ppiii"),
            (
                "programme that repeats",
                Strategy::Programme {
                    steps: vec![(1, p()), (2, i())],
                    repeat: true,
                },
                "piipi",
            ),
            (
                "programme of nothing",
                Strategy::Programme {
                    steps: vec![],
                    repeat: true,
                },
                "-----",
            ),
            (
                "timed",
                Strategy::Timed {
                    first: p(),
                    second: i(),
                    after: millis(20),
                    window: None,
                },
                "ppiii",
            ),
            (
                "timed with a window",
                Strategy::Timed {
                    first: p(),
                    second: i(),
                    after: millis(20),
                    window: Some(millis(20)),
                },
                "ppiip",
            ),
        ];
        let start = Instant::now();
        let questions: Vec<_> = (0..5).map(|count| ask(start, count * 10)).collect();
        for (name, strategy, expected) in rows {
            assert_eq!(play(&strategy, &questions), expected, "{name}");
        }
    }

    #[test]
    fn views_depend_on_who_asks_and_how() {
        let (p, i) = (Reply::address(PUBLIC), Reply::address(INTERNAL));
        let start = Instant::now();
        let first = ask(start, 0);
        let port = Question {
            client: SocketAddr::from(([127, 0, 0, 1], 1001)),
            ..ask(start, 0)
        };
        let tcp = Question {
            transport: Transport::Tcp,
            ..ask(start, 0)
        };
        let v6 = Question {
            kind: Kind::Aaaa,
            ..ask(start, 0)
        };
        let subnet = Question {
            subnet: Some(INTERNAL.into()),
            ..ask(start, 0)
        };
        let per = |by| Strategy::PerClient {
            by,
            first: p.clone(),
            other: i.clone(),
        };
        let rows = [
            ("port", per(View::Port), port),
            ("subnet", per(View::Subnet), subnet),
            (
                "transport",
                Strategy::transport_split(p.clone(), i.clone()),
                tcp,
            ),
            ("family", Strategy::family_split(p.clone(), i.clone()), v6),
        ];
        for (name, strategy, other) in rows {
            let questions = [first.clone(), other, first.clone()];
            assert_eq!(play(&strategy, &questions), "pip", "{name}");
        }
    }

    #[test]
    fn random_depends_on_the_seed_alone() {
        let random = |seed| Strategy::Random {
            replies: vec![Reply::address(PUBLIC), Reply::address(INTERNAL)],
            seed,
        };
        let start = Instant::now();
        let questions: Vec<_> = (0..64).map(|count| ask(start, count)).collect();
        let one = play(&random(1), &questions);
        assert_eq!(one, play(&random(1), &questions));
        assert_ne!(one, play(&random(2), &questions));
        assert!(one.contains('p') && one.contains('i'), "{one}");
    }
}
