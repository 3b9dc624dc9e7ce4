//! One case: a URL or an address, who asks, and all that the network would answer.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, time::Duration};

use pinfold::resolve::{Answers, ResolveError};
use pinfold_addr::{Domain, Host, Reason};
use serde::Deserialize;
use serde_json::Value;

use super::{Expect, lenient};
use crate::options;

/// How long a scripted answer may be kept.
const TTL: Duration = Duration::from_secs(60);

/// The most labels of one case; a policy is handed no more.
const MAX_LABELS: usize = 32;

/// What a line of a suite is read for. Everything else in it is its author's.
pub(super) const LINE_FIELDS: &[&str] = &[
    "expect",
    "cname",
    "id",
    "ip",
    "labels",
    "method",
    "name",
    "redirect_resolves_to",
    "redirects_to",
    "resolves_to",
    "subject",
    "then_resolves_to",
    "url",
];

/// What a line of `check --batch` is read for: the same, but for what is expected.
const BATCH_FIELDS: &[&str] = match LINE_FIELDS.split_first() {
    Some((_expect, fields)) => fields,
    None => LINE_FIELDS,
};

/// One case, checked: judging it cannot fail half-way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a case, which is a JSON object")]
pub(crate) struct Case {
    /// Its name, unique among the cases of a suite.
    name: Option<String>,
    /// What a program calls it, given back as it is.
    id: Option<Value>,
    url: Option<String>,
    ip: Option<String>,
    method: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    labels: Labels,
    /// What the first lookup answers.
    resolves_to: Option<Vec<String>>,
    /// The aliases that the first answer came through.
    cname: Option<Vec<String>>,
    /// What later lookups of the same name answer.
    then_resolves_to: Option<Vec<Vec<String>>>,
    /// Where the first response redirects to, or each response in turn.
    redirects_to: Option<OneOrMany<String>>,
    /// What the name of the first redirect resolves to, or of each redirect in turn.
    redirect_resolves_to: Option<Redirected>,
    /// What it is expected to end in.
    expect: Option<Expect>,
    /// Where it stands: the line of its file, where that is known.
    #[serde(skip)]
    pub(crate) line: Option<usize>,
}

/// Labels, as a table, or as pairs where an order or a repetition matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "LabelsAsWritten")]
struct Labels(Vec<(String, String)>);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a table of strings, or a list of pairs of strings"
)]
enum LabelsAsWritten {
    Table(BTreeMap<String, String>),
    Pairs(Vec<(String, String)>),
}

impl From<LabelsAsWritten> for Labels {
    fn from(written: LabelsAsWritten) -> Self {
        match written {
            LabelsAsWritten::Table(table) => Self(table.into_iter().collect()),
            LabelsAsWritten::Pairs(pairs) => Self(pairs),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a list of addresses, or a list of such lists"
)]
enum Redirected {
    One(Vec<String>),
    Each(Vec<Vec<String>>),
}

/// What a case begins with.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Start<'a> {
    /// A URL, or an address literal as the URL of it.
    Url(Cow<'a, str>),
    /// An address with a zone: no URL can be written for it.
    Scoped(&'a str),
}

impl Case {
    /// Reads a line of `check --batch`.
    ///
    /// # Errors
    ///
    /// Why it is no case, in one sentence.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        Self::from_line(line, BATCH_FIELDS)
    }

    /// Reads these fields of a line.
    pub(super) fn from_line(line: &str, fields: &'static [&'static str]) -> Result<Self, String> {
        let case: Self = lenient::from_line(line, fields).map_err(|error| problem(&error))?;
        case.checked()
    }

    /// What cannot be judged is refused here.
    pub(super) fn checked(mut self) -> Result<Self, String> {
        match (&self.url, &self.ip) {
            (Some(_), None) => {}
            (None, Some(ip)) => is_address_text(ip)?,
            (Some(_), Some(_)) => return Err("a case has `url` or `ip`, not both".into()),
            (None, None) => return Err("a case needs `url` or `ip`".into()),
        }
        self.every_answer()
            .try_for_each(|text| address(text).map(drop))?;
        if self.labels.0.len() > MAX_LABELS {
            return Err(format!("a case has at most {MAX_LABELS} labels"));
        }
        self.method = self.method.as_deref().map(method).transpose()?;
        Ok(self)
    }

