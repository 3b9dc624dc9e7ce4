//! Secrets at rest: Argon2id of a password, SHA-256 of a random token.

use std::fmt;

use argon2::{
    Argon2, PasswordHasher, PasswordVerifier,
    password_hash::{PasswordHash, PasswordHashString, SaltString},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{credentials::Entry, header};
use crate::config::{CredentialKind, SubjectName};

/// A secret that is no good.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// A user name ends at the first colon.
    #[error("a name for `Basic` holds no colon")]
    Colon,
    /// A password that nobody can send.
    #[error("a password holds no control characters, such as a line feed")]
    Control,
    /// More than is hashed for a stranger.
    #[error("a password has at most {} bytes", header::MAX_PASSWORD)]
    Long,
    /// The system gives no random numbers, or no memory.
    #[error("the secret cannot be hashed: the system gives no random numbers, or no memory")]
    Machine,
    /// Guessed in no time.
    #[error("a password has at least {MIN_PASSWORD} bytes")]
    ShortPassword,
    /// Its hash is fast: only randomness protects it.
    #[error("a token has at least {MIN_TOKEN} characters, and is random")]
    ShortToken,
    /// What stands in the header.
    #[error("a token is of letters, digits and `-._~+/`")]
    Token,
}

/// The hash of a password.
#[derive(Clone)]
pub(super) struct Password(PasswordHashString);

/// A key of this process, under which secrets are remembered: memory holds no plain hash of a password, and
/// nobody can foretell where a map looks for a token.
#[derive(Clone)]
pub(super) struct Blind([u8; BLOCK]);

/// SHA-256.
pub(super) type Sum = [u8; 32];

/// An entry for a name and a password. Takes some 20 ms and 19 MiB.
///
/// # Errors
///
/// When the password is unfit.
pub fn basic_entry(subject: SubjectName, password: &str) -> Result<Entry, Unfit> {
    match password {
        _ if subject.contains(':') => return Err(Unfit::Colon),
        _ if password.chars().any(char::is_control) => return Err(Unfit::Control),
        _ if password.len() < MIN_PASSWORD => return Err(Unfit::ShortPassword),
        _ if password.len() > header::MAX_PASSWORD => return Err(Unfit::Long),
        _ => {}
    }
    let hash = Password::of(password.as_bytes()).ok_or(Unfit::Machine)?;
    Ok(Entry::new(subject, CredentialKind::Basic, hash.0.as_str()))
}

/// An entry for a token.
///
/// # Errors
///
/// When the token is unfit.
pub fn bearer_entry(subject: SubjectName, token: &str) -> Result<Entry, Unfit> {
    match token {
        _ if !header::is_token(token) => return Err(Unfit::Token),
        _ if token.len() < MIN_TOKEN => return Err(Unfit::ShortToken),
        _ => {}
    }
    let hash = format!("{SHA256}{}", hex(&sum(token.as_bytes())));
    Ok(Entry::new(subject, CredentialKind::Bearer, &hash))
}

/// A secret that nobody guesses: 256 random bits.
///
/// # Errors
///
/// When the system gives no random numbers.
pub fn generated() -> Result<String, Unfit> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Unfit::Machine)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl Password {
    /// Hashes a password, with a salt of its own.
    pub(super) fn of(password: &[u8]) -> Option<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).ok()?;
        let salt = SaltString::encode_b64(&salt).ok()?;
        let hash = Argon2::default().hash_password(password, &salt).ok()?;
        Some(Self(hash.serialize()))
    }

    /// Reads a hash; what it may cost is bounded, from below, too.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is not an Argon2id hash (`$argon2id$v=19$m=19456,t=2,p=1$...`)";
        let hash = PasswordHash::new(text).map_err(|_| FORM)?;
        let argon2id = hash.algorithm == argon2::ARGON2ID_IDENT && hash.version == Some(19);
        let whole = hash.salt.is_some() && hash.hash.is_some_and(|hash| hash.len() >= 16);
        if !argon2id || !whole {
            return Err(FORM);
        }
        let cost = argon2::Params::try_from(&hash).map_err(|_| FORM)?;
        let memory = MIN_MEMORY..=MAX_MEMORY;
        match memory.contains(&cost.m_cost()) && cost.t_cost() <= 10 && cost.p_cost() <= 4 {
            true => Ok(Self(hash.serialize())),
            false => Err("costs too little or too much (7 MiB to 256 MiB, t up to 10, p up to 4)"),
        }
    }

    /// What it costs to check, to compare with others.
    pub(super) fn cost(&self) -> u64 {
        let cost = argon2::Params::try_from(&self.0.password_hash());
        cost.map_or(0, |cost| {
            u64::from(cost.m_cost()) * u64::from(cost.t_cost())
        })
    }

    /// Whether it is the password. Slow by design.
    pub(super) fn is(&self, password: &[u8]) -> bool {
        #[cfg(test)]
        CHECKS.set(CHECKS.get() + 1);
        let hash = self.0.password_hash();
        Argon2::default().verify_password(password, &hash).is_ok()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Blind {
    pub(super) fn new() -> Option<Self> {
        let mut key = [0; BLOCK];
        getrandom::fill(&mut key).ok()?;
        Some(Self(key))
    }

    /// What stands for these parts. The key fills the first block, and what comes out never leaves the process, so
    /// that nobody can go on from it.
    pub(super) fn sum(&self, parts: &[&[u8]]) -> Sum {
        let mut sha = Sha256::new_with_prefix(self.0);
        for part in parts {
            sha.update((part.len() as u64).to_le_bytes());
            sha.update(part);
        }
        sha.finalize().into()
    }
}

impl fmt::Debug for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blind(..)")
    }
}

