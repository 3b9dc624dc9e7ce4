//! The loop of a listener. What is beyond a bound goes no further, and costs little.

use std::{io, sync::Arc, time::Duration};

use super::{Door, Entrance, Raw, greet::greet};
use crate::{
    event::{Bus, Event},
    shared::Shared,
};

/// Accepts until the gateway drains, and closes the door then. Each connection is a task among `shared.connections`.
pub(crate) async fn accept(shared: Arc<Shared>, entrance: Arc<Entrance>, door: Door) {
    let mut pause = Pause::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.draining.cancelled() => break,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok(raw) => {
                pause = Pause::default();
                begin(&shared, &entrance, raw);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let name = &entrance.config.load().name.clone();
                pause.after(&shared.bus, name, &error).await;
            }
        }
    }
    // Who is in the queue of the kernel already would be reset when the door closes.
    let most = shared.config.load().limits.backlog;
    for raw in door.close(most) {
        begin(&shared, &entrance, raw);
    }
}

fn begin(shared: &Arc<Shared>, entrance: &Arc<Entrance>, raw: Raw) {
    let (shared, entrance) = (Arc::clone(shared), Arc::clone(entrance));
    let connections = shared.connections.clone();
    connections.spawn(async move {
        let cut = shared.cut.clone();
        cut.run_until_cancelled(greet(shared, entrance, raw)).await;
    });
}

/// The client was gone before it was accepted: that says nothing of the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
    )
}

/// Where no file descriptors are left, asking again at once only burns time. The first failure of a row is told.
#[derive(Default)]
struct Pause {
    times: u32,
}

impl Pause {
    async fn after(&mut self, bus: &Bus, listener: &str, error: &io::Error) {
        if self.times == 0 {
            bus.tell(&Event::Trouble {
                what: "accept",
                detail: format!("listener `{listener}` cannot accept: {error}"),
            });
        }
        let length = SHORTEST * 2_u32.pow(self.times.min(DOUBLINGS));
        self.times = self.times.saturating_add(1);
        tokio::time::sleep(length).await;
    }
}

const SHORTEST: Duration = Duration::from_millis(10);
/// The longest pause is 640 ms.
const DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::event::Sink;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Sink for Told {
        fn take(&self, event: &Event) {
            if let Event::Trouble { detail, .. } = event {
                self.0.lock().unwrap().push(detail.clone());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_of_failures_is_told_once_and_asked_about_less_and_less() {
        let told = Arc::new(Told::default());
        let bus = Bus::new(vec![told.clone()]);
        let error = io::Error::from_raw_os_error(24);
        let (mut pause, mut lengths) = (Pause::default(), Vec::new());
        for _ in 0..9 {
            let began = Instant::now();
            pause.after(&bus, "proxy", &error).await;
            lengths.push(began.elapsed().as_millis());
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
        let told = told.0.lock().unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("listener `proxy` cannot accept: "));
    }
}
