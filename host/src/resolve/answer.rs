//! From DNS messages to one set of answers. Pure.
//!
//! Only records that hang together count: those owned by the name asked for, or by the name at the end of
//! the chain of aliases that begins there. Records of other owners, other sections (glue, hints) and other
//! types (SVCB and HTTPS hints, DNAME without its synthesised CNAME) are as if they were not there.

use std::{net::IpAddr, time::Duration};

use hickory_resolver::proto::{
    op::{DnsResponse, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};
use pinfold_addr::{Domain, Reason};

use super::{Answers, ResolveError};

/// Addresses in an answer at most; the contract with policies promises no more.
pub(crate) const MAX_ANSWERS: usize = 64;
/// Aliases in an answer at most; the contract with policies promises no more.
pub(crate) const MAX_CHAIN: usize = 16;

/// What one message says of one family.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Family {
    /// Empty when the name has no address of this family.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) chain: Vec<Domain>,
    /// Of the addresses, or, without any, of their absence.
    pub(super) ttl: Duration,
}

impl Family {
    /// No address of this family; known for `ttl` seconds when the server said so.
    pub(super) fn nothing(ttl: Option<u32>) -> Self {
        Self {
            ttl: seconds(ttl.unwrap_or(0)),
            ..Self::default()
        }
    }
}

/// Both families as one set: aliases in order of appearance, the smaller TTL.
pub(super) fn join(first: Family, second: Family) -> Result<Answers, ResolveError> {
    let mut answers = Answers {
        ttl: first.ttl.min(second.ttl),
        ..Answers::default()
    };
    // The TTL of "no such family" says nothing of the addresses of the other one.
    if first.addresses.is_empty() != second.addresses.is_empty() {
        answers.ttl = if first.addresses.is_empty() {
            second.ttl
        } else {
            first.ttl
        };
    }
    for family in [first, second] {
        extend(&mut answers.addresses, family.addresses);
        extend(&mut answers.chain, family.chain);
    }
    match () {
        () if answers.addresses.len() > MAX_ANSWERS => Err(too_many_answers()),
        () if answers.chain.len() > MAX_CHAIN => {
            Err(too_long("more aliases in both families than are followed"))
        }
        () => Ok(answers),
    }
}

/// Appends what is not there yet; both lists are short.
fn extend<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

/// Reads the response to the question for `question` and `family`.
pub(super) fn read(
    response: &DnsResponse,
    question: &Name,
    family: RecordType,
) -> Result<Family, ResolveError> {
    check(response, question, family)?;
    let walk = Walk::along(&response.answers, question)?;
    let records: Vec<_> = match response.response_code {
        // The end of the chain does not exist: what the message says of it anyway is not believed.
        ResponseCode::NXDomain => Vec::new(),
        _ => owned(&response.answers, &walk.end)
            .filter(|record| record.record_type() == family)
            .collect(),
    };
    if records.is_empty() {
        return Ok(Family {
            chain: walk.chain,
            ..Family::nothing(response.negative_ttl())
        });
    }
    if records.len() > MAX_ANSWERS {
        return Err(too_many_answers());
    }
    let ttl = records
        .iter()
        .map(|record| seconds(record.ttl))
        .fold(walk.ttl, Duration::min);
    let addresses = records.into_iter().filter_map(address).collect();
    Ok(Family {
        addresses,
        chain: walk.chain,
        ttl,
    })
}

/// Whether this is an answer to that question at all.
fn check(response: &DnsResponse, question: &Name, family: RecordType) -> Result<(), ResolveError> {
    let same = matches!(&response.queries[..], [asked]
        if asked.name() == question && asked.query_type() == family && asked.query_class() == DNSClass::IN);
    if !same {
        return Err(failed("the server answered another question"));
    }
    if response.truncation {
        return Err(failed("the answer is cut short"));
    }
    match response.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(()),
        code => Err(failed(format!("the server answered {code}"))),
    }
}

/// The way from the name asked for to the name that owns the addresses.
struct Walk {
    end: Name,
    chain: Vec<Domain>,
    ttl: Duration,
}

impl Walk {
    fn along(records: &[Record], question: &Name) -> Result<Self, ResolveError> {
        let mut walk = Self {
            end: question.clone(),
            chain: Vec::new(),
            ttl: Duration::MAX,
        };
        while let Some((alias, ttl)) = alias(records, &walk.end)? {
            if walk.chain.len() == MAX_CHAIN {
                return Err(too_long("more aliases than are followed"));
            }
            let name = domain(alias)?;
            if alias == question || walk.chain.contains(&name) {
                return Err(too_long(format!("the aliases loop at `{}`", name.as_str())));
            }
            walk.chain.push(name);
            walk.end = alias.clone();
            walk.ttl = walk.ttl.min(ttl);
        }
        Ok(walk)
    }
}

