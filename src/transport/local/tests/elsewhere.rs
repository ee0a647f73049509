//! Peers on other machines: what is sent to them goes to whoever carries it there, what comes from them arrives as
//! if they were here; and both go through the weather of this process.

use super::*;

const FAR: PeerId = PeerId(3);

/// Peer 1 is here and peer 3 is not: its postbox grants every vote, as a carrier that brings the answer back.
struct Border {
    hub: Arc<Hub>,
    local: Local,
    here: Arc<Voter>,
    carrier: Arc<Voter>,
    /// The terms of the votes that came back, from here to there and from there to here.
    votes: [Arc<Mutex<Vec<u64>>>; 2],
}

fn border() -> Border {
    let hub = Hub::new();
    let local = Local::new(hub.clone(), Faults::new(7, hub.clone()), None);
    let (here, carrier) = (Arc::<Voter>::default(), Arc::<Voter>::default());
    local.attach(ONE, Witness::new(hub.clone(), ONE), here.clone());
    local.introduce(introduction(ONE));
    local.attach_remote(FAR, carrier.clone());
    Border { hub, local, here, carrier, votes: Default::default() }
}

impl Border {
    fn ask(&self, from: PeerId, to: PeerId, votes: &Arc<Mutex<Vec<u64>>>, term: u64) {
        let votes = votes.clone();
        let reply = Reply::new(move |vote: Voted| votes.lock().unwrap().push(vote.term.0));
        let (last, transfer) = (Position::ZERO, false);
        let rpc = RequestVote { term: Term(term), candidate: from, last, transfer, reply };
        self.local.link(from, to).send(Rpc::RequestVote(rpc));
    }

    /// Asks for a vote, there; and says how often the carrier had it, and how many answers came back.
    fn out(&self) -> [usize; 2] {
        self.ask(ONE, FAR, &self.votes[0], 1);
        self.had()
    }

    /// Somebody there asks for a vote here.
    fn come(&self) -> [usize; 2] {
        self.ask(FAR, ONE, &self.votes[1], 1);
        self.had()
    }

    /// What arrived since, on both sides: requests and answers.
    fn had(&self) -> [usize; 2] {
        let answers = self.votes.iter().map(|votes| std::mem::take(&mut *votes.lock().unwrap()).len());
        [self.carrier.take().len() + self.here.take().len(), answers.sum()]
    }

    fn begin(&self, rule: Rule) -> FaultGuard {
        self.local.faults().begin(rule)
    }
}

/// Nobody introduces one to the other here: that was done where the wire begins.
#[test]
fn messages_pass_both_ways_without_an_introduction() {
    for listening in [false, true] {
        let border = border();
        if listening {
            border.hub.attach(Capture::new());
        }
        assert_eq!((border.out(), border.come()), ([1, 1], [1, 1]));
    }
}

#[test]
fn rules_of_this_process_cut_it_off_from_others() {
    let border = border();
    let rows = [
        (Rule::new().cut().from(1), [0, 0], [1, 0]),
        (Rule::new().cut().from(3), [1, 0], [0, 0]),
        (Rule::new().cut().between(1, 3), [0, 0], [0, 0]),
        (Rule::new().cut().to(3).kind(MessageKind::Voted), [1, 1], [1, 0]),
        (Rule::new().cut().to(1).kind(MessageKind::Voted), [1, 0], [1, 1]),
        (Rule::new().cut().between(1, 2), [1, 1], [1, 1]),
    ];
    for (rule, out, come) in rows {
        let text = rule.to_string();
        let _guard = border.begin(rule);
        assert_eq!((border.out(), border.come()), (out, come), "{text}");
    }
    assert_eq!((border.out(), border.come()), ([1, 1], [1, 1]), "healed");
}

#[tokio::test(start_paused = true)]
async fn rules_of_this_process_delay_what_goes_and_comes() {
    let border = border();
    let _delay = border.begin(Rule::new().delay_ms(10..=10));
    assert_eq!((border.out(), border.come()), ([0, 0], [0, 0]));
    wait(11).await;
    assert_eq!(border.had(), [2, 0]);
    wait(10).await;
    assert_eq!(border.had(), [0, 2]);
}

#[test]
fn rules_of_this_process_double_requests_and_answers() {
    let border = border();
    let double = border.begin(Rule::new().duplicate(1.0).from(1));
    assert_eq!((border.out(), border.come()), ([2, 2], [1, 2]));
    drop(double);
    let _double = border.begin(Rule::new().duplicate(1.0).from(3));
    assert_eq!((border.out(), border.come()), ([1, 2], [2, 2]));
}

#[test]
fn a_peer_that_is_down_hears_nothing_from_elsewhere_and_what_it_asked_before_is_not_answered() {
    let border = border();
    border.local.detach(ONE);
    assert_eq!(border.come(), [0, 0]);
    border.local.attach(ONE, Witness::new(border.hub.clone(), ONE), border.here.clone());
    assert_eq!((border.out(), border.come()), ([1, 1], [1, 1]));

    let later = Arc::<Later>::default();
    border.local.attach_remote(FAR, later.clone());
    let _weather = border.begin(Rule::new().cut().from(9));
    border.out();
    border.local.attach(ONE, Witness::new(border.hub.clone(), ONE), border.here.clone());
    let ports = std::mem::take(&mut *later.0.lock().unwrap());
    ports.iter().for_each(|port| port.send(Voted { from: FAR, term: Term(1), granted: true }));
    assert_eq!((ports.len(), border.had()), (1, [0, 0]));
}

/// Each end tells its own part, and nobody tells what happens at the other.
#[test]
fn what_passes_is_told_by_the_peer_that_is_here() {
    let border = border();
    let capture = Capture::new();
    border.hub.attach(capture.clone());
    let told = || {
        let reports = capture.take();
        let texts = reports.iter().map(|it| format!("n{} {}", it.peer, it.event));
        texts.filter(|text| !text.contains("Fault")).collect::<Vec<_>>()
    };
    border.out();
    assert_eq!(
        told(),
        [
            "n1 Sent kind=request-vote to=3 what=term=1 last=0@0: the turn ended",
            "n1 Received kind=voted from=3 what=term=1 granted=true: it arrived",
        ]
    );
    border.come();
    assert_eq!(
        told(),
        [
            "n1 Received kind=request-vote from=3 what=term=1 last=0@0: it arrived",
            "n1 Sent kind=voted to=3 what=term=1 granted=true: the turn ended",
        ]
    );
    // What a rule of this process does is told here, also of what comes from elsewhere.
    let cut = border.begin(Rule::new().cut());
    border.out();
    border.come();
    drop(cut);
    assert_eq!(
        told(),
        [
            "n1 Sent kind=request-vote to=3 what=term=1 last=0@0: the turn ended",
            "n1 Dropped kind=request-vote to=3: a fault rule cuts the link",
            "n1 Dropped kind=request-vote to=1: a fault rule cuts the link",
        ]
    );
    border.local.detach(ONE);
    border.come();
    assert_eq!(told(), ["n1 Dropped kind=request-vote to=1: the peer is down"]);
}
