//! One peer without actors: the rules, stepped by hand.
//!
//! [`Dry`] does with a role exactly what its actor does, and nothing that needs a clock, a disk or a
//! network: it settles terms, hands the state over from role to role, and returns what the peer
//! wants to write and to say as plain values. Tables, storms and outside judges stand on it.
//!
//! A turn is any number of messages and one end:
//!
//! ```
//! use std::sync::Arc;
//! use raft_actors::Config;
//! use raft_actors::raft::{Identity, Membership, PeerId, RoleKind, Tick, dry::Dry};
//!
//! let identity = Identity {
//!     id: PeerId(1),
//!     first_membership: Arc::new(Membership::of([PeerId(1)])),
//!     config: Arc::new(Config::default()),
//! };
//! let mut peer = Dry::start(&identity, Vec::new(), None, [0; 32])?;
//! let mut disk = peer.end_turn(0).records;
//! peer.state_mut().now_ms = 1_000;
//! peer.deliver(Tick);
//! while peer.is_open() {
//!     disk.extend(peer.end_turn(0).records);
//! }
//! assert_eq!(peer.kind(), RoleKind::Leader); // A cluster of one elects itself.
//! # Ok::<(), raft_actors::raft::log::Unfit>(())
//! ```

use super::{
    candidate::Candidate,
    event::RoleKind,
    follower::Follower,
    leader::{Leader, Order},
    log::{Record, Unfit},
    mail::{Mail, Settled, settle},
    message::{Matched, Outran, PreVoted, Pull, Receiving, Refused, SnapshotMeta, Voted},
    pre_candidate::{Canvass, PreCandidate},
    role::{AnyRole, Letters, Next, Nothing, Outbox, Receive, Role, depose},
    state::{Identity, State},
    types::{Index, PeerId},
};

/// What a role asks of others, whichever role it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Errand {
    /// Ask every other voter whether it would vote (thesis §9.6).
    Canvass(Canvass),
    /// Ask every other voter for its vote (§5.2).
    Campaign(Canvass),
    /// A leader's order to its replicators.
    Order(Order),
}

/// What a turn wants to write and to say, in this order.
#[derive(Debug, Default)]
pub struct Turn {
    /// Whose errands these are: see [`Dry::tenure`].
    pub tenure: u64,
    /// Errands that may leave before the records are durable (thesis §10.2.1).
    pub early: Vec<Errand>,
    /// What has to be durable before anything below is sent.
    pub records: Vec<Record>,
    /// Answers, outcomes and work for the machine.
    pub letters: Letters,
    /// Errands that rest on the records.
    pub late: Vec<Errand>,
}

/// One peer, stepped by hand.
#[derive(Debug)]
pub struct Dry {
    /// Nobody only while a role hands over to the next.
    role: Option<AnyRole>,
    tenure: u64,
    open: bool,
    early: Vec<Errand>,
    late: Vec<Errand>,
    letters: Letters,
}

/// Something to do with whichever role it is.
macro_rules! each_role {
    ($any:expr, $role:ident => $do:expr) => {
        match $any {
            AnyRole::Follower($role) => $do,
            AnyRole::PreCandidate($role) => $do,
            AnyRole::Candidate($role) => $do,
            AnyRole::Leader($role) => $do,
        }
    };
}

impl Dry {
    /// A peer that starts, or starts again, with what its disk gave back.
    ///
    /// # Errors
    /// What the disk gave back is damaged.
    pub fn start(
        identity: &Identity,
        records: Vec<Record>,
        snapshot: Option<&SnapshotMeta>,
        seed: [u8; 32],
    ) -> Result<Dry, Unfit> {
        let state = State::recover(identity, records, snapshot, seed)?;
        Ok(Dry::with(AnyRole::Follower(Follower::recovered(state))))
    }

    /// A peer in a role made by hand; [`Dry::enter`] has not been called on it.
    pub fn with(role: AnyRole) -> Dry {
        Dry {
            role: Some(role),
            tenure: 1,
            open: true,
            early: Vec::new(),
            late: Vec::new(),
            letters: Letters::default(),
        }
    }

    /// The role it holds.
    pub fn role(&self) -> &AnyRole {
        match &self.role {
            Some(role) => role,
            None => unreachable!("a rule panicked in the middle of a hand-over"),
        }
    }

