//! What passes between peers before, while and after they meet.

use super::*;

/// Who was introduced, and where the verdict goes.
type Asked = (Introduction, Reply<Result<(), Objection>>);

/// A postbox that says what it makes of others only when it is asked, and remembers who turned it away.
#[derive(Default)]
struct Host {
    heard: Mutex<u64>,
    verdicts: Mutex<Vec<Asked>>,
    away: Mutex<Vec<PeerId>>,
}

impl Host {
    fn judge(&self, verdict: Result<(), Objection>) {
        for (_, reply) in std::mem::take(&mut *self.verdicts.lock().unwrap()) {
            reply.send(verdict.clone());
        }
    }

    fn heard(&self) -> u64 {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

impl Postbox for Host {
    fn deliver(&self, rpc: Rpc) {
        if let Rpc::RequestVote(rpc) = rpc {
            rpc.reply.send(Voted { from: ONE, term: rpc.term, granted: true });
        }
        *self.heard.lock().unwrap() += 1;
    }

    fn meet(&self, theirs: Introduction, verdict: Reply<Result<(), Objection>>) {
        self.verdicts.lock().unwrap().push((theirs, verdict));
    }

    fn turned_away(&self, by: PeerId, _: Objection) {
        self.away.lock().unwrap().push(by);
    }
}

/// Two hosts that have been shown to each other, and what passes from each to the other. Messages take
/// another way when somebody listens.
fn hosts(listening: bool) -> (Local, [Arc<Host>; 2], impl Fn() -> [u64; 2]) {
    let hub = Hub::new();
    if listening {
        hub.attach(Capture::new());
    }
    let local = Local::new(hub.clone(), Faults::new(7, hub.clone()), None);
    let hosts = [ONE, TWO].map(|peer| {
        let host = Arc::<Host>::default();
        local.attach(peer, Witness::new(hub.clone(), peer), host.clone());
        local.introduce(introduction(peer));
        host
    });
    let links = [(ONE, TWO), (TWO, ONE)].map(|(from, to)| local.link(from, to));
    let [one, two] = hosts.clone();
    let pass = move || {
        for link in &links {
            link.send(Rpc::TimeoutNow(TimeoutNow { term: Term(1), leader: ONE }));
        }
        [two.heard(), one.heard()]
    };
    (local, hosts, pass)
}

fn stranger() -> Objection {
    Objection::Incarnation { known: Incarnation(1), theirs: Incarnation(2) }
}

/// Neither way, before both have said yes: who is not listened to must not be asked either.
#[test]
fn nothing_passes_before_both_are_welcome() {
    for listening in [false, true] {
        let (_local, [one, two], pass) = hosts(listening);
        assert_eq!(pass(), [0, 0]);
        one.judge(Ok(()));
        assert_eq!(pass(), [0, 0]);
        two.judge(Ok(()));
        assert_eq!(pass(), [1, 1]);
    }
}

#[test]
fn who_is_turned_away_is_told_and_not_heard() {
    let (_local, [one, two], pass) = hosts(false);
    one.judge(Ok(()));
    two.judge(Err(stranger()));
    assert_eq!(pass(), [0, 0]);
    assert_eq!((&*one.away.lock().unwrap(), &*two.away.lock().unwrap()), (&vec![TWO], &vec![]));
}

/// Whoever comes back presents itself again; with the same disk nothing is held up meanwhile, with another
/// it is a stranger until both have said what they make of it. A verdict on the disk before is none.
#[test]
fn who_comes_back_is_judged_anew() {
    let (local, [one, two], pass) = hosts(false);
    one.judge(Ok(()));
    let late = two.verdicts.lock().unwrap().pop().unwrap().1;
    late.send(Ok(()));
    assert_eq!(pass(), [1, 1]);
    local.introduce(introduction(ONE));
    assert_eq!((pass(), two.verdicts.lock().unwrap().len()), ([1, 1], 1));

    local.introduce(Introduction { incarnation: Incarnation(9), ..introduction(ONE) });
    assert_eq!(pass(), [0, 0]);
    late.send(Ok(()));
    one.judge(Ok(()));
    assert_eq!(pass(), [0, 0], "that was another disk");
    two.judge(Ok(()));
    assert_eq!(pass(), [1, 1]);
}

/// A peer that has not opened its disk has not presented itself, and is nobody's guest.
#[test]
fn who_has_not_presented_itself_is_not_heard() {
    let (local, hosts, pass) = hosts(false);
    hosts.iter().for_each(|host| host.judge(Ok(())));
    let hub = Hub::new();
    local.attach(PeerId(3), Witness::new(hub, PeerId(3)), Arc::<Host>::default());
    local.link(PeerId(3), ONE).send(Rpc::TimeoutNow(TimeoutNow { term: Term(1), leader: ONE }));
    assert_eq!(hosts[0].heard(), 0);
    assert_eq!(pass(), [1, 1]);
    assert!(hosts.iter().all(|host| host.verdicts.lock().unwrap().is_empty()));
}
