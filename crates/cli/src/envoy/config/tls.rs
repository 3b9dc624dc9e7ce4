//! TLS with clients, and with gateways.

use std::path::Path;

use super::{
    Towards,
    address::Address,
    facts::Services,
    template::{fill, quoted},
};

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speaks {
    Http1,
    /// Which a handshake has to ask for.
    Http2,
}

/// The transport of the listener; empty without a certificate.
pub(super) fn downstream(towards: &Towards) -> String {
    let (Some(certificate), Some(key)) = (&towards.certificate, &towards.key) else {
        return String::new();
    };
    let clients = towards.client_ca.as_deref().map(|ca| {
        fill(
            include_str!("pieces/clients.yaml"),
            &[("client_ca", &path(ca))],
        )
    });
    let require = match clients.is_some() {
        true => include_str!("pieces/require.yaml"),
        false => "",
    };
    fill(
        include_str!("pieces/downstream_tls.yaml"),
        &[
            ("require", require),
            ("certificate", &path(certificate)),
            ("key", &path(key)),
            ("clients", &clients.unwrap_or_default()),
        ],
    )
}

impl Services {
    /// The transport of the cluster; empty for clear text.
    pub(super) fn transport(&self, towards: &Towards, speaks: Speaks) -> String {
        let tls = towards.service_ca.as_deref();
        let tls = tls.map(|ca| self.tls(towards, ca, speaks));
        let socket = match (tls, self.proxy_header) {
            (None, false) => return String::new(),
            (Some(tls), false) => tls,
            (tls, true) => {
                let inner = tls.unwrap_or_else(|| include_str!("pieces/raw.yaml").to_owned());
                fill(
                    include_str!("pieces/proxy_protocol.yaml"),
                    &[("inner", &inner)],
                )
            }
        };
        fill("transport_socket:\n  @socket@", &[("socket", &socket)])
    }

    fn tls(&self, towards: &Towards, ca: &Path, speaks: Speaks) -> String {
        let certificate = match (&towards.service_certificate, &towards.service_key) {
            (Some(certificate), Some(key)) => format!(
                "tls_certificates:\n- certificate_chain: {{filename: {}}}\n  private_key: {{filename: {}}}\n",
                path(certificate),
                path(key)
            ),
            _ => String::new(),
        };
        let alpn = match speaks {
            Speaks::Http1 => "",
            Speaks::Http2 => "alpn_protocols: [h2]",
        };
        let whom = match &towards.service_name {
            Some(_) => "this name",
            None => "the address that is connected to",
        };
        fill(
            include_str!("pieces/service_tls.yaml"),
            &[
                ("alpn", alpn),
                ("certificate", &certificate),
                ("whom", whom),
                ("ca", &path(ca)),
                ("names", &self.names(towards)),
            ],
        )
    }

    /// What a certificate of a gateway has to be for.
    fn names(&self, towards: &Towards) -> String {
        let name = |kind: &str, name: &str| {
            format!(
                "- {{san_type: {kind}, matcher: {{exact: {}}}}}\n",
                quoted(name)
            )
        };
        if let Some(domain) = &towards.service_name {
            return name("DNS", domain.as_str());
        }
        let addresses = self.addresses.iter().filter_map(|address| match address {
            Address::Tcp(address) => Some(name("IP_ADDRESS", &address.ip().to_string())),
            Address::Unix(_) => None,
        });
        addresses.collect()
    }
}

fn path(file: &Path) -> String {
    quoted(&file.display().to_string())
}
