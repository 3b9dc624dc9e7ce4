//! Somebody who may change things: who has the token.

use std::path::Path;

use serde_json::Value;

use crate::support::{Client, Proxy, file, status};

/// The token, at least 32 characters.
const TOKEN: &str = "operators-of-the-tests-0123456789abcdef";

pub(crate) struct Operator {
    token_file: String,
}

impl Operator {
    pub(crate) fn new(folder: &Path) -> Self {
        let path = file(folder, "token", TOKEN);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self {
            token_file: path.display().to_string(),
        }
    }

    /// What the gateway has to know.
    pub(crate) fn config(&self) -> String {
        format!("admin = {{token_file = '{}'}}\n", self.token_file)
    }

    /// Asks for a change: status and answer.
    pub(crate) async fn post(&self, proxy: &Proxy, path: &str, body: &Value) -> (u16, Value) {
        let address = proxy.gateway().admin_address().expect("an admin interface");
        let mut client = Client::connect(address).await;
        let body = body.to_string();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nPinfold-Admin: 1\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        client.send(request.as_bytes()).await;
        let text = String::from_utf8(client.rest().await).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        (
            status(head),
            serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())),
        )
    }
}
