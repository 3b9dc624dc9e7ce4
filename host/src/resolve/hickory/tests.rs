//! `Dns` against a real server on loopback, over UDP and TCP.

use std::sync::Mutex;

use hickory_resolver::proto::{
    op::{Message, OpCode},
    rr::{
        RData, Record,
        rdata::{A, AAAA, CNAME, SOA},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

use super::*;

/// What was asked: name in lower case, family, over TCP.
type Asked = (String, RecordType, bool);
/// Fills in the response to a question, or keeps silent.
type Script = dyn Fn(&Asked, usize, Message) -> Option<Message> + Send + Sync;

/// A server that plays a script and remembers what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn start(
        script: impl Fn(&Asked, usize, Message) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = bind().await;
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(serve_udp(udp, asked.clone(), script.clone()));
        tokio::spawn(serve_tcp(tcp, asked.clone(), script));
        Self { address, asked }
    }

    fn dns(&self) -> Dns {
        Dns::servers([self.address])
    }

    fn asked(&self) -> Vec<Asked> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

/// One port for both protocols.
async fn bind() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test server answers whoever asked"
)]
async fn serve_udp(socket: UdpSocket, asked: Arc<Mutex<Vec<Asked>>>, script: Arc<Script>) {
    let mut buffer = [0; 1500];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(bytes) = respond(&buffer[..len], false, &asked, &script) {
            socket.send_to(&bytes, from).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, asked: Arc<Mutex<Vec<Asked>>>, script: Arc<Script>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut question).await.unwrap();
        if let Some(bytes) = respond(&question, true, &asked, &script) {
            stream
                .write_u16(u16::try_from(bytes.len()).unwrap())
                .await
                .unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
        // The client closes first.
        tokio::spawn(async move { stream.read_u8().await });
    }
}