    fn role_mut(&mut self) -> &mut AnyRole {
        match &mut self.role {
            Some(role) => role,
            None => unreachable!("a rule panicked in the middle of a hand-over"),
        }
    }

    /// Which role it holds.
    pub fn kind(&self) -> RoleKind {
        match self.role() {
            AnyRole::Follower(_) => RoleKind::Follower,
            AnyRole::PreCandidate(_) => RoleKind::PreCandidate,
            AnyRole::Candidate(_) => RoleKind::Candidate,
            AnyRole::Leader(_) => RoleKind::Leader,
        }
    }

    /// How many roles it has held: the address of the present one. An answer to an earlier one is
    /// nobody's.
    pub fn tenure(&self) -> u64 {
        self.tenure
    }

    /// Its state.
    pub fn state(&self) -> &State {
        each_role!(self.role(), role => role.state())
    }

    /// Its state: whoever steps the peer sets `now_ms` and `applied` at the start of each turn.
    pub fn state_mut(&mut self) -> &mut State {
        each_role!(self.role_mut(), role => role.state_mut())
    }

    /// When it wants the next [`Tick`](super::Tick).
    pub fn deadline_ms(&self) -> u64 {
        each_role!(self.role(), role => role.deadline_ms())
    }

    /// Who leads its term, as far as it knows.
    pub fn leader(&self) -> Option<PeerId> {
        each_role!(self.role(), role => role.leader())
    }

    /// The last entry that may leave the front of its log, if a follower needs what is behind it.
    pub fn pinned(&self) -> Option<Index> {
        each_role!(self.role(), role => role.pinned())
    }

    /// Whether something happened since the last end of a turn.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Delivers a message to the role, whichever it is.
    pub fn deliver<M: Mail>(&mut self, mail: M)
    where
        Follower: Receive<M>,
        PreCandidate: Receive<M>,
        Candidate: Receive<M>,
        Leader: Receive<M>,
    {
        self.open = true;
        let mut pending = Some(mail);
        while let Some(mail) = pending.take() {
            let Some(role) = self.role.take() else { return };
            pending = each_role!(role, role => self.step(role, mail));
        }
    }

    /// One role and one message, which comes back if it is the successor's.
    fn step<R: Embody + Receive<M>, M: Mail>(&mut self, mut role: R, mail: M) -> Option<M> {
        match settle(&mut role, mail, &mut self.letters) {
            Settled::Ours(mail) => match self.act(&mut role, |role, out| role.receive(mail, out)) {
                Next::Stay => {
                    self.role = Some(role.embodied());
                    None
                }
                Next::Become(succession) => {
                    self.hand_over(role, succession);
                    None
                }
                Next::Defer(succession, mail) => {
                    self.hand_over(role, succession);
                    Some(mail)
                }
            },
            Settled::Newer(term, mail) => {
                self.hand_over(role, |role| depose(role, term));
                Some(mail)
            }
            Settled::Done => {
                self.role = Some(role.embodied());
                None
            }
        }
    }

    /// Lets a role do something with an outbox, and keeps what it wants to say.
    fn act<R: Embody, T>(
        &mut self,
        role: &mut R,
        act: impl FnOnce(&mut R, &mut Outbox<R::Errand>) -> T,
    ) -> T {
        let mut out = Outbox::new(std::mem::take(&mut self.letters));
        let result = act(role, &mut out);
        self.early.extend(out.early.into_iter().map(R::errand));
        self.late.extend(out.late.into_iter().map(R::errand));
        self.letters = out.letters;
        result
    }

    /// The old role's letters pass on, its errands die; the new one makes its first step in the
    /// same turn.
    fn hand_over<R: Role>(&mut self, mut role: R, succession: impl FnOnce(R) -> AnyRole) {
        role.leave(&mut self.letters);
        self.early.clear();
        self.late.clear();
        self.tenure += 1;
        self.open = true;
        let mut successor = succession(role);
        each_role!(&mut successor, role => self.act(role, |role, out| role.enter(out)));
        self.role = Some(successor);
    }

    /// The role's first step. Only for a peer made by [`Dry::with`]: all others have made it.
    pub fn enter(&mut self) {
        let Some(mut role) = self.role.take() else { return };
        each_role!(&mut role, role => self.act(role, |role, out| role.enter(out)));
        self.role = Some(role);
        self.open = true;
    }

