//! The command line that makes the same configuration again.

use std::path::Path;

use clap::ValueEnum;

use super::Args;
use crate::text::shell_word;

/// In one line, defaults left out.
pub(super) fn line(args: &Args) -> String {
    let mode = args.mode.to_possible_value();
    let mode = mode.as_ref().map_or("", |mode| mode.get_name());
    let mut line = format!("pinfold envoy config {mode}");
    let mut add = |word: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" --{word}"));
            if !value.is_empty() {
                line.push_str(&format!(" {value}"));
            }
        }
    };
    let file = |file: &Option<_>| file.as_deref().map(shell_word);
    add("gateway", file(&args.gateway));
    for service in &args.service {
        add("service", Some(shell_word(Path::new(&service.to_string()))));
    }
    add("listen", args.listen.map(|listen| listen.to_string()));
    add(
        "admin",
        Some(args.admin.to_string()).filter(|admin| admin != super::ADMIN),
    );
    for network in &args.allow {
        add("allow", Some(network.to_string()));
    }
    add("failover", args.failover.then(String::new));
    add(
        "timeout",
        Some(args.timeout.to_string()).filter(|timeout| timeout != super::TIMEOUT),
    );
    add(
        "roots",
        Some(shell_word(&args.roots)).filter(|roots| roots != super::ROOTS),
    );
    let tls = &args.towards;
    add("certificate", file(&tls.certificate));
    add("key", file(&tls.key));
    add("client-ca", file(&tls.client_ca));
    add("service-ca", file(&tls.service_ca));
    add("service-certificate", file(&tls.service_certificate));
    add("service-key", file(&tls.service_key));
    add(
        "service-name",
        tls.service_name
            .as_ref()
            .map(|name| name.as_str().to_owned()),
    );
    line
}
