//! How a peer is heard: the listener, and a task for each connection.
//!
//! A connection can harm itself and nothing else: it has a task of its own, in which a panic ends, and everything
//! it may cost is bounded (see `meter`, `budget`). Before its handshake it may cost little and not for long; of
//! those there are only so many at a time, and the oldest makes room for the next, so that whoever only knocks
//! shuts nobody out.

use std::{cell::RefCell, collections::VecDeque, io, net::SocketAddr, rc::Rc, time::Duration};

use capnp_rpc::{RpcSystem, new_client, rpc_twoparty_capnp::Side};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::{
    house::{House, Open},
    messages_capnp::bootstrap,
    meter::Meter,
    reception::{Guest, Reception, Visit},
    tls::{Credentials, Stream},
    vat::{Terms, Vat},
};
use crate::raft::Why;

/// After how long the kernel asks a silent peer's machine whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How much of its answers a connection may leave to the kernel, in bytes: else whoever asks and does not read has it
/// take in megabytes for each of many connections, all of which this thread would have to copy.
const LEFT_TO_KERNEL_BYTES: usize = 256 << 10;

/// How long is waited when no more connections can be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that have not shaken hands, the oldest first.
#[derive(Default)]
struct Lobby(RefCell<VecDeque<Meter>>);

/// Begins to hear. To be called on the thread of the peer, which has to drive local tasks.
///
/// # Errors
/// The listener can't be used.
pub fn serve(open: Open, listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    spawn_local(accept(House::new(open), listener));
    Ok(())
}

async fn accept(house: Rc<House>, listener: TcpListener) {
    let lobby = Rc::<Lobby>::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely there are no more file descriptors: those that are open go on.
                if let Ok(here) = listener.local_addr() {
                    house.turn_away(
                        "accept",
                        here,
                        &format!("no connection can be taken: {error}"),
                        Why::TooMany,
                    );
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        let meter = Meter::new(house.bounds(false));
        let mut waiting = lobby.0.borrow_mut();
        if waiting.len() >= house.limits().greetings_max {
            // Who has said something is more likely to mean it.
            let mute = waiting.iter().position(|meter| !meter.was_heard()).unwrap_or_default();
            if let Some(oldest) = waiting.remove(mute) {
                oldest.end("others wait for their handshake, too");
                house.turn_away("lobby", from, "too many connections wait for their handshake", Why::TooMany);
            }
        }
        waiting.push_back(meter.clone());
        drop(waiting);
        spawn_local(receive(house.clone(), lobby.clone(), meter, stream, from));
    }
}

/// Leaves the lobby, however it ends.
struct Waiting {
    lobby: Rc<Lobby>,
    meter: Meter,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.lobby.0.borrow_mut().retain(|waiting| !waiting.is(&self.meter));
    }
}

async fn receive(house: Rc<House>, lobby: Rc<Lobby>, meter: Meter, stream: TcpStream, from: SocketAddr) {
    let waiting = Waiting { lobby, meter: meter.clone() };
    prepare(&stream);
    let _ = SockRef::from(&stream).set_send_buffer_size(LEFT_TO_KERNEL_BYTES);
    let deadline = Instant::now() + Duration::from_millis(house.limits().handshake_ms);
    let Some(tls) = &house.open.tls else {
        return converse(house.clone(), waiting, stream, Credentials::unknown(), from, deadline).await;
    };
    let accepted = tokio::select! {
        accepted = timeout_at(deadline, tls.accept(stream)) => accepted,
        _ = meter.until_ended() => return,
    };
    let what = match accepted {
        Ok(Ok((stream, credentials))) => {
            return converse(house.clone(), waiting, stream, credentials, from, deadline).await;
        }
        Ok(Err(error)) => format!("TLS: {error}"),
        Err(_) => "TLS: the handshake was left unfinished".into(),
    };
    house.turn_away("tls", from, &what, Why::BadCredentials);
}

/// What can't be set costs speed, or memory for a while, and nothing else.
pub(super) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream)
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}

/// Speaks with whoever is there, until one of both has enough.
async fn converse(
    house: Rc<House>,
    waiting: Waiting,
    stream: impl Stream + 'static,
    credentials: Credentials,
    from: SocketAddr,
    deadline: Instant,
) {
    let meter = waiting.meter.clone();
    let limits = house.limits();
    let visit = Visit::new(house.clone(), meter.clone(), credentials, from);
    let terms = Terms {
        side: Side::Server,
        frame_time: Duration::from_millis(limits.half_frame_ms),
        free_bytes: limits.greeting_bytes_max,
        budget: Some(house.budget.clone()),
        turnstile: Some(house.turnstile.clone()),
    };
    let vat = Vat::new(stream, meter.clone(), terms);
    let bootstrap: bootstrap::Client = new_client(Reception(visit.clone()));
    let mut system = RpcSystem::new(Box::new(vat), Some(bootstrap.client));
    let over = tokio::select! {
        _ = &mut system => true,
        () = until_greeted(&visit, deadline) => false,
    };
    let _leaving = Leaving(visit.clone());
    drop(waiting);
    if visit.guest().is_none() && visit.was_greeted() {
        // It was told why, and so was the log.
    } else if visit.guest().is_none() {
        let why = meter.reason().unwrap_or_else(|| "it did not shake hands".into());
        house.turn_away("handshake", from, &why, Why::NotWelcome);
    } else if !over {
        let idle = Duration::from_millis(limits.idle_ms);
        tokio::select! {
            _ = &mut system => return,
            () = until_idle(&meter, idle), if visit.guest() == Some(Guest::Client) => {
                meter.end("nothing happened for too long");
            }
            _ = meter.until_ended() => {}
        }
    }
    // What was asked of the other side fails at once; what is still in the queue has a moment to leave.
    meter.end("the connection is over");
    if !over {
        let _ = timeout(PAUSE, system).await;
    }
}

/// Leaves the house, however it ends: what a guest was given may live longer.
struct Leaving(Rc<Visit>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Returns when the handshake is done, or too late.
async fn until_greeted(visit: &Visit, deadline: Instant) {
    while visit.guest().is_none() && timeout_at(deadline, visit.meter.until_changed()).await.is_ok() {}
}

async fn until_idle(meter: &Meter, patience: Duration) {
    loop {
        match meter.idle_since() {
            Some(since) if since + patience <= Instant::now() => return,
            Some(since) => sleep_until(since + patience).await,
            None => sleep(patience).await,
        }
    }
}