    /// What it is called: its name, otherwise what it asks about.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match (&self.name, &self.id) {
            (Some(name), _) | (None, Some(Value::String(name))) => name.into(),
            (None, Some(id)) => id.to_string().into(),
            (None, None) => self.asked().into(),
        }
    }

    /// What it asks about: its URL or its address, as written.
    pub(crate) fn asked(&self) -> &str {
        let asked = self.url.as_deref().or(self.ip.as_deref());
        asked.unwrap_or_default()
    }

    /// Gives it this name when it has none.
    pub(super) fn or_named(&mut self, name: impl FnOnce() -> String) {
        if self.name.is_none() && self.id.is_none() {
            self.name = Some(name());
        }
    }

    /// What a program calls it, given back as it is.
    pub(crate) fn id(&self) -> Option<Value> {
        self.id
            .clone()
            .or_else(|| self.name.clone().map(Value::String))
    }

    /// What it is expected to end in.
    pub(crate) fn expect(&self) -> Option<&Expect> {
        self.expect.as_ref()
    }

    /// HTTP method, in upper case.
    pub(crate) fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Who asks.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// What else the policy sees.
    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.labels.0
    }

    /// What its first lookup answers.
    pub(crate) fn resolves_to(&self) -> &[String] {
        self.resolves_to.as_deref().unwrap_or_default()
    }

    /// The URL as it is written.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// What is judged first.
    pub(super) fn start(&self) -> Start<'_> {
        match (&self.url, &self.ip) {
            (Some(url), _) => Start::Url(url.into()),
            (None, Some(ip)) => literal(ip),
            (None, None) => Start::Url("".into()),
        }
    }

    /// Where the responses redirect to, in order.
    pub(super) fn redirects(&self) -> &[String] {
        match &self.redirects_to {
            None => &[],
            Some(OneOrMany::One(location)) => std::slice::from_ref(location),
            Some(OneOrMany::Many(locations)) => locations,
        }
    }

    /// What the lookup of a hop answers. `hosts` are those of the hops so far, this one last.
    pub(super) fn answers(&self, hosts: &[Option<Host>]) -> Result<Answers, ResolveError> {
        let hop = hosts.len().saturating_sub(1);
        if hop == 0 {
            return answers(self.resolves_to.as_deref(), self.cname.as_deref());
        }
        if let Some(addresses) = self.redirected(hop) {
            return answers(Some(addresses), None);
        }
        let asked_before = hosts
            .iter()
            .take(hop)
            .filter(|host| hosts.last() == Some(host))
            .count();
        match asked_before {
            0 => answers(None, None),
            again => answers(self.later(again), self.cname.as_deref()),
        }
    }

    fn redirected(&self, hop: usize) -> Option<&[String]> {
        match self.redirect_resolves_to.as_ref()? {
            Redirected::One(addresses) => (hop == 1).then_some(addresses),
            Redirected::Each(each) => each.get(hop.checked_sub(1)?).map(Vec::as_slice),
        }
    }

    /// The answer when the name is asked again; a name without later answers keeps its first.
    fn later(&self, again: usize) -> Option<&[String]> {
        let then = self.then_resolves_to.as_deref().unwrap_or_default();
        let later = then.get(again.saturating_sub(1)).or(then.last());
        later.or(self.resolves_to.as_ref()).map(Vec::as_slice)
    }

    fn every_answer(&self) -> impl Iterator<Item = &String> {
        let redirected = match &self.redirect_resolves_to {
            None => Vec::new(),
            Some(Redirected::One(addresses)) => addresses.iter().collect(),
            Some(Redirected::Each(each)) => each.iter().flatten().collect(),
        };
        let then = self.then_resolves_to.iter().flatten().flatten();
        self.resolves_to
            .iter()
            .flatten()
            .chain(then)
            .chain(redirected)
    }
}

