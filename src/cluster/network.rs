//! A cluster whose peers are on several machines.

use std::collections::{BTreeMap, BTreeSet};

use crate::{config::NetworkConfig, raft::PeerId, transport::capnp::Tls};

/// Which peers a cluster has, which of them are here, and how they reach each other: see
/// [`Builder::network`](super::Builder::network).
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) cluster: Option<String>,
    pub(super) members: BTreeMap<PeerId, String>,
    pub(super) here: BTreeSet<PeerId>,
    pub(super) listen: BTreeMap<PeerId, String>,
    pub(super) limits: NetworkConfig,
    pub(super) tls: Option<Tls>,
    pub(super) plaintext: bool,
    pub(super) allow_faults: bool,
}

impl Network {
    /// All peers of the cluster, and where each listens: `HOST:PORT`. Give every peer the same.
    pub fn new<P: Into<PeerId>, A: Into<String>>(members: impl IntoIterator<Item = (P, A)>) -> Network {
        Network {
            cluster: None,
            members: members.into_iter().map(|(peer, address)| (peer.into(), address.into())).collect(),
            here: BTreeSet::new(),
            listen: BTreeMap::new(),
            limits: NetworkConfig::default(),
            tls: None,
            plaintext: false,
            allow_faults: false,
        }
    }

    /// A peer that runs in this process; may be said of several. They speak to each other without a wire.
    #[must_use]
    pub fn here(mut self, peer: impl Into<PeerId>) -> Network {
        self.here.insert(peer.into());
        self
    }

    /// The name of the cluster: peers and clients of another one are refused. Default: its first members, as
    /// text.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Network {
        self.cluster = Some(name.into());
        self
    }

    /// Where a peer that is here listens, if that is not the address under which the others reach it.
    #[must_use]
    pub fn listen(mut self, peer: impl Into<PeerId>, address: impl Into<String>) -> Network {
        self.listen.insert(peer.into(), address.into());
        self
    }

    /// What is taken from the network, and how long is waited there.
    #[must_use]
    pub fn limits(mut self, limits: NetworkConfig) -> Network {
        self.limits = limits;
        self
    }

    /// Who vouches for whom: nobody is let in, and nothing leaves, without a certificate.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Network {
        self.tls = Some(tls);
        self
    }

    /// Without [`Network::tls`] a peer only listens on this machine's own addresses, unless this is said.
    /// Whoever reaches it may then do anything.
    #[must_use]
    pub fn plaintext(mut self) -> Network {
        self.plaintext = true;
        self
    }

    /// Lets operators cut the peers that are here off, and lay fault rules.
    #[must_use]
    pub fn allow_faults(mut self) -> Network {
        self.allow_faults = true;
        self
    }
}
