//! The configurations of the peers: the nearest that each has to "this address, these ports, nothing else".

use std::{io, net::SocketAddr, path::PathBuf};

use crate::contender::Ground;

/// A configuration of which some words are not known before the run.
pub(crate) struct Config {
    /// The program.
    pub(crate) name: &'static str,
    /// Whether connections of clients outlive an answer.
    pub(crate) keeps: bool,
    text: &'static str,
    log: &'static str,
}

impl Config {
    /// Fills it in and writes it.
    pub(crate) fn write(&self, ground: &Ground, door: SocketAddr) -> io::Result<PathBuf> {
        let folder = ground.folder.path().to_string_lossy();
        let [http, ..] = ground.origin.all();
        let host = http.ip().to_string();
        ground
            .folder
            .write(FILTER, &format!("^{}$\n", host.replace('.', "\\.")))?;
        let connect_ports: String = ground
            .origin
            .all()
            .map(|service| format!("ConnectPort {}\n", service.port()))
            .concat();
        let text = format!("{}{}", self.text, self.log)
            .replace("{folder}", &folder)
            .replace("{connect_ports}", &connect_ports)
            .replace("{ports}", &ground.origin.ports(" "))
            .replace("{host}", &host)
            .replace("{port}", &door.port().to_string());
        ground.folder.write(&format!("{}.conf", self.name), &text)
    }
}

/// A filter of hosts, deny by default, and the ports for `CONNECT`; it has no rule for ports of plain requests.
pub(crate) const fn tinyproxy(log: bool) -> Config {
    Config {
        name: "tinyproxy",
        keeps: false,
        text: TINYPROXY,
        log: match log {
            true => "LogFile \"{folder}/tinyproxy.log\"\nLogLevel Connect\n",
            false => "LogFile \"/dev/null\"\nLogLevel Critical\n",
        },
    }
}

/// Access lists of destination and port, deny the rest; no cache. One process, as the package has it.
pub(crate) const fn squid(log: bool) -> Config {
    Config {
        name: "squid",
        keeps: true,
        text: SQUID,
        log: match log {
            true => "access_log daemon:{folder}/access.log\n",
            false => "access_log none\n",
        },
    }
}

const TINYPROXY: &str = "\
Port {port}
Listen 127.0.0.1
Timeout 600
MaxClients 6000
DisableViaHeader Yes
Allow 127.0.0.0/8
Filter \"{folder}/filter\"
FilterDefaultDeny Yes
{connect_ports}";

const SQUID: &str = "\
http_port 127.0.0.1:{port}
acl origin dst {host}
acl services port {ports}
http_access allow origin services
http_access deny all
cache deny all
cache_mem 0
via off
forwarded_for delete
pinger_enable off
netdb_filename none
pid_filename none
hosts_file none
dns_nameservers 127.0.0.1
cache_log {folder}/cache.log
coredump_dir {folder}
shutdown_lifetime 0 seconds
max_filedescriptors 20000
";

const FILTER: &str = "filter";