/// What is wrong with a line. It has one line, so the column is enough.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let kind = if error.is_data() { "" } else { "not JSON: " };
    format!("{kind}{what} at column {}", error.column())
}

/// The name of a line that is no case, if it has one.
pub(crate) fn id_of(line: &str) -> Option<Value> {
    let mut line = serde_json::from_str::<Value>(line).ok()?;
    line.get_mut("id").map(Value::take)
}

/// A method in upper case: a policy compares names.
fn method(text: &str) -> Result<String, String> {
    options::method(text)
        .map(|method| method.as_str().to_owned())
        .map_err(|_| format!("`{}` is not an HTTP method", text.escape_debug()))
}

/// The URL whose host is this address.
fn literal(ip: &str) -> Start<'_> {
    if ip.contains('%') {
        return Start::Scoped(ip);
    }
    Start::Url(match ip.parse::<IpAddr>() {
        // An address has no spelling: it is judged in its canonical form.
        Ok(ip) => format!("http://{}/", Host::Ip(ip)).into(),
        Err(_) if ip.contains(':') => format!("http://[{ip}]/").into(),
        Err(_) => format!("http://{ip}/").into(),
    })
}

/// Whether text could be meant as an address; a name, and what would change the URL around it, is
/// not. All spellings of IPv4 begin with a digit.
fn is_address_text(ip: &str) -> Result<(), String> {
    let (address, _zone) = ip.split_once('%').unwrap_or((ip, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b':';
    let is_name = !address.contains(':') && !address.starts_with(|c: char| c.is_ascii_digit());
    if is_name || !address.bytes().all(plain) {
        return Err(format!("`{ip}` is not an IP address"));
    }
    Ok(())
}

fn answers(
    addresses: Option<&[String]>,
    chain: Option<&[String]>,
) -> Result<Answers, ResolveError> {
    let texts = addresses.unwrap_or_default();
    if texts.is_empty() {
        let detail = "the case gives no address for this name".into();
        return Err(ResolveError {
            reason: Reason::ResolveNoAnswer,
            detail,
        });
    }
    let addresses = texts
        .iter()
        .map(|text| unscoped(text))
        .collect::<Result<_, _>>()?;
    let chain = chain
        .unwrap_or_default()
        .iter()
        .map(|name| alias(name))
        .collect::<Result<_, _>>()?;
    Ok(Answers {
        addresses,
        chain,
        ttl: TTL,
    })
}

/// An answer with a zone refuses the whole answer: a scoped address is never connected to.
fn unscoped(text: &str) -> Result<IpAddr, ResolveError> {
    match address(text) {
        Ok(Answer::Plain(address)) => Ok(address),
        _ => Err(ResolveError {
            reason: Reason::AddressScoped,
            detail: format!("the answer `{text}` carries a zone"),
        }),
    }
}

fn alias(name: &str) -> Result<Domain, ResolveError> {
    Domain::parse(name).map_err(|refusal| ResolveError {
        reason: Reason::ResolveFailed,
        detail: format!("the alias `{name}` is not a host name: {}", refusal.detail),
    })
}

enum Answer {
    Plain(IpAddr),
    Scoped,
}

fn address(text: &str) -> Result<Answer, String> {
    let wrong = |_| format!("`{text}` is not an IP address");
    match text.split_once('%') {
        Some((address, _zone)) => address
            .parse::<IpAddr>()
            .map(|_| Answer::Scoped)
            .map_err(wrong),
        None => text.parse().map(Answer::Plain).map_err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use pinfold_addr::Target;

    use super::*;

    fn case(text: &str) -> Case {
        Case::parse(text).unwrap()
    }

    fn asked(case: &Case, urls: &[&str]) -> Option<Vec<String>> {
        let hosts = urls
            .iter()
            .map(|url| Some(Target::parse(url).unwrap().host().clone()));
        let answers = case.answers(&hosts.collect::<Vec<_>>()).ok()?;
        Some(answers.addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_line_that_is_no_case_says_why() {
        for (row, line, why) in [
            ("no JSON", "{", "not JSON: EOF"),
            ("an array", "[]", "expected a case, which is a JSON object"),
            ("a number", "5", "expected a case, which is a JSON object"),
            (
                "no list",
                r#"{"url": "u", "redirects_to": 1}"#,
                "expected a string or a list of strings at column",
            ),
            (
                "no lists",
                r#"{"url": "u", "redirect_resolves_to": 1}"#,
                "expected a list of addresses, or",
            ),
            ("a name", r#"{"ip": "x"}"#, "`x` is not an IP address"),
            ("empty", r#"{"ip": ""}"#, "not an IP address"),
            ("neither", "{}", "`url` or `ip`"),
            (
                "both",
                r#"{"url": "http://a.example/", "ip": "192.0.2.1"}"#,
                "not both",
            ),
            ("no address", r#"{"ip": "8.8.8.8/24"}"#, "not an IP address"),
            (
                "a URL as address",
                r#"{"ip": "8.8.8.8/#"}"#,
                "not an IP address",
            ),
            (
                "bad answer",
                r#"{"url": "http://a.example/", "resolves_to": ["x"]}"#,
                "`x`",
            ),
            (
                "bad later answer",
                r#"{"url": "u", "then_resolves_to": [["x"]]}"#,
                "`x`",
            ),
            (
                "bad redirect answer",
                r#"{"url": "u", "redirect_resolves_to": ["x"]}"#,
                "`x`",
            ),
        ] {
            let error = Case::parse(line).unwrap_err();
            assert!(error.contains(why), "{row}: {error}");
        }
    }

    #[test]
    fn an_address_becomes_the_url_of_it() {
        for (ip, start) in [
            ("192.0.2.1", Start::Url("http://192.0.2.1/".into())),
            ("2001:DB8:0::1", Start::Url("http://[2001:db8::1]/".into())),
            ("fe80::1%eth0", Start::Scoped("fe80::1%eth0")),
            ("0x7f.1", Start::Url("http://0x7f.1/".into())),
            ("1::2::3", Start::Url("http://[1::2::3]/".into())),
        ] {
            let case = case(&format!(r#"{{"ip": "{ip}"}}"#));
            assert_eq!(case.start(), start, "{ip}");
        }
    }

    #[test]
    fn each_hop_has_its_answers() {
        let (a, b) = ("http://a.example/", "http://b.example/");
        let plain = r#"{"url": "u", "resolves_to": ["192.0.2.1"]}"#;
        let then =
            r#"{"url": "u", "resolves_to": ["192.0.2.1"], "then_resolves_to": [["192.0.2.2"]]}"#;
        let redirected = r#"{"url": "u", "redirect_resolves_to": ["192.0.2.3"]}"#;
        let each = r#"{"url": "u", "redirect_resolves_to": [["192.0.2.3"], ["192.0.2.4"]]}"#;
        for (row, line, hops, answers) in [
            ("first", plain, &[a][..], Some("192.0.2.1")),
            ("first without answers", redirected, &[a], None),
            ("another name does not exist", plain, &[a, b], None),
            (
                "the same name keeps its answer",
                plain,
                &[a, a],
                Some("192.0.2.1"),
            ),
            (
                "the same name answers anew",
                then,
                &[a, a],
                Some("192.0.2.2"),
            ),
            ("the last answer stays", then, &[a, a, a], Some("192.0.2.2")),
            ("redirect", redirected, &[a, b], Some("192.0.2.3")),
            (
                "second redirect without answers",
                redirected,
                &[a, b, b],
                None,
            ),
            ("second redirect", each, &[a, b, b], Some("192.0.2.4")),
        ] {
            let expected = answers.map(|answer| vec![answer.to_owned()]);
            assert_eq!(asked(&case(line), hops), expected, "{row}");
        }
    }

    #[test]
    fn a_zone_refuses_the_whole_answer() {
        let line = r#"{"url": "u", "resolves_to": ["192.0.2.1", "fe80::1%eth0"]}"#;
        let host = Target::parse("http://a.example/").unwrap().host().clone();
        let error = case(line).answers(&[Some(host)]).unwrap_err();
        assert_eq!(error.reason, Reason::AddressScoped);
    }
}
