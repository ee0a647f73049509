use std::{sync::Mutex, time::Duration};

use tokio::time::sleep;

use super::{super::SessionLimits, *};
use crate::{
    observe::Capture,
    raft::{
        AppendEntries, Appended, Index, MessageKind, Position, RequestVote, Slice, Term, TimeoutNow, Voted,
    },
    storage::Incarnation,
    transport::faults::{FaultGuard, Rule},
};

mod elsewhere;
mod meeting;

const ONE: PeerId = PeerId(1);
const TWO: PeerId = PeerId(2);

/// A postbox that writes down the terms of what arrives, and grants every vote.
#[derive(Default)]
struct Voter(Mutex<Vec<u64>>);

impl Voter {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Postbox for Voter {
    fn deliver(&self, rpc: Rpc) {
        let term = match rpc {
            Rpc::RequestVote(rpc) => {
                rpc.reply.send(Voted { from: TWO, term: rpc.term, granted: true });
                rpc.term
            }
            Rpc::TimeoutNow(rpc) => rpc.term,
            _ => panic!("not sent here"),
        };
        self.0.lock().unwrap().push(term.0);
    }

    fn meet(&self, _: Introduction, verdict: Reply<Result<(), Objection>>) {
        verdict.send(Ok(()));
    }

    fn turned_away(&self, by: PeerId, objection: Objection) {
        panic!("{by}: {objection}");
    }
}

/// A peer with the disk that it always has.
fn introduction(peer: PeerId) -> Introduction {
    let incarnation = Incarnation(u128::from(peer.0));
    let sessions = SessionLimits { max: 1, window: 1 };
    Introduction { cluster: "test".into(), peer, first_membership: 0, incarnation, sessions }
}

/// Two peers; the first sends to the second.
struct Net {
    hub: Arc<Hub>,
    local: Local,
    voter: Arc<Voter>,
    link: Arc<dyn Link>,
    /// The terms of the votes that came back.
    votes: Arc<Mutex<Vec<u64>>>,
}

fn net(latency_ms: Option<RangeInclusive<u64>>) -> Net {
    let hub = Hub::new();
    let local = Local::new(hub.clone(), Faults::new(7, hub.clone()), latency_ms);
    let link = local.link(ONE, TWO);
    let (voter, votes) = (Arc::<Voter>::default(), Arc::default());
    let net = Net { hub, local, voter: voter.clone(), link, votes };
    net.attach(ONE, Arc::<Voter>::default());
    net.attach(TWO, voter);
    net
}

impl Net {
    fn attach(&self, id: PeerId, postbox: Arc<dyn Postbox>) {
        self.local.attach(id, Witness::new(self.hub.clone(), id), postbox);
        self.local.introduce(introduction(id));
    }

    fn begin(&self, rule: Rule) -> FaultGuard {
        self.local.faults().begin(rule)
    }

    /// An order without an answer.
    fn order(&self, term: u64) {
        self.link.send(Rpc::TimeoutNow(TimeoutNow { term: Term(term), leader: ONE }));
    }

    fn vote(&self, term: u64, reply: Reply<Voted>) -> Rpc {
        let (last, transfer) = (Position::ZERO, false);
        Rpc::RequestVote(RequestVote { term: Term(term), candidate: ONE, last, transfer, reply })
    }

    /// A request whose answer goes to `votes`.
    fn ask(&self, term: u64) {
        let votes = self.votes.clone();
        let reply = Reply::new(move |vote: Voted| votes.lock().unwrap().push(vote.term.0));
        self.link.send(self.vote(term, reply));
    }

    fn votes(&self) -> Vec<u64> {
        std::mem::take(&mut self.votes.lock().unwrap())
    }

