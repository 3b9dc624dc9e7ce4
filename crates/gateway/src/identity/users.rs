//! Users at the other end of a Unix socket.

use std::collections::{BTreeMap, HashMap};

use super::CredentialsError;
use crate::{config::SubjectName, file};

/// Subjects by user.
#[derive(Debug, Default)]
pub(super) struct Users(HashMap<u32, SubjectName>);

impl Users {
    /// Names of users are looked up in `/etc/passwd`, once: what another directory knows is given by number.
    pub(super) fn read(users: &BTreeMap<String, SubjectName>) -> Result<Self, CredentialsError> {
        let by_name = users.keys().any(|user| user.parse::<u32>().is_err());
        let passwd = match by_name {
            true => passwd()?,
            false => String::new(),
        };
        Self::resolved(users, &passwd)
    }

    fn resolved(
        users: &BTreeMap<String, SubjectName>,
        passwd: &str,
    ) -> Result<Self, CredentialsError> {
        let mut named = HashMap::new();
        for (user, subject) in users {
            let uid = user.parse().ok().or_else(|| uid_of(user, passwd));
            let uid = uid.ok_or_else(|| {
                let message = format!("there is no user `{user}` in {PASSWD}");
                CredentialsError::new(message).hint("give the number of the user")
            })?;
            if named.insert(uid, subject.clone()).is_some() {
                let message = format!("the user {uid} is given twice, by name and by number");
                return Err(CredentialsError::new(message));
            }
        }
        Ok(Self(named))
    }

    /// Who a user is. Everybody is somebody.
    pub(super) fn name(&self, uid: u32) -> Option<SubjectName> {
        let named = self.0.get(&uid).cloned();
        named.or_else(|| format!("uid-{uid}").parse().ok())
    }
}

fn passwd() -> Result<String, CredentialsError> {
    file::text(PASSWD.as_ref(), MAX_PASSWD)
        .map_err(|error| CredentialsError::new(format!("cannot read {PASSWD}: {error}")))
}

/// `name:x:uid:...`
fn uid_of(user: &str, passwd: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let named = fields.next() == Some(user);
        fields.nth(1).filter(|_| named)?.parse().ok()
    })
}

const PASSWD: &str = "/etc/passwd";

/// What is read of the list of users, in bytes.
const MAX_PASSWD: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn users(rows: &[(&str, &str)]) -> Result<Users, CredentialsError> {
        let users = rows
            .iter()
            .map(|(user, name)| ((*user).into(), name.parse().unwrap()))
            .collect();
        Users::resolved(
            &users,
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/false\n",
        )
    }

    #[test]
    fn a_user_is_given_by_name_or_number() {
        let users = users(&[("web", "front"), ("1000", "batch")]).unwrap();
        for (uid, name) in [(33, "front"), (1000, "batch"), (0, "uid-0")] {
            assert_eq!(users.name(uid).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for (rows, told) in [
            (
                &[("nobody-here", "a")][..],
                "there is no user `nobody-here` in /etc/passwd",
            ),
            (
                &[("web", "a"), ("33", "b")],
                "the user 33 is given twice, by name and by number",
            ),
        ] {
            assert_eq!(users(rows).unwrap_err().to_string(), told);
        }
    }
}
