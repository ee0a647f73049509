//! Elections.
use super::{cluster::Cluster, *};

#[test]
fn smoke() {
    let mut cluster = Cluster::new(3, Config::default());
    cluster.run_for(1_000);
    let leader = cluster.leader();
    let client = cluster.propose(leader, data("hello"));
    cluster.settle();
    assert_eq!(cluster.outcome(client), Some(&machine::applied(Index(3))));
    cluster.run_for(100);
    for id in 1..=3 {
        assert_eq!(cluster.peer(id).machine.index(), Index(3));
    }
    assert_eq!(cluster.state(leader).term(), Term(1));
}
