//! The limit: what comes in goes out, both ways, and nobody is asked. A proxy cannot be faster than this
//! without kernel help.

use std::{io, net::SocketAddr};

use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};

use crate::{
    origin::{CHUNK, accept},
    service::Services,
};

/// One listener for each service of the origin, because a client cannot say which one it wants.
pub(crate) async fn serve(origin: Services) -> io::Result<Services> {
    let mut doors = origin.all();
    for (door, to) in doors.iter_mut().zip(origin.all()) {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        *door = listener.local_addr()?;
        tokio::spawn(accept(listener, move |client| relay(client, to)));
    }
    Ok(Services::new(doors))
}

async fn relay(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, CHUNK, CHUNK)
        .await
        .map(drop)
}
