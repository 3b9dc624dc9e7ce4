use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{
        Name, RecordType,
        rdata::opt::{ClientSubnet, EdnsOption},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout},
};

use super::*;

const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const INTERNAL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const WAIT: Duration = Duration::from_millis(200);

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

/// Every datagram that comes within [`WAIT`] of the last one.
async fn udp(server: SocketAddr, query: &Message) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket
        .send_to(&query.to_vec().unwrap(), server)
        .await
        .unwrap();
    let mut packets = Vec::new();
    let mut buffer = vec![0; 65_535];
    while let Ok(length) = timeout(WAIT, socket.recv(&mut buffer)).await {
        packets.push(buffer[..length.unwrap()].to_vec());
    }
    packets
}

async fn tcp(server: SocketAddr, query: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let packet = query.to_vec().unwrap();
    stream
        .write_u16(packet.len().try_into().unwrap())
        .await
        .unwrap();
    stream.write_all(&packet).await.unwrap();
    let mut reply = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

async fn ask(server: &DnsServer, name: &str, kind: RecordType) -> Message {
    let packets = udp(server.addr(), &query(name, kind)).await;
    Message::from_vec(&packets[0]).unwrap()
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    message
        .answers
        .iter()
        .filter_map(|record| record.data.ip_addr())
        .collect()
}

#[tokio::test]
async fn each_name_below_a_pattern_has_a_state_of_its_own() {
    let server = DnsServer::start().await.unwrap();
    let strategy = Strategy::first_then_second(Reply::address(PUBLIC), Reply::address(INTERNAL));
    server.name("*.fs.example.com", strategy);
    for name in [
        "1.fs.example.com.",
        "2.fs.example.com.",
        "a.b.fs.example.com.",
    ] {
        let [first, second] = [
            ask(&server, name, RecordType::A).await,
            ask(&server, name, RecordType::A).await,
        ];
        assert_eq!(addresses(&first), [PUBLIC], "{name}");
        assert_eq!(addresses(&second), [INTERNAL], "{name}");
    }
    let other = ask(&server, "fs.example.com.", RecordType::A).await;
    assert_eq!(other.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn the_log_holds_name_type_transport_and_subnet() {
    let server = DnsServer::start().await.unwrap();
    server.name("x.example.com", Strategy::Always(Reply::address(PUBLIC)));
    let mut question = query("X.Example.com.", RecordType::AAAA);
    let mut edns = Edns::new();
    edns.options_mut()
        .insert(EdnsOption::Subnet(ClientSubnet::new(
            INTERNAL.into(),
            32,
            0,
        )));
    question.set_edns(edns);
    let empty = udp(server.addr(), &question).await;
    assert!(Message::from_vec(&empty[0]).unwrap().answers.is_empty());
    tcp(server.addr(), &query("x.example.com.", RecordType::A)).await;

    let log = server.log().questions();
    let [first, second] = log.as_slice() else {
        panic!("{log:?}")
    };
    assert_eq!(
        (first.name.as_str(), first.written.as_str()),
        ("x.example.com", "X.Example.com.")
    );
    assert_eq!((first.kind, first.transport), (Kind::Aaaa, Transport::Udp));
    assert_eq!(first.subnet, Some(INTERNAL.into()));
    assert_eq!(
        (second.kind, second.transport, second.subnet),
        (Kind::A, Transport::Tcp, None)
    );
    assert_eq!(server.log().count("x.EXAMPLE.com.", Kind::A), 1);
    assert_eq!(server.log().counts("example.com").len(), 2);
    server.log().clear();
    assert_eq!(server.log().total(), 0);
}

#[tokio::test]
async fn two_hundred_addresses_are_cut_and_come_whole_over_tcp() {
    let server = DnsServer::start().await.unwrap();
    let many = Reply::addresses((1..=200).map(|last| IpAddr::from([127, 0, 1, last])));
    server.name("x.example.com", Strategy::Always(many));
    let cut = ask(&server, "x.example.com.", RecordType::A).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let whole = tcp(server.addr(), &query("x.example.com.", RecordType::A)).await;
    assert_eq!(whole.answers.len(), 200);
}

#[tokio::test]
async fn aliases_are_followed_inside_the_zone_unless_bare() {
    let server = DnsServer::start().await.unwrap();
    server
        .name(
            "b.example.com",
            Strategy::Always(Reply::alias("c.example.com")),
        )
        .name("c.example.com", Strategy::Always(Reply::address(INTERNAL)))
        .name(
            "a.example.com",
            Strategy::Always(Reply::alias("b.example.com")),
        )
        .name(
            "bare.example.com",
            Strategy::Always(Reply::alias("b.example.com").bare()),
        )
        .name(
            "self.example.com",
            Strategy::Always(Reply::alias("self.example.com")),
        )
        .name(
            "chain.example.com",
            Strategy::Always(Reply::chain(20, "example.com", INTERNAL)),
        )
        .name(
            "loop.example.com",
            Strategy::Always(Reply::alias_loop("example.com")),
        )
        .name(
            "*.old.example.com",
            Strategy::Always(Reply::subtree("new.example.com", INTERNAL)),
        );
    let rows: [(&str, usize, &[IpAddr]); 6] = [
        ("a.example.com.", 3, &[INTERNAL.into()]),
        ("bare.example.com.", 1, &[]),
        ("self.example.com.", crate::limits::CHASE + 1, &[]),
        ("chain.example.com.", 21, &[INTERNAL.into()]),
        ("loop.example.com.", 3, &[]),
        ("x.old.example.com.", 3, &[INTERNAL.into()]),
    ];
    for (name, records, expected) in rows {
        let answer = tcp(server.addr(), &query(name, RecordType::A)).await;
        assert_eq!(answer.answers.len(), records, "{name}: {answer:?}");
        assert_eq!(addresses(&answer), expected, "{name}");
    }
    let moved = tcp(server.addr(), &query("x.old.example.com.", RecordType::A)).await;
    assert_eq!(moved.answers[2].name.to_ascii(), "x.new.example.com.");
}

#[tokio::test]
async fn packets_are_bent() {
    let server = DnsServer::start().await.unwrap();
    let bent = |tamper| Strategy::Always(Reply::address(INTERNAL).tamper(tamper));
    server
        .name("garbage.example.com", bent(Tamper::Garbage))
        .name("counts.example.com", bent(Tamper::LyingCounts))
        .name("pointer.example.com", bent(Tamper::PointerLoop))
        .name("short.example.com", bent(Tamper::Short(7)))
        .name("id.example.com", bent(Tamper::WrongId))
        .name("question.example.com", bent(Tamper::WrongQuestion))
        .name("case.example.com", bent(Tamper::FlippedCase))
        .name("raw.example.com", Strategy::Always(Reply::raw("hello")))
        .name("silence.example.com", Strategy::Always(Reply::silence()));
    for name in ["garbage", "counts", "pointer", "short", "raw"] {
        let packets = udp(
            server.addr(),
            &query(&format!("{name}.example.com."), RecordType::A),
        )
        .await;
        assert_eq!(packets.len(), 1, "{name}");
        assert!(Message::from_vec(&packets[0]).is_err(), "{name}");
    }
    let silence = udp(server.addr(), &query("silence.example.com.", RecordType::A)).await;
    assert!(silence.is_empty());

    let question = query("id.example.com.", RecordType::A);
    let packets = udp(server.addr(), &question).await;
    assert_ne!(
        Message::from_vec(&packets[0]).unwrap().metadata.id,
        question.metadata.id
    );
    let other = ask(&server, "question.example.com.", RecordType::A).await;
    assert_eq!(other.queries[0].name().to_ascii(), "other.example.net.");
    let case = ask(&server, "case.example.com.", RecordType::A).await;
    assert_eq!(case.queries[0].name().to_ascii(), "CASE.EXAMPLE.COM.");
}

#[tokio::test]
async fn a_forged_packet_comes_first_and_a_delay_is_kept() {
    let server = DnsServer::start().await.unwrap();
    let late = Reply::address(PUBLIC).delay(Duration::from_millis(50));
    let forged = Reply::address(INTERNAL).tamper(Tamper::WrongId).then(late);
    server.name("x.example.com", Strategy::Always(forged));
    let start = Instant::now();
    let packets = udp(server.addr(), &query("x.example.com.", RecordType::A)).await;
    assert!(start.elapsed() >= Duration::from_millis(50));
    let messages: Vec<_> = packets
        .iter()
        .map(|packet| Message::from_vec(packet).unwrap())
        .collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(addresses(&messages[0]), [INTERNAL]);
    assert_eq!(addresses(&messages[1]), [PUBLIC]);
}

#[tokio::test]
async fn hints_are_given_asked_and_unasked() {
    let server = DnsServer::start().await.unwrap();
    let base = Reply::address(PUBLIC).unasked_hint([INTERNAL.into()]);
    server.name(
        "x.example.com",
        Strategy::WithKind {
            kind: Kind::Https,
            reply: Reply::hint([INTERNAL.into()]),
            rest: Box::new(Strategy::Always(base)),
        },
    );
    let asked = ask(&server, "x.example.com.", RecordType::HTTPS).await;
    assert_eq!(asked.answers[0].record_type(), RecordType::HTTPS);
    assert!(
        asked.answers[0].to_string().contains("127.0.0.3"),
        "{}",
        asked.answers[0]
    );
    let unasked = ask(&server, "x.example.com.", RecordType::A).await;
    assert_eq!(addresses(&unasked), [PUBLIC]);
    assert_eq!(unasked.additionals[0].record_type(), RecordType::HTTPS);
}

#[tokio::test]
async fn it_stops_when_dropped() {
    let server = DnsServer::start().await.unwrap();
    let addr = server.addr();
    drop(server);
    tokio::task::yield_now().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[test]
fn attacks_have_names_of_their_own_that_are_labels() {
    let scene = Scene {
        apex: "lab.example.com".into(),
        public: PUBLIC,
        public_v6: None,
        internal: INTERNAL,
    };
    let mut names: Vec<_> = attacks(&scene).iter().map(|attack| attack.name).collect();
    for name in &names {
        assert!(
            name.bytes()
                .all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-')),
            "{name}"
        );
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 60, "{count}");
}
