//! The sockets of the DNS server: one port, datagrams and connections.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{QuestionLog, Reply, Strategy, Transport, Zone, wire};
use crate::{
    limits::{DNS_IDLE, DNS_TASKS, PORT_ATTEMPTS},
    tasks::Task,
};

/// A DNS server on loopback that answers as its [`Zone`] says, and logs every question.
///
/// It stops when it is dropped.
#[derive(Debug)]
pub struct DnsServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _tasks: [Task; 2],
}

#[derive(Debug, Default)]
struct Shared {
    zone: Zone,
    log: QuestionLog,
}

impl DnsServer {
    /// Starts on a free port of 127.0.0.1, the same one for UDP and TCP.
    ///
    /// # Errors
    ///
    /// When no port could be bound for both.
    pub async fn start() -> io::Result<Self> {
        let (udp, tcp) = bind().await?;
        let addr = tcp.local_addr()?;
        let shared = Arc::new(Shared::default());
        let datagrams = Task::spawn(serve_udp(Arc::new(udp), shared.clone()));
        let connections = Task::spawn(serve_tcp(tcp, shared.clone()));
        Ok(Self {
            addr,
            shared,
            _tasks: [datagrams, connections],
        })
    }

    /// Where it listens, for UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it answers.
    pub fn zone(&self) -> &Zone {
        &self.shared.zone
    }

    /// Sets the behaviour of a name or of all names below one, see [`Zone::name`].
    pub fn name(&self, pattern: &str, strategy: Strategy) -> &Self {
        self.shared.zone.name(pattern, strategy);
        self
    }

    /// What it was asked.
    pub fn log(&self) -> &QuestionLog {
        &self.shared.log
    }
}

impl Shared {
    /// The packets that answer one packet, each with its delay.
    fn answer(
        &self,
        packet: &[u8],
        transport: Transport,
        client: SocketAddr,
    ) -> Vec<(Duration, Vec<u8>)> {
        let Some((request, question)) = wire::read(packet, transport, client) else {
            return Vec::new();
        };
        self.log.record(&question);
        let reply = self.zone.reply(&question);
        let packets = std::iter::successors(Some(&reply), |reply: &&Reply| reply.then.as_deref());
        packets
            .filter_map(|reply| Some((reply.delay, wire::write(&request, &question, reply)?)))
            .collect()
    }
}

async fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_ATTEMPTS {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut delayed = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        // An error here is about an earlier datagram that could not be delivered.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let packet = buffer.get(..length).unwrap_or_default();
        let packets = shared.answer(packet, Transport::Udp, client);
        if packets.iter().all(|(delay, _)| delay.is_zero()) {
            send(&socket, client, packets).await;
        } else if delayed.len() < DNS_TASKS {
            let socket = socket.clone();
            delayed.spawn(async move { send(&socket, client, packets).await });
        }
        while delayed.try_join_next().is_some() {}
    }
}

async fn send(socket: &UdpSocket, client: SocketAddr, packets: Vec<(Duration, Vec<u8>)>) {
    for (delay, packet) in packets {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        // A client that is gone is none of our business.
        let _ = socket.send_to(&packet, client).await;
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let slots = Arc::new(Semaphore::new(DNS_TASKS));
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let _ = timeout(DNS_IDLE, talk(stream, client, &shared)).await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Messages over TCP are prefixed with their length (RFC 1035, 4.2.2).
async fn talk(mut stream: TcpStream, client: SocketAddr, shared: &Shared) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut packet = vec![0; usize::from(length)];
        stream.read_exact(&mut packet).await?;
        for (delay, answer) in shared.answer(&packet, Transport::Tcp, client) {
            sleep(delay).await;
            let Ok(length) = u16::try_from(answer.len()) else {
                continue;
            };
            stream.write_u16(length).await?;
            stream.write_all(&answer).await?;
        }
    }
}