pub(super) fn sum(token: &[u8]) -> Sum {
    Sha256::digest(token).into()
}

/// `sha256:` and 64 digits.
pub(super) fn parse_token(text: &str) -> Result<Sum, &'static str> {
    const FORM: &str = "is not the hash of a token (`sha256:` and 64 hexadecimal digits)";
    let digits = text.strip_prefix(SHA256).ok_or(FORM)?.as_bytes();
    let mut sum = Sum::default();
    if digits.len() != 2 * sum.len() {
        return Err(FORM);
    }
    for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: &u8| char::from(*digit).to_digit(16);
        let [Some(high), Some(low)] = [pair.first().and_then(digit), pair.get(1).and_then(digit)]
        else {
            return Err(FORM);
        };
        *byte = (high << 4 | low) as u8;
    }
    Ok(sum)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const SHA256: &str = "sha256:";

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// The shortest password that is hashed for a file, in bytes.
const MIN_PASSWORD: usize = 12;

/// The shortest token, in characters.
const MIN_TOKEN: usize = 32;

/// What a hash in a file costs at least, and at most, in KiB.
const MIN_MEMORY: u32 = 7 << 10;
const MAX_MEMORY: u32 = 256 << 10;

#[cfg(test)]
thread_local! {
    /// How many hashes this thread has computed to check a password.
    pub(super) static CHECKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str) -> SubjectName {
        name.parse().unwrap()
    }

    #[test]
    fn a_password_is_known_by_its_hash() {
        let hash = Password::of(b"correct horse").unwrap();
        let read = Password::parse(hash.0.as_str()).unwrap();
        assert!(read.is(b"correct horse"));
        assert!(!read.is(b"correct horsf"));
        assert!(!read.is(b""));
        assert_eq!(read.cost(), 2 * 19 * 1024);
        let again = Password::of(b"correct horse").unwrap();
        assert_ne!(again.0.as_str(), hash.0.as_str(), "each has its salt");
    }

    #[test]
    fn a_hash_is_of_the_kind_and_the_cost_that_is_safe() {
        let with = |params: &str| {
            format!(
                "$argon2id$v=19${params}$c2FsdHNhbHRzYWx0$J4LXwDWmUw2dsWBVQHBvMFPvqLl0rbGAXzDCdMhHp9I"
            )
        };
        for (row, text, good) in [
            ("as it should be", with("m=19456,t=2,p=1"), true),
            ("the strongest", with("m=262144,t=10,p=4"), true),
            ("too weak", with("m=1024,t=2,p=1"), false),
            ("too much memory", with("m=4194304,t=2,p=1"), false),
            ("too many passes", with("m=19456,t=99,p=1"), false),
            (
                "another kind",
                with("m=19456,t=2,p=1").replace("argon2id", "argon2i"),
                false,
            ),
            (
                "an old version",
                with("m=19456,t=2,p=1").replace("v=19", "v=16"),
                false,
            ),
            ("bcrypt", "$2b$12$abcdefghijklmnopqrstuv".into(), false),
            ("a password", "hunter2".into(), false),
            ("nothing", String::new(), false),
        ] {
            assert_eq!(Password::parse(&text).is_ok(), good, "{row}");
        }
    }

    #[test]
    fn a_token_is_known_by_its_sum() {
        let token = generated().unwrap();
        assert_eq!(token.len(), 43);
        assert_ne!(token, generated().unwrap());
        let entry = bearer_entry(subject("a"), &token).unwrap();
        assert_eq!(parse_token(entry.hash()), Ok(sum(token.as_bytes())));
        let wrong = format!("sha256:{}g", "0".repeat(63));
        for text in ["", "sha256:", "sha256:00", &wrong, "md5:00"] {
            assert!(parse_token(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_weak_or_cannot_be_sent_is_refused() {
        let long = "a".repeat(header::MAX_PASSWORD + 1);
        for (name, password, unfit) in [
            ("a:b", "long enough it is", Unfit::Colon),
            ("a", "short", Unfit::ShortPassword),
            ("a", &*long, Unfit::Long),
            ("a", "long enough\nit is", Unfit::Control),
        ] {
            let made = basic_entry(subject(name), password);
            assert_eq!(made.map(|_| ()), Err(unfit), "{name} {password}");
        }
        for (token, unfit) in [
            ("", Unfit::Token),
            ("a b", Unfit::Token),
            ("short", Unfit::ShortToken),
        ] {
            let made = bearer_entry(subject("a"), token);
            assert_eq!(made.map(|_| ()), Err(unfit), "{token}");
        }
    }
}
