//! A connection that begins here: to another peer, or from a client to any.

use std::{fmt, io, net::SocketAddr, time::Duration};

use capnp_rpc::{RpcSystem, rpc_twoparty_capnp::Side};
use socket2::{SockRef, Socket};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

use super::{
    handshake::Refused,
    messages_capnp as wire,
    meter::{Bounds, Meter},
    server::prepare,
    tls::{Stream, Tls, Whom},
    vat::{Terms, Vat},
};
use crate::config::NetworkConfig;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DialError {
    /// Nobody listens there, or nobody answers, or what answers is something else.
    Unreachable(String),
    /// Somebody does, and has said no.
    Refused(Refused),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Unreachable(what) => f.write_str(what),
            DialError::Refused(refused) => refused.fmt(f),
        }
    }
}

impl From<capnp::Error> for DialError {
    fn from(error: capnp::Error) -> DialError {
        let what = if error.kind == capnp::ErrorKind::Disconnected {
            "it closed the connection: does it expect TLS, or is it something else?".into()
        } else {
            format!("it does not speak our protocol: {}", error.extra)
        };
        DialError::Unreachable(what)
    }
}

/// How a connection is kept from others.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Who vouches for whom; `None`: plaintext.
    pub tls: Option<Tls>,
    /// Whether plaintext may leave this machine.
    pub plaintext: bool,
}

impl Security {
    /// Whether a connection to this address, or from there, is as safe as was asked for.
    pub fn suits(&self, address: &SocketAddr) -> bool {
        self.tls.is_some() || self.plaintext || address.ip().is_loopback()
    }
}

/// A fresh connection, before its handshake.
pub(super) struct Dialled {
    pub(super) system: RpcSystem<Side>,
    pub(super) meter: Meter,
    pub(super) bootstrap: wire::bootstrap::Client,
    /// What carries it; `None` if the system does not let us have it twice. The connection stays open until it is
    /// dropped, too.
    pub(super) socket: Option<Socket>,
}

/// Opens a connection to an address, within the time for that.
///
/// `answer_bytes`: the longest frame that is taken from there.
pub(super) async fn dial(
    address: &str,
    whom: Whom,
    security: &Security,
    limits: &NetworkConfig,
    answer_bytes: usize,
) -> Result<Dialled, DialError> {
    let deadline = Instant::now() + Duration::from_millis(limits.connect_ms);
    let late = || DialError::Unreachable("it did not answer in time".into());
    let unreachable = |error: io::Error| DialError::Unreachable(error.to_string());
    let stream =
        timeout_at(deadline, connect(address, security)).await.map_err(|_| late())?.map_err(unreachable)?;
    prepare(&stream);
    let socket = SockRef::from(&stream).try_clone().ok();
    let stream: Box<dyn Stream> = match &security.tls {
        None => Box::new(stream),
        Some(tls) => {
            let secured = timeout_at(deadline, tls.connect(stream, whom)).await.map_err(|_| late())?;
            secured.map_err(|error| DialError::Unreachable(format!("TLS: {error}")))?.0
        }
    };
    let bounds = Bounds {
        frame_bytes: answer_bytes,
        calls: limits.calls_max,
        queued_bytes: usize::MAX,
        kept_bytes: usize::MAX,
    };
    let meter = Meter::new(bounds);
    meter.trust();
    let terms = Terms {
        side: Side::Client,
        frame_time: Duration::from_millis(limits.half_frame_ms),
        free_bytes: limits.greeting_bytes_max,
        budget: None,
        turnstile: None,
    };
    let mut system = RpcSystem::new(Box::new(Vat::new(stream, meter.clone(), terms)), None);
    let bootstrap = system.bootstrap(Side::Server);
    Ok(Dialled { system, meter, bootstrap, socket })
}

/// Tries all that a name stands for.
async fn connect(address: &str, security: &Security) -> io::Result<TcpStream> {
    let mut last = None;
    for address in lookup_host(address).await? {
        if !security.suits(&address) {
            last = Some(io::Error::other(
                "it is on another machine, and nobody asked for plaintext: use TLS, or say so",
            ));
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("the name stands for no address")))
}