    fn listen(&self) -> Capture {
        let capture = Capture::new();
        self.hub.attach(capture.clone());
        capture
    }
}

async fn wait(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

#[test]
fn on_a_calm_day_everything_arrives_within_the_call_and_needs_no_runtime() {
    let net = net(None);
    for term in 1..=3 {
        net.ask(term);
        assert_eq!((net.voter.take(), net.votes()), (vec![term], vec![term]));
    }
}

/// Keeps the ports of requests, to answer them later.
#[derive(Default)]
struct Later(Mutex<Vec<Reply<Voted>>>);

impl Postbox for Later {
    fn deliver(&self, rpc: Rpc) {
        if let Rpc::RequestVote(rpc) = rpc {
            self.0.lock().unwrap().push(rpc.reply);
        }
    }

    fn meet(&self, _: Introduction, verdict: Reply<Result<(), Objection>>) {
        verdict.send(Ok(()));
    }

    fn turned_away(&self, by: PeerId, objection: Objection) {
        panic!("{by}: {objection}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_back_has_weather_if_the_request_left_when_something_could_happen() {
    for (latency_ms, listen, rule, weather) in [
        (None, false, None, false),
        (Some(0..=0), false, None, true),
        (None, true, None, true),
        (None, false, Some(Rule::new().cut().from(9)), true),
    ] {
        let net = net(latency_ms);
        let later = Arc::new(Later::default());
        net.attach(TWO, later.clone());
        let _capture = listen.then(|| net.listen());
        let _guard = rule.map(|rule| net.begin(rule));
        net.ask(1);
        let _cut = net.begin(Rule::new().cut().from(2));
        for reply in later.0.lock().unwrap().drain(..) {
            reply.send(Voted { from: TWO, term: Term(1), granted: true });
        }
        assert_eq!(net.votes().is_empty(), weather);
    }
}

#[test]
fn a_cut_loses_requests_one_way_and_answers_the_other() {
    let net = net(None);
    let cut = net.begin(Rule::new().cut().from(1));
    net.ask(1);
    assert_eq!((net.voter.take(), net.votes()), (vec![], vec![]));
    drop(cut);

    let _cut = net.begin(Rule::new().cut().from(2));
    net.ask(2);
    assert_eq!((net.voter.take(), net.votes()), (vec![2], vec![]));
}

#[test]
fn an_answer_has_a_kind_of_its_own() {
    let net = net(None);
    let _cut = net.begin(Rule::new().cut().kind(MessageKind::Voted));
    net.ask(1);
    assert_eq!((net.voter.take(), net.votes()), (vec![1], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_link_outlives_the_peer_at_its_end() {
    let net = net(None);
    net.local.detach(TWO);
    net.order(1);
    assert!(net.voter.take().is_empty());
    net.attach(TWO, net.voter.clone());
    net.order(2);
    assert_eq!(net.voter.take(), [2]);
}

#[tokio::test(start_paused = true)]
async fn requests_and_answers_take_the_latency_of_the_network() {
    let net = net(Some(10..=10));
    net.ask(1);
    wait(9).await;
    assert!(net.voter.take().is_empty());
    wait(2).await;
    assert_eq!((net.voter.take(), net.votes()), (vec![1], vec![]));
    wait(8).await;
    assert!(net.votes().is_empty());
    wait(2).await;
    assert_eq!(net.votes(), [1]);
}

#[tokio::test(start_paused = true)]
async fn rules_add_to_the_latency_and_equal_delays_keep_the_order() {
    let net = net(Some(10..=10));
    let _delay = net.begin(Rule::new().delay_ms(5..=5).to(2));
    for term in 1..=50 {
        net.order(term);
    }
    wait(14).await;
    assert!(net.voter.take().is_empty());
    wait(2).await;
    assert_eq!(net.voter.take(), (1..=50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_range_of_latencies_is_drawn_from_the_seed() {
    let run = || async {
        let net = net(Some(1..=100));
        for term in 1..=20 {
            net.order(term);
        }
        wait(101).await;
        net.voter.take()
    };
    let first = run().await;
    assert_eq!(first.len(), 20);
    assert!(!first.is_sorted(), "no message overtook another");
    assert_eq!(first, run().await);
}

#[tokio::test(start_paused = true)]
async fn a_reordered_message_is_overtaken() {
    let net = net(None);
    let reorder = net.begin(Rule::new().reorder(1.0, 5..=5));
    net.order(1);
    drop(reorder);
    net.order(2);
    wait(6).await;
    assert_eq!(net.voter.take(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_doubled_request_is_answered_twice_and_a_doubled_answer_arrives_twice() {
    let net = net(None);
    let double = net.begin(Rule::new().duplicate(1.0).from(1));
    net.ask(1);
    assert_eq!((net.voter.take(), net.votes()), (vec![1, 1], vec![1, 1]));
    drop(double);
    let _double = net.begin(Rule::new().duplicate(1.0).from(2));
    net.ask(2);
    assert_eq!((net.voter.take(), net.votes()), (vec![2], vec![2, 2]));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_peer_has_sent_may_arrive_and_what_it_asked_is_not_answered_to_its_successor() {
    let net = net(Some(10..=10));
    let capture = net.listen();
    net.ask(1);
    net.local.detach(ONE);
    net.attach(ONE, Arc::<Voter>::default());
    wait(30).await;
    assert_eq!((net.voter.take(), net.votes()), (vec![1], vec![]));
    assert_eq!(
        capture.texts(),
        [
            "0.000 n1@0 - Sent kind=request-vote to=2 what=term=1 last=0@0: the turn ended",
            "10.000 n2@0 - Received kind=request-vote from=1 what=term=1 last=0@0: it arrived",
            "10.000 n2@0 - Sent kind=voted to=1 what=term=1 granted=true: the turn ended",
            "20.000 n2@0 - Dropped kind=voted to=1: the peer is down",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_killed_peer_hears_no_answer() {
    let net = net(Some(10..=10));
    net.ask(1);
    net.local.detach(ONE);
    wait(30).await;
    assert_eq!((net.voter.take(), net.votes()), (vec![1], vec![]));
}

#[tokio::test(start_paused = true)]
async fn every_fate_of_a_message_is_told() {
    let net = net(None);
    let capture = net.listen();
    let told = |text: &str| {
        let reports = capture.take();
        let texts = reports.iter().map(|it| format!("{} n{} {}", it.at_us / 1000, it.peer, it.event));
        assert_eq!(texts.filter(|it| !it.contains("Fault")).collect::<Vec<_>>().join("\n"), text);
    };
    let cut = net.begin(Rule::new().cut());
    net.order(1);
    drop(cut);
    told(
        "0 n1 Sent kind=timeout-now to=2 what=term=1: the turn ended\n\
         0 n1 Dropped kind=timeout-now to=2: a fault rule cuts the link",
    );
    let loss = net.begin(Rule::new().loss(1.0));
    net.order(2);
    drop(loss);
    told(
        "0 n1 Sent kind=timeout-now to=2 what=term=2: the turn ended\n\
         0 n1 Dropped kind=timeout-now to=2: a fault rule loses it",
    );
    let slow = net.begin(Rule::new().delay_ms(3..=3).reorder(1.0, 1..=1).duplicate(1.0));
    net.order(3);
    drop(slow);
    wait(5).await;
    told(
        "0 n1 Sent kind=timeout-now to=2 what=term=3: a fault rule delays it\n\
         0 n1 Delayed kind=timeout-now to=2 ms=3: a fault rule delays it\n\
         0 n1 Delayed kind=timeout-now to=2 ms=1: a fault rule lets later ones overtake it\n\
         0 n1 Doubled kind=timeout-now to=2: a fault rule doubles it\n\
         4 n2 Received kind=timeout-now from=1 what=term=3: it arrived\n\
         4 n2 Received kind=timeout-now from=1 what=term=3: it arrived",
    );
    net.local.detach(TWO);
    net.order(4);
    told(
        "5 n1 Sent kind=timeout-now to=2 what=term=4: the turn ended\n\
         5 n1 Dropped kind=timeout-now to=2: the peer is down",
    );
}

/// Answers every heartbeat in the name of peer 2.
struct Follower;

impl Postbox for Follower {
    fn deliver(&self, rpc: Rpc) {
        if let Rpc::AppendEntries(rpc) = rpc {
            let (term, round) = (rpc.term, rpc.slice.round);
            rpc.reply.send(Appended { from: TWO, term, round, result: Ok(Index(0)), healthy: true });
        }
    }

    fn meet(&self, _: Introduction, verdict: Reply<Result<(), Objection>>) {
        verdict.send(Ok(()));
    }

    fn turned_away(&self, by: PeerId, objection: Objection) {
        panic!("{by}: {objection}");
    }
}

/// Each peer has a thread and a clock of its own, and one of them goes while things are under way.
#[test]
fn peers_on_threads_of_their_own_hear_each_other() {
    let hub = Hub::new();
    let local = Local::new(hub.clone(), Faults::new(7, hub.clone()), Some(1..=3));
    local.attach(ONE, Witness::new(hub.clone(), ONE), Arc::<Voter>::default());
    local.attach(TWO, Witness::new(hub.clone(), TWO), Arc::new(Follower));
    [ONE, TWO].into_iter().for_each(|peer| local.introduce(introduction(peer)));
    let answers = Arc::new(Mutex::new(0));
    let send = |rounds: std::ops::Range<u64>, wait_ms| {
        let (link, answers) = (local.link(ONE, TWO), answers.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(tokio::task::LocalSet::new().run_until(async move {
                for round in rounds {
                    let answers = answers.clone();
                    let reply = Reply::new(move |_| *answers.lock().unwrap() += 1);
                    let slice =
                        Slice { prev: Position::ZERO, batches: vec![].into(), commit: Index(0), round };
                    let (term, slice) = (Term(1), Arc::new(slice));
                    link.send(Rpc::AppendEntries(AppendEntries { term, leader: ONE, slice, reply }));
                }
                wait(wait_ms).await;
            }));
        }
    };
    // Ends before anything arrives, and takes what it sent along.
    std::thread::spawn(send(0..100, 0)).join().unwrap();
    assert_eq!(*answers.lock().unwrap(), 0);
    let threads = [send(0..100, 500), send(100..200, 500)].map(std::thread::spawn);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*answers.lock().unwrap(), 200);
}
