//! The verdict at the end of a storm, over what clients were told and what machines hold.

use super::{
    clients::{Desk, Store},
    history::{self, Checker},
};
use crate::{cluster::Cluster, machine::kv, raft::PeerId};

/// How many steps a history may take to be judged: far more than any needs that is not broken.
const STEPS: u64 = 20_000_000;

/// Everything that is wrong.
pub(super) async fn judge<S: Store>(cluster: &Cluster<S>, desk: &Desk) -> Vec<String> {
    let mut wrong: Vec<String> =
        desk.complaints().into_iter().map(|what| format!("Answers: {what}")).collect();
    wrong.extend(equal(cluster).await);
    let pages = pages(cluster, desk).await;
    wrong.extend(desk.ledger().borrow().compare(&pages).into_iter().map(|what| format!("Sessions: {what}")));
    wrong.extend(linearizable(desk));
    wrong
}

/// All peers hold the same.
async fn equal<S: Store>(cluster: &Cluster<S>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut first: Option<(PeerId, kv::Response)> = None;
    for peer in cluster.peers() {
        match (cluster.client().query_local(peer, &kv::Query::Digest).await, &first) {
            (Err(error), _) => wrong.push(format!("Liveness: peer {peer} says nothing: {error}")),
            (Ok(digest), None) => first = Some((peer, digest)),
            (Ok(digest), Some((other, known))) if digest != *known => {
                wrong.push(format!("StateMachineSafety: peer {peer} holds something else than peer {other}"));
            }
            (Ok(_), Some(_)) => {}
        }
    }
    wrong
}

/// What sessions appended, as it is in the end.
async fn pages<S: Store>(cluster: &Cluster<S>, desk: &Desk) -> Vec<(u64, String)> {
    let keys = desk.ledger().borrow().pages();
    let mut pages = Vec::new();
    for (client, key) in keys {
        if let Ok(kv::Response::Value(Some(page))) = cluster.client().query(&kv::Query::get(key)).await {
            pages.push((client, String::from_utf8_lossy(&page).into_owned()));
        }
    }
    pages
}

fn linearizable(desk: &Desk) -> Option<String> {
    let checker = Checker::default().with_steps_max(STEPS);
    let checked = history::kv::check(&checker, &desk.history().history());
    checked.err().map(|failure| format!("Linearizability: {failure}"))
}
