//! smoke
use raft_actors::{
    machine::{Raw, StateMachine},
    raft::*,
    storage::SnapshotWriter,
    *,
};
use std::time::Duration;
#[derive(Default)]
struct Sum(u64);
impl StateMachine for Sum {
    type Command = u64;
    type Answer = u64;
    type Query = ();
    type Response = u64;
    fn apply(&mut self, _: Position, c: u64) -> u64 {
        self.0 += c;
        self.0
    }
    fn query(&self, _: ()) -> u64 {
        self.0
    }
    fn snapshot(&self) -> SnapshotWriter {
        let v = self.0;
        Box::new(move |w| w.write_all(&v.to_le_bytes()))
    }
    fn restore(&mut self, r: &mut dyn std::io::Read) -> std::io::Result<()> {
        let mut b = [0; 8];
        r.read_exact(&mut b)?;
        self.0 = u64::from_le_bytes(b);
        Ok(())
    }
}
#[test]
fn simulate() {
    let _ = Raw::default();
    let sum = Cluster::of(|_| Sum::default())
        .observe(|r: &observe::Report| eprintln!("{r}"))
        .simulate(7, async |cluster: Cluster<Sum>| {
            let leader = cluster.wait_for_leader(Duration::from_secs(5)).await;
            eprintln!("leader {leader:?}");
            let client = cluster.client();
            for i in 0..5 {
                eprintln!("answer {:?}", client.propose(&i).await);
            }
            let s = client.session().await.unwrap();
            for i in 0..5 {
                eprintln!("session answer {:?}", s.propose(&i).await);
            }
            cluster.crash(leader.unwrap(), ActorKind::Role);
            for i in 0..5 {
                eprintln!("session answer {:?}", s.propose(&i).await);
            }
            let q = client.query(&()).await;
            eprintln!("query {q:?}");
            q.unwrap()
        })
        .unwrap();
    assert_eq!(sum, 30);
}
