//! Sockets that the service manager opened, by name. They outlive the process: a restart loses no connection.

use std::{
    io,
    net::TcpListener,
    os::{fd::RawFd, unix::net::UnixListener},
};

use listenfd::ListenFd;

/// What was passed on, each to be taken once.
pub(crate) struct Inherited {
    sockets: ListenFd,
    /// In the order of the sockets.
    names: Vec<String>,
}

/// One of them.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Inherited {
    /// Everything that was passed on to this process; nothing when it was started otherwise.
    pub(crate) fn all() -> io::Result<Self> {
        Ok(Self {
            names: sd_notify::listen_fds_with_names()?.map(named).collect(),
            sockets: ListenFd::from_env(),
        })
    }

    /// The socket of this name that was not taken yet. A name may stand for several.
    pub(crate) fn take(&mut self, name: &str) -> io::Result<Socket> {
        for at in self.places(name) {
            if let Some(socket) = self.at(at)? {
                return Ok(socket);
            }
        }
        let known = self.names.join("`, `");
        let problem = match self.names.is_empty() {
            true => "the service manager passed no socket on".to_owned(),
            false => {
                format!("the service manager passed no free socket `{name}` on, but `{known}`")
            }
        };
        Err(io::Error::new(io::ErrorKind::NotFound, problem))
    }

    fn places(&self, name: &str) -> Vec<usize> {
        let named = self.names.iter().enumerate();
        named
            .filter(|(_, other)| *other == name)
            .map(|(at, _)| at)
            .collect()
    }

    fn at(&mut self, at: usize) -> io::Result<Option<Socket>> {
        // What is no TCP socket is an error, and stays where it is.
        if let Ok(tcp) = self.sockets.take_tcp_listener(at) {
            return Ok(tcp.map(Socket::Tcp));
        }
        Ok(self.sockets.take_unix_listener(at)?.map(Socket::Unix))
    }
}

fn named((_, name): (RawFd, String)) -> String {
    name
}
