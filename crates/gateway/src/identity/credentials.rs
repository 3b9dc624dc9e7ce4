//! The file of credentials.
//!
//! ```toml
//! [[credential]]
//! subject = "payments"
//! kind = "basic"
//! hash = "$argon2id$v=19$m=19456,t=2,p=1$..."
//! expires = 2027-01-31T00:00:00Z
//! ```

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use toml::{Spanned, value::Datetime};

use super::hash::{self, Blind, Password, Sum};
use crate::{
    config::{CredentialKind, SubjectName},
    subject::Voucher,
};

/// Why a file of credentials cannot be used. Says nothing of secrets.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CredentialsError {
    message: String,
    hint: Option<&'static str>,
}

/// One credential, as it stands in the file.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    subject: SubjectName,
    kind: CredentialKind,
    hash: String,
    #[serde(default)]
    expires: Option<Datetime>,
}

/// All credentials of a listener.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    passwords: HashMap<SubjectName, Vec<Known<Password>>>,
    /// How often a hash is computed for any name, known or not.
    rounds: usize,
    /// What a password is compared with where there is nothing to compare it with: it takes as long.
    decoy: Option<Password>,
    tokens: HashMap<Sum, Known<SubjectName>>,
    /// All entries, and until when they count.
    entries: HashMap<Voucher, Option<Timestamp>>,
    /// There is one where there are credentials.
    blind: Option<Blind>,
    /// Under which passwords are remembered: handed on from one reading of the file to the next.
    memory: Option<Blind>,
    verified: Mutex<Verified>,
}

/// Something that counts until it expires.
#[derive(Clone, Debug)]
struct Known<T> {
    what: T,
    entry: Voucher,
    expires: Option<Timestamp>,
}

/// Whose credentials were shown, and which entry says so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Vouched {
    pub(super) subject: SubjectName,
    pub(super) voucher: Voucher,
}

/// Passwords that were verified, so that each request does not cost a hash.
#[derive(Debug, Default)]
struct Verified {
    known: HashMap<Sum, Known<SubjectName>>,
    order: VecDeque<Sum>,
}

impl CredentialsError {
    pub(super) fn new(message: String) -> Self {
        Self {
            message,
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// What to do about it, where that can be said.
    pub fn advice(&self) -> Option<&'static str> {
        self.hint
    }
}

impl Entry {
    pub(super) fn new(subject: SubjectName, kind: CredentialKind, hash: &str) -> Self {
        Self {
            subject,
            kind,
            hash: hash.into(),
            expires: None,
        }
    }

    /// The same, until a time: RFC 3339, such as `2027-01-31T00:00:00Z`.
    ///
    /// # Errors
    ///
    /// When the text is no time with an offset, or one that has passed.
    pub fn until(mut self, expires: &str) -> Result<Self, CredentialsError> {
        let datetime = expires.parse::<Datetime>().ok();
        let both = datetime.and_then(|datetime| Some((timestamp(&datetime)?, datetime)));
        let form = || CredentialsError::new(format!("`{expires}` is no time")).hint(TIME);
        let (end, datetime) = both.ok_or_else(form)?;
        if end <= Timestamp::now() {
            let passed = CredentialsError::new(format!("`{expires}` has passed"));
            return Err(
                passed.hint("a credential that has ended lets nobody in: write a later time")
            );
        }
        self.expires = Some(datetime);
        Ok(self)
    }

    #[cfg(test)]
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

impl fmt::Display for Entry {
    /// What is appended to the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.subject.replace('\\', "\\\\").replace('"', "\\\"");
        let kind = match self.kind {
            CredentialKind::Basic => "basic",
            CredentialKind::Bearer => "bearer",
        };
        writeln!(
            f,
            "[[credential]]\nsubject = \"{subject}\"\nkind = \"{kind}\""
        )?;
        write!(f, "hash = \"{}\"", self.hash)?;
        match &self.expires {
            Some(expires) => write!(f, "\nexpires = {expires}"),
            None => Ok(()),
        }
    }
}

impl Credentials {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When anything in it is not as it has to be.
    pub(super) fn read(file: &Path) -> Result<Self, CredentialsError> {
        let shown = file.display();
        let text = crate::file::text(file, MAX_FILE).map_err(|e| {
            CredentialsError::new(format!("cannot read the credentials in `{shown}`: {e}"))
        })?;
        Self::parse(&text).map_err(|error| {
            let (line, message) = (error.line(&text), error.message);
            CredentialsError {
                message: format!("`{shown}`, line {line}: {message}"),
                hint: error.hint,
            }
        })
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Entries {
            #[serde(default)]
            credential: Vec<Spanned<Entry>>,
        }
        let entries: Entries = toml::from_str(text).map_err(Wrong::toml)?;
        if entries.credential.len() > MAX_ENTRIES {
            let message = format!("there are more than {MAX_ENTRIES} credentials");
            return Err(Wrong::at(0, message, None));
        }
        let blind = Blind::new()
            .ok_or_else(|| Wrong::at(0, "the system gives no random numbers".into(), None))?;
        let mut credentials = Self {
            memory: Some(blind.clone()),
            blind: Some(blind),
            ..Self::default()
        };
        for entry in entries.credential {
            let at = entry.span().start;
            let added = credentials.add(entry.into_inner());
            added.map_err(|(message, hint)| Wrong::at(at, message, hint))?;
        }
        credentials.choose_decoy();
        Ok(credentials)
    }