/// The one alias of a name. An alias has no sibling (RFC 1034, 3.6.2): a name with two, or with an alias
/// and an address, can be read in two ways and is refused.
fn alias<'a>(
    records: &'a [Record],
    owner: &Name,
) -> Result<Option<(&'a Name, Duration)>, ResolveError> {
    let mut found: Option<(&Name, Duration)> = None;
    for record in owned(records, owner) {
        let RData::CNAME(target) = &record.data else {
            continue;
        };
        if found.is_some_and(|(other, _)| *other != target.0) {
            return Err(failed(format!("`{owner}` has two aliases")));
        }
        found = Some((&target.0, seconds(record.ttl)));
    }
    let has_address = || owned(records, owner).any(|record| address(record).is_some());
    match found {
        Some(_) if has_address() => Err(failed(format!("`{owner}` has an alias and an address"))),
        found => Ok(found),
    }
}

fn owned<'a>(records: &'a [Record], owner: &Name) -> impl Iterator<Item = &'a Record> {
    records
        .iter()
        .filter(move |record| record.dns_class == DNSClass::IN && record.name == *owner)
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn domain(name: &Name) -> Result<Domain, ResolveError> {
    let text = name.to_ascii();
    Domain::parse(text.strip_suffix('.').unwrap_or(&text))
        .map_err(|refusal| failed(format!("the alias `{text}` is no host name: {refusal}")))
}

/// A TTL; with the highest bit set it counts as zero (RFC 2181, section 8).
fn seconds(ttl: u32) -> Duration {
    match i32::try_from(ttl) {
        Ok(_) => Duration::from_secs(ttl.into()),
        Err(_) => Duration::ZERO,
    }
}

fn failed(detail: impl Into<String>) -> ResolveError {
    ResolveError::new(Reason::ResolveFailed, detail)
}

fn too_many_answers() -> ResolveError {
    ResolveError::new(
        Reason::ResolveTooManyAnswers,
        format!("more than {MAX_ANSWERS} addresses"),
    )
}

