//! The settings as they are written. `settings.schema.json` says the same to other tools.
//!
//! Every member may be left out. What a section means by default is written at
//! [`Sections`]; what its values must be is checked in `compile`, all at once.

use std::fmt;

use pinfold_policy::Object;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// The sections that hold for everybody, and that a rule for a subject may replace one by one.
///
/// A struct with `#[serde(flatten)]` cannot refuse unknown members, so the list is written once, here,
/// and repeated by the macro.
macro_rules! with_sections {
    ($(#[$meta:meta])* pub struct $name:ident { $($extra:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($extra)*
            #[serde(default, deserialize_with = "given")]
            schemes: Option<Vec<Scheme>>,
            #[serde(default, deserialize_with = "given")]
            ports: Option<Vec<PortEntry>>,
            #[serde(default, deserialize_with = "given")]
            userinfo: Option<Userinfo>,
            #[serde(default, deserialize_with = "given")]
            literals: Option<Literals>,
            #[serde(default, deserialize_with = "given")]
            ip_literals: Option<Switch>,
            #[serde(default, deserialize_with = "given")]
            hosts: Option<Object<Hosts>>,
            #[serde(default, deserialize_with = "given")]
            names: Option<Object<Names>>,
            #[serde(default, deserialize_with = "given")]
            check_chain: Option<bool>,
            #[serde(default, deserialize_with = "given")]
            networks: Option<Object<Networks>>,
            #[serde(default, deserialize_with = "given")]
            wrapped: Option<Wrapped>,
            #[serde(default, deserialize_with = "given")]
            special_global: Option<Switch>,
            #[serde(default, deserialize_with = "given")]
            mixed_answers: Option<MixedAnswers>,
            #[serde(default, deserialize_with = "given")]
            limits: Option<Object<Limits>>,
        }

        impl $name {
            /// Takes the sections out.
            pub(crate) fn take_sections(&mut self) -> Sections {
                Sections {
                    schemes: self.schemes.take(),
                    ports: self.ports.take(),
                    userinfo: self.userinfo.take(),
                    literals: self.literals.take(),
                    ip_literals: self.ip_literals.take(),
                    hosts: self.hosts.take().map(|Object(hosts)| hosts),
                    names: self.names.take().map(|Object(names)| names),
                    check_chain: self.check_chain.take(),
                    networks: self.networks.take().map(|Object(networks)| networks),
                    wrapped: self.wrapped.take(),
                    special_global: self.special_global.take(),
                    mixed_answers: self.mixed_answers.take(),
                    limits: self.limits.take().map(|Object(limits)| limits),
                }
            }
        }
    };
}

with_sections! {
    /// The whole document.
    pub struct Settings {
        #[serde(default, deserialize_with = "given")]
        pub(crate) subjects: Option<Vec<Object<Subject>>>,
        #[serde(default, deserialize_with = "given")]
        pub(crate) unknown_subject: Option<Switch>,
    }
}

with_sections! {
    /// Rules for some subjects: each section that is present replaces the one of the document whole.
    pub struct Subject {
        #[serde(rename = "match")]
        pub(crate) matches: Vec<String>,
    }
}

/// What a document or a subject says, section by section; `None` where it is silent.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    /// Default: `http` and `https`.
    pub(crate) schemes: Option<Vec<Scheme>>,
    /// Default: any port.
    pub(crate) ports: Option<Vec<PortEntry>>,
    /// Default: `deny`.
    pub(crate) userinfo: Option<Userinfo>,
    /// Default: `deny`.
    pub(crate) literals: Option<Literals>,
    /// Default: `allow`.
    pub(crate) ip_literals: Option<Switch>,
    /// Default: every name that is not refused for another reason.
    pub(crate) hosts: Option<Hosts>,
    /// Default: no special-use name, no name of a single label.
    pub(crate) names: Option<Names>,
    /// Default: `true`.
    pub(crate) check_chain: Option<bool>,
    /// Default: public addresses.
    pub(crate) networks: Option<Networks>,
    /// Default: `deny`.
    pub(crate) wrapped: Option<Wrapped>,
    /// Default: `deny`.
    pub(crate) special_global: Option<Switch>,
    /// Default: `deny`.
    pub(crate) mixed_answers: Option<MixedAnswers>,
    /// Default: the host's own limits.
    pub(crate) limits: Option<Limits>,
}

/// `null` is no way to leave a member out: it is refused like any other value of the wrong type.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// The schemes for which a host parses URLs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
    Ftp,
}