    fn add(&mut self, entry: Entry) -> Result<(), (String, Option<&'static str>)> {
        let subject = entry.subject;
        let expires = entry.expires.as_ref();
        let expires = expires.map(|time| timestamp(time).ok_or(time)).transpose();
        let no_time = |_| (format!("`expires` of `{subject}` is no time"), Some(TIME));
        let expires = expires.map_err(no_time)?;
        let voucher = voucher(entry.kind, &subject, &entry.hash);
        // The same entry twice counts as long as the longer of them.
        let longest = self.entries.entry(voucher).or_insert(expires);
        *longest = longest.zip(expires).map(|(one, other)| one.max(other));
        let no_hash = |what| (format!("the hash of `{subject}` {what}"), Some(MAKE));
        match entry.kind {
            CredentialKind::Basic => {
                if subject.contains(':') {
                    let message = format!("`{subject}` has a colon, which ends a user name");
                    return Err((message, None));
                }
                let what = Password::parse(&entry.hash).map_err(no_hash)?;
                let hashes = self.passwords.entry(subject.clone()).or_default();
                hashes.push(Known {
                    what,
                    entry: voucher,
                    expires,
                });
                match hashes.len() <= MAX_PASSWORDS {
                    true => Ok(()),
                    false => Err((
                        format!("`{subject}` has more than {MAX_PASSWORDS} passwords"),
                        Some("an old and a new one are enough to change it"),
                    )),
                }
            }
            CredentialKind::Bearer => {
                let sum = hash::parse_token(&entry.hash).map_err(no_hash)?;
                let message = format!("the token of `{subject}` is there twice");
                let token = Known {
                    what: subject,
                    entry: voucher,
                    expires,
                };
                let known = self.blinded_token(&sum);
                let before = known.and_then(|sum| self.tokens.insert(sum, token));
                before.map_or(Ok(()), |_| Err((message, None)))
            }
        }
    }

    /// The dearest of the hashes: an unknown name takes no less time than a known one. Those of one file that
    /// `pinfold credential` made are all alike.
    fn choose_decoy(&mut self) {
        let hashes = self.passwords.values();
        self.rounds = hashes.clone().map(Vec::len).max().unwrap_or(1);
        let dearest = hashes.flatten().max_by_key(|hash| hash.what.cost());
        self.decoy = dearest.map(|hash| hash.what.clone());
    }

    /// Whose token it is. What is compared was hashed under a key of this process: its time tells nothing.
    pub(super) fn bearer(&self, token: &[u8]) -> Option<Vouched> {
        let sum = self.blinded_token(&hash::sum(token))?;
        let known = self.tokens.get(&sum)?;
        known.vouched()
    }

    /// Whose password was verified before.
    pub(super) fn remembered(&self, name: &str, password: &[u8]) -> Option<Vouched> {
        let sum = self.blinded(name, password)?;
        let verified = self.verified.lock();
        let verified = verified.unwrap_or_else(PoisonError::into_inner);
        let known = verified.known.get(&sum)?;
        known.vouched()
    }

    /// Whose password it is. Blocks for some time, as long for any name.
    pub(super) fn verify(&self, name: &str, password: &[u8]) -> Option<Vouched> {
        let now = Timestamp::now();
        let entry = self.passwords.get_key_value(name);
        let hashes = entry.map_or(&[][..], |(_, hashes)| hashes);
        let mut found = None;
        for round in 0..self.rounds {
            let (hash, real) = match hashes.get(round) {
                Some(known) => (Some(&known.what), known.valid(now).is_some()),
                None => (self.decoy.as_ref(), false),
            };
            let is = hash.is_some_and(|hash| hash.is(password));
            if is && real {
                found = hashes.get(round);
            }
        }
        let (subject, _) = entry?;
        let found = found?;
        let known = Known {
            what: subject.clone(),
            entry: found.entry,
            expires: found.expires,
        };
        let vouched = known.vouched();
        self.remember(name, password, known);
        vouched
    }

