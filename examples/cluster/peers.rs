//! What each peer has in the end: asked of its own machine, page by page.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use raft_actors::{Cluster, actor::gauges::PeerStatus, raft::PeerId};

use super::{
    failure::Failure,
    lines::{Ask, Summary, Told},
    run::Keeps,
};

/// How long a peer that is up may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(2);

/// How one peer does, and what it has: unknown if it is down.
pub struct PeerReport {
    pub status: PeerStatus,
    pub summary: Option<Summary>,
}

/// Asks every peer.
pub async fn report_all<M: Keeps>(cluster: &Cluster<M>) -> Vec<PeerReport> {
    let client = cluster.client().with_deadline(PATIENCE);
    let mut reports = Vec::new();
    for status in cluster.statuses() {
        let told = match status.up {
            true => client.query_local(status.peer, &Ask::Summary).await.ok(),
            false => None,
        };
        let summary = told.and_then(|told| match told {
            Told::Summary(summary) => Some(summary),
            Told::Page(_) => None,
        });
        reports.push(PeerReport { status, summary });
    }
    reports
}

/// The file that a peer's lines go to.
pub fn dump_path(folder: &Path, peer: PeerId) -> PathBuf {
    folder.join(format!("peer-{peer}.log"))
}

/// Takes away what an earlier run left: a dead peer writes nothing.
pub fn clear(folder: &Path, peers: &[PeerId]) -> Result<(), Failure> {
    for &peer in peers {
        match fs::remove_file(dump_path(folder, peer)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::Dump { peer, cause: error.to_string() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes the lines of every peer that is up into its file.
pub async fn dump_all<M: Keeps>(
    cluster: &Cluster<M>,
    peers: &[PeerReport],
    folder: &Path,
) -> Result<(), Failure> {
    for peer in peers.iter().filter(|peer| peer.status.up).map(|report| report.status.peer) {
        dump(cluster, peer, &dump_path(folder, peer))
            .await
            .map_err(|cause| Failure::Dump { peer, cause: cause.to_string() })?;
    }
    Ok(())
}

async fn dump<M: Keeps>(cluster: &Cluster<M>, peer: PeerId, path: &Path) -> io::Result<()> {
    let client = cluster.client().with_deadline(PATIENCE);
    let mut file = BufWriter::new(File::create(path)?);
    let mut offset = 0;
    loop {
        let told = client.query_local(peer, &Ask::Page { offset }).await.map_err(io::Error::other)?;
        let Told::Page(page) = told else { return Err(io::Error::other("it answered another question")) };
        if page.is_empty() {
            return file.flush();
        }
        file.write_all(&page)?;
        offset += page.len() as u64;
    }
}