fn too_long(detail: impl Into<String>) -> ResolveError {
    ResolveError::new(Reason::ResolveChainTooLong, detail)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hickory_resolver::proto::{
        op::{Message, OpCode, Query},
        rr::rdata::{A, AAAA, CNAME},
    };

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(format!("{text}.")).unwrap()
    }

    fn cname(owner: &str, target: &str, ttl: u32) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    }

    fn a(owner: &str, last: u8, ttl: u32) -> Record {
        Record::from_rdata(
            name(owner),
            ttl,
            RData::A(A(Ipv4Addr::new(192, 0, 2, last))),
        )
    }

    fn response(code: ResponseCode, answers: Vec<Record>) -> DnsResponse {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(name("q.example"), RecordType::A));
        message.add_answers(answers);
        DnsResponse::from_message(message).unwrap()
    }

    fn read_a(answers: Vec<Record>) -> Result<Family, ResolveError> {
        read(
            &response(ResponseCode::NoError, answers),
            &name("q.example"),
            RecordType::A,
        )
    }

    fn chain_of(count: usize) -> Vec<Record> {
        let owner = |n: usize| {
            if n == 0 {
                "q.example".to_owned()
            } else {
                format!("n{n}.example")
            }
        };
        (0..count)
            .map(|n| cname(&owner(n), &owner(n + 1), 60))
            .collect()
    }

    #[test]
    fn the_chain_is_followed_in_any_order_with_the_smallest_ttl() {
        let family = read_a(vec![
            a("end.example", 1, 30),
            cname("mid.example", "end.example", 5),
            cname("q.example", "mid.example", 60),
        ])
        .unwrap();
        assert_eq!(family.addresses, [IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(
            family.chain.iter().map(Domain::as_str).collect::<Vec<_>>(),
            ["mid.example", "end.example"]
        );
        assert_eq!(family.ttl, Duration::from_secs(5));
    }

    #[test]
    fn records_that_are_not_linked_are_ignored() {
        let stranger = vec![a("q.example", 1, 60), a("other.example", 66, 60)];
        assert_eq!(
            read_a(stranger).unwrap().addresses,
            [IpAddr::from([192, 0, 2, 1])]
        );
        let only_strangers = vec![
            a("other.example", 66, 60),
            cname("x.example", "other.example", 60),
        ];
        assert_eq!(read_a(only_strangers).unwrap(), Family::default());
        let other_family = Record::from_rdata(
            name("q.example"),
            60,
            RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)),
        );
        assert_eq!(read_a(vec![other_family]).unwrap(), Family::default());
    }

    #[test]
    fn answers_that_are_refused() {
        let table = [
            (
                "a loop",
                vec![
                    cname("q.example", "b.example", 1),
                    cname("b.example", "q.example", 1),
                ],
                Reason::ResolveChainTooLong,
            ),
            (
                "an alias of itself",
                vec![cname("q.example", "q.example", 1)],
                Reason::ResolveChainTooLong,
            ),
            (
                "a loop further down",
                vec![
                    cname("q.example", "b.example", 1),
                    cname("b.example", "c.example", 1),
                    cname("c.example", "b.example", 1),
                ],
                Reason::ResolveChainTooLong,
            ),
            ("a chain of 17", chain_of(17), Reason::ResolveChainTooLong),
            (
                "two aliases",
                vec![
                    cname("q.example", "b.example", 1),
                    cname("q.example", "c.example", 1),
                ],
                Reason::ResolveFailed,
            ),
            (
                "alias and address",
                vec![cname("q.example", "b.example", 1), a("q.example", 1, 1)],
                Reason::ResolveFailed,
            ),
            (
                "65 addresses",
                (0..65).map(|last| a("q.example", last, 1)).collect(),
                Reason::ResolveTooManyAnswers,
            ),
        ];
        for (row, records, reason) in table {
            assert_eq!(read_a(records).unwrap_err().reason, reason, "{row}");
        }
        assert_eq!(
            read_a(chain_of(16)).unwrap().chain.len(),
            16,
            "the longest chain that is followed"
        );
    }

    #[test]
    fn responses_that_answer_something_else_are_refused() {
        let good = || response(ResponseCode::NoError, vec![a("q.example", 1, 1)]);
        assert!(read(&good(), &name("other.example"), RecordType::A).is_err());
        assert!(read(&good(), &name("q.example"), RecordType::AAAA).is_err());
        assert!(
            read(&good(), &name("Q.Example"), RecordType::A).is_ok(),
            "case does not matter"
        );
        for code in [
            ResponseCode::ServFail,
            ResponseCode::Refused,
            ResponseCode::Unknown(3000),
        ] {
            let error = read(
                &response(code, vec![a("q.example", 1, 1)]),
                &name("q.example"),
                RecordType::A,
            );
            assert_eq!(error.unwrap_err().reason, Reason::ResolveFailed, "{code}");
        }
        let nx = response(ResponseCode::NXDomain, vec![a("q.example", 1, 1)]);
        assert!(
            read(&nx, &name("q.example"), RecordType::A)
                .unwrap()
                .addresses
                .is_empty()
        );
    }

    #[test]
    fn a_ttl_with_the_highest_bit_is_zero() {
        assert_eq!(
            read_a(vec![a("q.example", 1, 1 << 31)]).unwrap().ttl,
            Duration::ZERO
        );
        assert_eq!(
            read_a(vec![a("q.example", 1, i32::MAX as u32)])
                .unwrap()
                .ttl
                .as_secs(),
            (1 << 31) - 1
        );
    }

    #[test]
    fn families_are_joined() {
        let family = |addresses: &[&str], chain: &[&str], ttl| Family {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            chain: chain
                .iter()
                .map(|text| Domain::parse(text).unwrap())
                .collect(),
            ttl: Duration::from_secs(ttl),
        };
        let v6 = family(&["2001:db8::1"], &["cdn.example"], 60);
        let v4 = family(
            &["192.0.2.1", "192.0.2.1"],
            &["cdn.example", "v4.example"],
            5,
        );
        let both = join(v6.clone(), v4.clone()).unwrap();
        assert_eq!(both.addresses.len(), 2, "duplicates count once");
        assert_eq!(both.chain.len(), 2);
        assert_eq!(both.ttl.as_secs(), 5);
        assert_eq!(
            join(Family::nothing(Some(0)), v4).unwrap().ttl.as_secs(),
            5,
            "absence has its own TTL"
        );
        assert_eq!(join(v6, Family::nothing(None)).unwrap().ttl.as_secs(), 60);
        assert!(
            join(Family::default(), Family::default())
                .unwrap()
                .addresses
                .is_empty()
        );
    }
}
