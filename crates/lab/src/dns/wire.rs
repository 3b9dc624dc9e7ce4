//! From a packet to a question, and from a reply to a packet.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::{
    op::{Edns, Message, Metadata, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{
            A, AAAA, CNAME, HTTPS, NULL, SOA, SVCB,
            opt::{EdnsCode, EdnsOption},
            svcb::{Alpn, IpHint, SvcParamKey, SvcParamValue},
        },
    },
};
use tokio::time::Instant;

use super::{
    Code, Kind, Question, Reply, Transport,
    log::canonical,
    reply::{Body, Data, Entry, Tamper},
};

/// The datagram size that we tell, and the one assumed of a client without EDNS.
const OUR_PAYLOAD: u16 = 1232;
/// Octets of a DNS header.
const HEADER: usize = 12;
/// The record type of DNAME, which hickory knows only by number.
const DNAME: u16 = 39;

/// Reads a question; none when the packet is not one, which is then ignored.
pub(super) fn read(
    packet: &[u8],
    transport: Transport,
    client: SocketAddr,
) -> Option<(Message, Question)> {
    let message = Message::from_vec(packet).ok()?;
    let query = message.queries.first()?;
    let written = query.name().to_ascii();
    let question = Question {
        name: canonical(&written),
        written,
        kind: kind(query.query_type()),
        transport,
        client,
        subnet: subnet(&message),
        at: Instant::now(),
    };
    Some((message, question))
}

/// Builds the packet of a reply; none for silence, and for names that cannot be written.
pub(super) fn write(request: &Message, question: &Question, reply: &Reply) -> Option<Vec<u8>> {
    let message = match &reply.body {
        Body::Silence => return None,
        Body::Raw(octets) => return Some(with_id(octets.clone(), request.metadata.id)),
        Body::Code(code) => coded(request, *code),
        Body::Records {
            answers,
            additional,
        } => answered(request, question, answers, additional, reply)?,
    };
    let message = fitting(message, request, question)?;
    let packet = bent(message, reply.tamper)?;
    Some(packet)
}

fn kind(of: RecordType) -> Kind {
    match of {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::CNAME => Kind::Cname,
        RecordType::HTTPS => Kind::Https,
        RecordType::SVCB => Kind::Svcb,
        other => Kind::Other(other.into()),
    }
}

fn subnet(message: &Message) -> Option<IpAddr> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(subnet.addr()),
        _ => None,
    }
}

/// An empty answer to the request: same id, same question.
fn envelope(request: &Message) -> Message {
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata = Metadata::response_from_request(&request.metadata);
    message.metadata.authoritative = true;
    // A stub resolver that asks us takes us for a recursive server.
    message.metadata.recursion_available = true;
    message.add_queries(request.queries.iter().cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(OUR_PAYLOAD);
        message.set_edns(edns);
    }
    message
}

fn coded(request: &Message, code: Code) -> Message {
    let mut message = envelope(request);
    message.metadata.response_code = match code {
        Code::NxDomain => ResponseCode::NXDomain,
        Code::Refused => ResponseCode::Refused,
        Code::ServFail => ResponseCode::ServFail,
    };
    if code == Code::NxDomain {
        message.authorities.extend(start_of_authority(request));
    }
    message
}

fn answered(
    request: &Message,
    question: &Question,
    answers: &[Entry],
    additional: &[Entry],
    reply: &Reply,
) -> Option<Message> {
    let mut message = envelope(request);
    message.metadata.truncation = reply.truncated;
    let asked = request.queries.first()?.name().clone();
    message.answers = records(&asked, question.kind, answers)?;
    message.additionals = records(&asked, Kind::Https, additional)?;
    if message.answers.is_empty() {
        message.authorities.extend(start_of_authority(request));
    }
    Some(message)
}