impl Scheme {
    pub(crate) const ALL: [Self; 5] = [Self::Http, Self::Https, Self::Ws, Self::Wss, Self::Ftp];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Ftp => "ftp",
        }
    }

    pub(crate) const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Userinfo {
    /// A URL with `user:password@` is refused.
    #[default]
    Deny,
    /// The host has dropped it already; the rest of the URL is judged.
    Drop,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Literals {
    /// An address that is not written canonically is refused.
    #[default]
    Deny,
    /// The address that the URL standard reads is judged.
    Normalise,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wrapped {
    /// An IPv6 address that carries IPv4 is refused.
    #[default]
    Deny,
    /// The IPv4 address inside is judged by the same rules.
    Judge,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MixedAnswers {
    /// One refused address refuses all addresses of the name.
    #[default]
    Deny,
    /// Only the addresses that are allowed are dialled.
    Filter,
}

/// Names by pattern, see [`crate::pattern`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Hosts {
    /// When it is given, every name and address literal that none matches is refused.
    #[serde(deserialize_with = "given")]
    pub(crate) allow: Option<TextList>,
    pub(crate) deny: TextList,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Names {
    /// Special-use names and names of a single label that are meant.
    pub(crate) allow: TextList,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Networks {
    /// In addition to public addresses.
    pub(crate) allow: Vec<NetworkEntry>,
    pub(crate) deny: Vec<NetworkEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    #[serde(default, deserialize_with = "given")]
    pub(crate) connect_timeout_ms: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    pub(crate) total_timeout_ms: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    pub(crate) response_kib: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    pub(crate) redirects: Option<u8>,
    #[serde(default)]
    pub(crate) https_only: bool,
}

/// A port, or a range `"a-b"`.
#[derive(Debug)]
pub(crate) enum PortEntry {
    Number(u64),
    Range(String),
}

impl<'de> Deserialize<'de> for PortEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entry;

        impl Visitor<'_> for Entry {
            type Value = PortEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 443 or a range such as \"8000-8999\"")
            }

            fn visit_u64<E: de::Error>(self, port: u64) -> Result<PortEntry, E> {
                Ok(PortEntry::Number(port))
            }

            fn visit_str<E: de::Error>(self, range: &str) -> Result<PortEntry, E> {
                Ok(PortEntry::Range(range.into()))
            }
        }

        from.deserialize_any(Entry)
    }
}

/// A network, for all ports and schemes or for some.
#[derive(Debug)]
pub(crate) struct NetworkEntry {
    pub(crate) cidr: String,
    /// Whether it was written as a table, which decides the path of a problem.
    pub(crate) is_table: bool,
    pub(crate) ports: Option<Vec<PortEntry>>,
    pub(crate) schemes: Option<Vec<Scheme>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkTable {
    cidr: String,
    #[serde(default, deserialize_with = "given")]
    ports: Option<Vec<PortEntry>>,
    #[serde(default, deserialize_with = "given")]
    schemes: Option<Vec<Scheme>>,
}

impl<'de> Deserialize<'de> for NetworkEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = NetworkEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a network such as \"10.0.0.0/8\" or a table with `cidr`")
            }

            fn visit_str<E: de::Error>(self, cidr: &str) -> Result<NetworkEntry, E> {
                Ok(NetworkEntry {
                    cidr: cidr.into(),
                    is_table: false,
                    ports: None,
                    schemes: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NetworkEntry, A::Error> {
                let NetworkTable {
                    cidr,
                    ports,
                    schemes,
                } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(NetworkEntry {
                    cidr,
                    is_table: true,
                    ports,
                    schemes,
                })
            }
        }

        from.deserialize_any(Entry)
    }
}

/// A list of strings in one allocation, each with a NUL behind it: a snapshot holds it as it is, and there
/// may be 100,000. One allocation that grows at the end of the memory also leaves no holes there.
#[derive(Debug, Default)]
pub(crate) struct TextList {
    text: String,
    len: usize,
}

impl TextList {
    /// What stands behind each string.
    pub(crate) const END: char = '\0';

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every string with the offset where it begins.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut start = 0;
        self.text.split_terminator(Self::END).map(move |text| {
            let at = start;
            start += text.len() + Self::END.len_utf8();
            (at, text)
        })
    }

    /// Everything from an offset on: a string, its end, and those behind it.
    pub(crate) fn from(&self, start: usize) -> &str {
        self.text.get(start..).unwrap_or_default()
    }

    /// Names are compared in lower case.
    pub(crate) fn make_lowercase(&mut self) {
        self.text.make_ascii_lowercase();
    }

    fn push(&mut self, text: &str) -> Result<(), &'static str> {
        if text.contains(Self::END) {
            return Err("a NUL is part of no name");
        }
        self.text.push_str(text);
        self.text.push(Self::END);
        self.len += 1;
        Ok(())
    }
}

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = TextList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextList, A::Error> {
                let mut list = TextList::default();
                while seq.next_element_seed(Append(&mut list))?.is_some() {}
                list.text.shrink_to_fit();
                Ok(list)
            }
        }

        from.deserialize_seq(List)
    }
}

/// Puts one string at the end of a list.
struct Append<'a>(&'a mut TextList);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.0.push(text).map_err(E::custom)
    }
}