    /// Whether this entry is still there, and still counts.
    pub(super) fn vouches(&self, voucher: &Voucher) -> bool {
        let until = self.entries.get(voucher);
        until.is_some_and(|until| until.is_none_or(|until| Timestamp::now() < until))
    }

    /// Remembers the passwords that were verified by another reading of the file, as far as their entries are still
    /// there: a reload does not make everybody wait for a hash at once.
    pub(super) fn inherit(&mut self, before: &Self) {
        if before.memory.is_none() || self.memory.is_none() {
            return;
        }
        self.memory.clone_from(&before.memory);
        let before = before.verified.lock();
        let before = before.unwrap_or_else(PoisonError::into_inner);
        let verified = self.verified.get_mut();
        let verified = verified.unwrap_or_else(PoisonError::into_inner);
        for sum in &before.order {
            let Some(known) = before.known.get(sum) else {
                continue;
            };
            if let Some(expires) = self.entries.get(&known.entry) {
                let expires = *expires;
                let known = Known {
                    expires,
                    ..known.clone()
                };
                verified.order.push_back(*sum);
                verified.known.insert(*sum, known);
            }
        }
    }

    fn remember(&self, name: &str, password: &[u8], known: Known<SubjectName>) {
        let Some(sum) = self.blinded(name, password) else {
            return;
        };
        let verified = self.verified.lock();
        let mut verified = verified.unwrap_or_else(PoisonError::into_inner);
        if verified.known.insert(sum, known).is_some() {
            return;
        }
        verified.order.push_back(sum);
        if verified.order.len() > MAX_VERIFIED
            && let Some(oldest) = verified.order.pop_front()
        {
            verified.known.remove(&oldest);
        }
    }

    fn blinded(&self, name: &str, password: &[u8]) -> Option<Sum> {
        let memory = self.memory.as_ref()?;
        Some(memory.sum(&[b"password", name.as_bytes(), password]))
    }

    fn blinded_token(&self, sum: &Sum) -> Option<Sum> {
        Some(self.blind.as_ref()?.sum(&[b"token", sum]))
    }
}

impl<T> Known<T> {
    fn valid(&self, now: Timestamp) -> Option<&T> {
        let valid = self.expires.is_none_or(|expires| now < expires);
        valid.then_some(&self.what)
    }
}

impl Known<SubjectName> {
    fn vouched(&self) -> Option<Vouched> {
        let subject = self.valid(Timestamp::now())?.clone();
        let voucher = self.entry;
        Some(Vouched { subject, voucher })
    }
}

/// Tells entries apart: by whose they are, and what is known by them.
fn voucher(kind: CredentialKind, subject: &str, hash: &str) -> Voucher {
    let kind = match kind {
        CredentialKind::Basic => "basic",
        CredentialKind::Bearer => "bearer",
    };
    Voucher(hash::sum(format!("{kind}\n{subject}\n{hash}").as_bytes()))
}

/// What is wrong, and where.
struct Wrong {
    at: usize,
    message: String,
    hint: Option<&'static str>,
}

impl Wrong {
    fn at(at: usize, message: String, hint: Option<&'static str>) -> Self {
        Self { at, message, hint }
    }

    /// What the parser says. It shows no source: a person may have written a secret there.
    fn toml(error: toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        Self::at(at, message, None)
    }

    fn line(&self, text: &str) -> usize {
        let before = text.bytes().take(self.at);
        1 + before.filter(|byte| *byte == b'\n').count()
    }
}

fn timestamp(datetime: &Datetime) -> Option<Timestamp> {
    datetime.offset?;
    datetime.to_string().parse().ok()
}

const TIME: &str = "write it with an offset, such as `2027-01-31T00:00:00Z`";

const MAKE: &str = "`pinfold credential NAME` makes an entry";

/// The longest file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Credentials of one file.
const MAX_ENTRIES: usize = 10_000;

/// Passwords of one name, so that one can be changed: all of them are tried for everybody.
const MAX_PASSWORDS: usize = 2;

/// Verified passwords that are remembered; the oldest is forgotten for a new one.
const MAX_VERIFIED: usize = 4_096;

#[cfg(test)]
mod tests;