/// The records of the type asked for, with the aliases that lead to them.
fn records(asked: &Name, kind: Kind, entries: &[Entry]) -> Option<Vec<Record>> {
    let mut current = asked.clone();
    let mut records = Vec::new();
    for entry in entries {
        let owner = match &entry.owner {
            Some(owner) => Name::from_ascii(owner).ok()?,
            None => current.clone(),
        };
        match &entry.data {
            Data::Alias(target) => {
                current = absolute(target)?;
                let alias = RData::CNAME(CNAME(current.clone()));
                records.push(Record::from_rdata(owner, entry.ttl, alias));
            }
            Data::Subtree(target) => {
                let parent = asked.base_name();
                current = Name::from_labels(asked.iter().take(1))
                    .ok()?
                    .append_domain(&absolute(target)?)
                    .ok()?;
                records.push(Record::from_rdata(parent, entry.ttl, subtree(target)));
                let alias = RData::CNAME(CNAME(current.clone()));
                records.push(Record::from_rdata(owner, entry.ttl, alias));
            }
            Data::Address(IpAddr::V4(address)) if kind == Kind::A => {
                records.push(Record::from_rdata(owner, entry.ttl, RData::A(A(*address))));
            }
            Data::Address(IpAddr::V6(address)) if kind == Kind::Aaaa => {
                records.push(Record::from_rdata(
                    owner,
                    entry.ttl,
                    RData::AAAA(AAAA(*address)),
                ));
            }
            Data::Hint { ipv4, ipv6 } if matches!(kind, Kind::Https | Kind::Svcb) => {
                let binding = binding(ipv4.iter().copied().map(A), ipv6.iter().copied().map(AAAA));
                let data = match kind {
                    Kind::Https => RData::HTTPS(HTTPS(binding)),
                    _ => RData::SVCB(binding),
                };
                records.push(Record::from_rdata(owner, entry.ttl, data));
            }
            Data::Address(_) | Data::Hint { .. } => {}
        }
    }
    Some(records)
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn subtree(target: &str) -> RData {
    let mut octets = Vec::new();
    for label in canonical(target).split('.') {
        octets.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    RData::Unknown {
        code: RecordType::from(DNAME),
        rdata: NULL::with(octets),
    }
}

fn binding(ipv4: impl Iterator<Item = A>, ipv6: impl Iterator<Item = AAAA>) -> SVCB {
    let mut params = vec![(
        SvcParamKey::Alpn,
        SvcParamValue::Alpn(Alpn(vec!["h2".into()])),
    )];
    let ipv4: Vec<_> = ipv4.collect();
    if !ipv4.is_empty() {
        params.push((SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(ipv4))));
    }
    let ipv6: Vec<_> = ipv6.collect();
    if !ipv6.is_empty() {
        params.push((SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(IpHint(ipv6))));
    }
    SVCB::new(1, Name::root(), params)
}

/// What makes "no such record" believable. It must not be kept, so that the next question comes.
fn start_of_authority(request: &Message) -> Option<Record> {
    let zone = request.queries.first()?.name().base_name();
    let server = Name::from_ascii("ns.").ok()?;
    let authority = SOA::new(server.clone(), server, 1, 1, 1, 1, 0);
    Some(Record::from_rdata(zone, 0, RData::SOA(authority)))
}

/// Cuts a datagram that is larger than the client takes, as a real server does.
fn fitting(message: Message, request: &Message, question: &Question) -> Option<Message> {
    let room = usize::from(request.max_payload().max(512));
    if question.transport == Transport::Tcp || message.to_vec().ok()?.len() <= room {
        return Some(message);
    }
    Some(message.truncate())
}

fn bent(mut message: Message, tamper: Option<Tamper>) -> Option<Vec<u8>> {
    match tamper {
        Some(Tamper::FlippedCase) => rename(&mut message, |name| flipped(&name.to_ascii())),
        Some(Tamper::WrongQuestion) => rename(&mut message, |_| "other.example.net.".into()),
        Some(Tamper::WrongId) => message.metadata.id = !message.metadata.id,
        _ => {}
    }
    let mut packet = message.to_vec().ok()?;
    match tamper {
        Some(Tamper::Short(length)) => packet.truncate(length),
        Some(Tamper::Garbage) => packet
            .iter_mut()
            .skip(HEADER)
            .for_each(|octet| *octet = 0xff),
        // The count of answers is in octets 6 and 7 of the header.
        Some(Tamper::LyingCounts) => packet
            .iter_mut()
            .skip(6)
            .take(2)
            .for_each(|count| *count = 7),
        Some(Tamper::PointerLoop) => loop_name(&mut packet),
        _ => {}
    }
    Some(packet)
}

fn rename(message: &mut Message, change: impl Fn(&Name) -> String) {
    for query in &mut message.queries {
        if let Ok(name) = Name::from_ascii(change(query.name())) {
            *query = Query::query(name, query.query_type());
        }
    }
}

fn flipped(name: &str) -> String {
    let flip = |letter: char| match letter {
        'a'..='z' => letter.to_ascii_uppercase(),
        _ => letter.to_ascii_lowercase(),
    };
    name.chars().map(flip).collect()
}

/// Replaces the name in the question by a pointer to itself.
fn loop_name(packet: &mut [u8]) {
    let pointer = [0xc0, 0x0c];
    for (octet, value) in packet.iter_mut().skip(HEADER).zip(pointer) {
        *octet = value;
    }
}

fn with_id(mut packet: Vec<u8>, id: u16) -> Vec<u8> {
    for (octet, value) in packet.iter_mut().zip(id.to_be_bytes()) {
        *octet = value;
    }
    packet
}