fn respond(
    bytes: &[u8],
    tcp: bool,
    asked: &Mutex<Vec<Asked>>,
    script: &Arc<Script>,
) -> Option<Vec<u8>> {
    let request = Message::from_vec(bytes).unwrap();
    let query = request.queries[0].clone();
    let this = (
        query.name().to_lowercase().to_ascii(),
        query.query_type(),
        tcp,
    );
    let nth = {
        let mut asked = asked.lock().unwrap();
        asked.push(this.clone());
        asked.iter().filter(|other| **other == this).count()
    };
    let mut response = Message::response(request.id, OpCode::Query);
    response.add_query(query);
    script(&this, nth, response).map(|response| response.to_vec().unwrap())
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn v4(owner: &str, last: u8, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
}

fn v6(owner: &str, ttl: u32) -> Record {
    Record::from_rdata(
        name(owner),
        ttl,
        RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    )
}

/// Both families, each with this TTL.
fn both(asked: &Asked, mut response: Message, ttl: u32) -> Option<Message> {
    match asked.1 {
        RecordType::A => response.add_answer(v4(&asked.0, 1, ttl)),
        _ => response.add_answer(v6(&asked.0, ttl)),
    };
    Some(response)
}

async fn look_up(dns: &Dns, of: &str) -> Result<Answers, ResolveError> {
    dns.resolve(&Domain::parse(of).unwrap()).await
}

fn reason(result: Result<Answers, ResolveError>) -> Reason {
    result.unwrap_err().reason
}

#[tokio::test]
async fn one_question_for_each_family_absolute() {
    let server = Server::start(|asked, _, response| both(asked, response, 0)).await;
    let answers = look_up(&server.dns(), "single").await.unwrap();
    let expected: Vec<IpAddr> = vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    assert_eq!(answers.addresses, expected);
    assert_eq!(
        server.asked(),
        [
            ("single.".into(), RecordType::A, false),
            ("single.".into(), RecordType::AAAA, false)
        ]
    );
}

#[tokio::test]
async fn special_names_are_asked_like_any_other() {
    let server = Server::start(|asked, _, response| both(asked, response, 0)).await;
    for special in ["localhost", "a.invalid", "printer.local"] {
        assert_eq!(
            look_up(&server.dns(), special)
                .await
                .unwrap()
                .addresses
                .len(),
            2,
            "{special}"
        );
    }
}

#[tokio::test]
async fn answers_are_kept_for_their_ttl() {
    let server = Server::start(|asked, _, response| both(asked, response, 60)).await;
    let dns = server.dns();
    for _ in 0..3 {
        look_up(&dns, "a.example").await.unwrap();
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn ttl_zero_is_asked_again() {
    let server = Server::start(|asked, _, response| both(asked, response, 0)).await;
    let dns = server.dns();
    for _ in 0..3 {
        look_up(&dns, "a.example").await.unwrap();
    }
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn a_missing_family_is_no_error() {
    let server = Server::start(|asked, _, response| match asked.1 {
        RecordType::AAAA => Some(response),
        _ => both(asked, response, 60),
    })
    .await;
    assert_eq!(
        look_up(&server.dns(), "a.example")
            .await
            .unwrap()
            .addresses
            .len(),
        1
    );
}

#[tokio::test]
async fn a_failing_family_fails_the_lookup() {
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::FormErr,
    ] {
        let server = Server::start(move |asked, _, mut response| match asked.1 {
            RecordType::AAAA => {
                response.metadata.response_code = code;
                Some(response)
            }
            _ => both(asked, response, 60),
        })
        .await;
        assert_eq!(
            reason(look_up(&server.dns(), "a.example").await),
            Reason::ResolveFailed,
            "{code}"
        );
        let v4_only = server.dns().families(Families::Ipv4);
        assert_eq!(
            look_up(&v4_only, "a.example")
                .await
                .unwrap()
                .addresses
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn absence_is_kept_only_as_long_as_the_server_says() {
    let soa = |ttl| {
        SOA::new(
            name("ns.example."),
            name("root.example."),
            1,
            60,
            60,
            60,
            ttl,
        )
    };
    let server = Server::start(move |asked, _, mut response| {
        response.metadata.response_code = ResponseCode::NXDomain;
        let ttl = if asked.0.starts_with("kept") { 60 } else { 0 };
        response.add_authority(Record::from_rdata(
            name("example."),
            ttl,
            RData::SOA(soa(ttl)),
        ));
        Some(response)
    })
    .await;
    let dns = server.dns();
    for of in [
        "kept.example",
        "kept.example",
        "asked.example",
        "asked.example",
    ] {
        assert_eq!(reason(look_up(&dns, of).await), Reason::ResolveNoAnswer);
    }
    assert_eq!(
        server
            .asked()
            .iter()
            .filter(|asked| asked.0 == "kept.example.")
            .count(),
        2
    );
    assert_eq!(
        server
            .asked()
            .iter()
            .filter(|asked| asked.0 == "asked.example.")
            .count(),
        4
    );
}

#[tokio::test]
async fn failures_are_not_kept() {
    let server = Server::start(|asked, nth, mut response| match nth {
        1 => {
            response.metadata.response_code = ResponseCode::ServFail;
            Some(response)
        }
        _ => both(asked, response, 60),
    })
    .await;
    let dns = server.dns().families(Families::Ipv4);
    assert_eq!(
        reason(look_up(&dns, "a.example").await),
        Reason::ResolveFailed
    );
    assert!(look_up(&dns, "a.example").await.is_ok());
}

#[tokio::test]
async fn a_truncated_answer_is_dropped_and_asked_for_over_tcp() {
    let server = Server::start(|asked, _, mut response| {
        let last = if asked.2 { 2 } else { 1 };
        response.metadata.truncation = !asked.2;
        response.add_answer(v4(&asked.0, last, 60));
        Some(response)
    })
    .await;
    let answers = look_up(&server.dns().families(Families::Ipv4), "a.example")
        .await
        .unwrap();
    assert_eq!(
        answers.addresses,
        [IpAddr::from([192, 0, 2, 2])],
        "nothing of the truncated answer"
    );
    assert_eq!(
        server.asked(),
        [
            ("a.example.".into(), RecordType::A, false),
            ("a.example.".into(), RecordType::A, true)
        ]
    );
}

#[tokio::test]
async fn an_alias_without_its_end_is_not_chased() {
    let server = Server::start(|asked, _, mut response| {
        response.add_answer(Record::from_rdata(
            name(&asked.0),
            60,
            RData::CNAME(CNAME(name("localhost."))),
        ));
        Some(response)
    })
    .await;
    assert_eq!(
        reason(look_up(&server.dns(), "a.example").await),
        Reason::ResolveNoAnswer
    );
    assert!(
        server.asked().iter().all(|asked| asked.0 == "a.example."),
        "{:?}",
        server.asked()
    );
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let server =
        Server::start(|asked, nth, response| (nth > 1).then(|| both(asked, response, 60))?).await;
    assert!(look_up(&server.dns(), "a.example").await.is_ok());
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_silent_server_is_a_timeout_and_the_next_one_is_asked() {
    let silent = Server::start(|_, _, _| None).await;
    let good = Server::start(|asked, _, response| both(asked, response, 60)).await;
    let (alone, helped) = (silent.dns(), Dns::servers([silent.address, good.address]));
    let (alone, helped) = tokio::join!(look_up(&alone, "a.example"), look_up(&helped, "a.example"));
    assert_eq!(reason(alone), Reason::ResolveTimeout);
    assert_eq!(helped.unwrap().addresses.len(), 2);
}

/// As with every resolver: a server that cannot answer is no answer. One that says "nothing" is.
#[tokio::test]
async fn the_next_server_is_asked_when_one_cannot_answer() {
    let rows = [
        (ResponseCode::ServFail, Ok(2)),
        (ResponseCode::Refused, Ok(2)),
        (ResponseCode::NotImp, Ok(2)),
        (ResponseCode::NXDomain, Err(Reason::ResolveNoAnswer)),
        (ResponseCode::NoError, Err(Reason::ResolveNoAnswer)),
    ];
    for (code, expected) in rows {
        let first = Server::start(move |_, _, mut response| {
            response.metadata.response_code = code;
            Some(response)
        })
        .await;
        let second = Server::start(|asked, _, response| both(asked, response, 60)).await;
        let dns = Dns::servers([first.address, second.address]);
        let answered = look_up(&dns, "a.example").await;
        let found = answered.map(|answers| answers.addresses.len());
        assert_eq!(found.map_err(|error| error.reason), expected, "{code}");
        assert_eq!(first.asked().len(), 2, "{code}: one question a family");
        let asked = if expected.is_ok() { 2 } else { 0 };
        assert_eq!(second.asked().len(), asked, "{code}");
    }
}

/// What is wrong with an answer does not make another server's answer right.
#[tokio::test]
async fn the_next_server_is_not_asked_about_an_answer_that_is_refused() {
    let first = Server::start(|asked, _, mut response| {
        for target in ["b.example.", "c.example."] {
            let alias = RData::CNAME(CNAME(name(target)));
            response.add_answer(Record::from_rdata(name(&asked.0), 60, alias));
        }
        Some(response)
    })
    .await;
    let second = Server::start(|asked, _, response| both(asked, response, 60)).await;
    let dns = Dns::servers([first.address, second.address]);
    assert_eq!(
        reason(look_up(&dns, "a.example").await),
        Reason::ResolveFailed
    );
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn what_a_server_says_tells_more_than_silence() {
    let broken = Server::start(|_, _, mut response| {
        response.metadata.response_code = ResponseCode::ServFail;
        Some(response)
    })
    .await;
    let silent = Server::start(|_, _, _| None).await;
    for servers in [
        [broken.address, silent.address],
        [silent.address, broken.address],
    ] {
        let dns = Dns::servers(servers).families(Families::Ipv4);
        let error = look_up(&dns, "a.example").await.unwrap_err();
        assert_eq!(error.reason, Reason::ResolveFailed, "{error}");
    }
}

#[tokio::test]
async fn nobody_to_ask_is_a_failure() {
    assert_eq!(
        reason(look_up(&Dns::servers([]), "a.example").await),
        Reason::ResolveFailed
    );
}

#[test]
fn one_resolver_serves_several_runtimes() {
    let build = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (servers, clients) = (tokio::runtime::Runtime::new().unwrap(), [build(), build()]);
    let server = servers.block_on(Server::start(|asked, _, response| both(asked, response, 0)));
    let dns = server.dns();
    for client in clients {
        assert!(client.block_on(look_up(&dns, "a.example")).is_ok());
        drop(client);
    }
}