    /// Delivers an answer to the role in office at `tenure`, and to no later one.
    pub fn answer<M: Answer>(&mut self, tenure: u64, answer: M) {
        if tenure == self.tenure {
            self.open = true;
            M::deliver(answer, self);
        }
    }

    /// An answer that only `R` takes. A newer term in it deposes the role, and nobody has it then.
    fn answer_to<R: Embody + Receive<M>, M: Mail>(&mut self, role: R, answer: M) {
        // Whatever is left over would be the successor's, who did not ask.
        let _ = self.step(role, answer);
    }

    /// Ends the turn up to its sync: what may leave early, and what has to be durable before
    /// [`Dry::synced`]. A peer that is dropped in between is one whose disk was cut off.
    pub fn close(&mut self) -> (Vec<Errand>, Vec<Record>) {
        self.open = false;
        if let Some(mut role) = self.role.take() {
            each_role!(&mut role, role => self.act(role, |role, out| role.close(out)));
            self.role = Some(role);
        }
        (std::mem::take(&mut self.early), self.state_mut().take_records())
    }

    /// The records are durable, after the role heard nothing for `deaf_ms`: letters, then late
    /// errands. If the role gives way the letters are the successor's, whose turn is open.
    pub fn synced(&mut self, deaf_ms: u64) -> (Letters, Vec<Errand>) {
        if let Some(role) = self.role.take() {
            each_role!(role, role => self.sync(role, deaf_ms));
        }
        if self.open {
            return (Letters::default(), Vec::new());
        }
        // What a role wants to say early once its disk has synced is as late as anything else.
        let mut late = std::mem::take(&mut self.early);
        late.append(&mut self.late);
        (std::mem::take(&mut self.letters), late)
    }

    fn sync<R: Embody>(&mut self, mut role: R, deaf_ms: u64) {
        match self.act(&mut role, |role, out| role.synced(deaf_ms, out)) {
            Some(succession) => self.hand_over(role, succession),
            None => self.role = Some(role.embodied()),
        }
    }

    /// Ends the turn on a disk that takes no time at all. If [`Dry::is_open`] afterwards, the role
    /// gave way, and its successor's turn is to be ended too.
    pub fn end_turn(&mut self, deaf_ms: u64) -> Turn {
        let tenure = self.tenure;
        let (early, records) = self.close();
        let (letters, late) = self.synced(deaf_ms);
        Turn { tenure, early, records, letters, late }
    }
}

/// How a role becomes any role, and its errand any errand.
trait Embody: Role {
    fn embodied(self) -> AnyRole;
    fn errand(errand: Self::Errand) -> Errand;
}

impl Embody for Follower {
    fn embodied(self) -> AnyRole {
        AnyRole::Follower(self)
    }

    fn errand(errand: Nothing) -> Errand {
        match errand {}
    }
}

impl Embody for PreCandidate {
    fn embodied(self) -> AnyRole {
        AnyRole::PreCandidate(self)
    }

    fn errand(errand: Canvass) -> Errand {
        Errand::Canvass(errand)
    }
}

impl Embody for Candidate {
    fn embodied(self) -> AnyRole {
        AnyRole::Candidate(self)
    }

    fn errand(errand: Canvass) -> Errand {
        Errand::Campaign(errand)
    }
}

impl Embody for Leader {
    fn embodied(self) -> AnyRole {
        AnyRole::Leader(self)
    }

    fn errand(errand: Order) -> Errand {
        Errand::Order(errand)
    }
}

/// What only the role that asked receives.
pub trait Answer: Mail {
    /// Gives it to the role, if it is the one that takes such answers.
    fn deliver(self, to: &mut Dry);
}

macro_rules! answers {
    ($($answer:ident => $role:ident),*) => {
        $(impl Answer for $answer {
            fn deliver(self, to: &mut Dry) {
                match to.role.take() {
                    Some(AnyRole::$role(role)) => to.answer_to(role, self),
                    other => to.role = other,
                }
            }
        })*
    };
}

answers!(
    PreVoted => PreCandidate,
    Voted => Candidate,
    Matched => Leader,
    Refused => Leader,
    Pull => Leader,
    Receiving => Leader,
    Outran => Leader
);
