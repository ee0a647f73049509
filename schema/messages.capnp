# The wire of raft-actors: everything that peers say to each other, and clients to peers.
#
# This file is all that a program in another language needs. It has four parts:
#
#   1. Bootstrap      the handshake: what a fresh connection offers, and nothing else
#   2. Client         commands, queries and sessions: what an application needs
#   3. Admin          status, orders, fault rules, events: what an operator needs
#   4. Raft           what peers say to each other: the RPC boxes of the paper
#
# How to begin: connect by TCP (or TLS, if the peer asks for it), take the bootstrap capability as a
# `Bootstrap`, and call `connect`. Until that is answered a frame may have 64 KiB; afterwards as many bytes
# as `Welcome.limits.frameBytesMax` says. A connection without a handshake is closed after 5 seconds, one on
# which nothing happens after 30, and so is one that leaves a frame unfinished for that long. Open it again
# when you need it; a `Client.ping` now and then keeps it.
#
# Errors are data: a call that the peer understood always returns, and its result says what came of it. An
# exception means that the connection or the call itself is of no use (malformed, or beyond a limit).
#
# Numbers of terms and indexes begin at 1; 0 is "before everything", and as the id of a peer it is "nobody".
# Times are in the unit that ends the field's name. Text is UTF-8. Every call that belongs to a Raft group
# names it: the group is 0, and anything else is refused with an exception; it is there so that several
# groups can share a peer one day.
#
# Compatibility: fields and methods are only ever added, at the end. `Hello.protocol` goes up when that is
# not enough.

@0xd3c0a17b7f6e4a52;

struct Id128 {
  # A number of 128 bits.
  high @0 :UInt64;
  low @1 :UInt64;
}

struct Member {
  # A peer and where it listens.
  id @0 :UInt64;
  address @1 :Text;
  # `HOST:PORT`; empty if it is not known.
}

# ---------------------------------------------------------------------------------------------------------
# 1. The handshake

interface Bootstrap {
  connect @0 (hello :Hello) -> (reply :ConnectReply);
  # Says who comes, and learns who is there. Once for each connection; a second call is refused with `again`.
}

struct Hello {
  protocol @0 :UInt32;
  # The version of this protocol that the caller speaks: 1.

  cluster @1 :Text;
  # The name of the cluster that the caller wants. A client may leave it empty, and takes whichever it meets.

  union {
    client @2 :ClientHello;
    peer @3 :PeerHello;
  }
}

struct ClientHello {
  # A client: an application, a tool, an operator.
  name @0 :Text;
  # Whatever helps to recognise it in a log; may be empty, and counts for nothing. At most 64 bytes are kept.
}

struct PeerHello {
  # Another peer of the cluster.
  introduction @0 :Introduction;
  to @1 :UInt64;
  # The peer that it means to reach.
}

struct Introduction {
  # Who a peer says it is. Both ends compare all of it with what they know before anything else is said.
  peer @0 :UInt64;
  firstMembership @1 :UInt32;
  # The CRC-32C of the membership with which the cluster began, as text.
  incarnation @2 :Id128;
  # The life of its disk: drawn when the data folder was made. A peer that comes back with another one has
  # forgotten what it promised.
  sessionsMax @3 :UInt64;
  sessionWindow @4 :UInt64;
  # The limits that shape the replicated state: equal on all peers.
}

struct ConnectReply {
  union {
    welcome @0 :Welcome;
    refused @1 :Refusal;
  }
}

struct Welcome {
  cluster @0 :Text;
  # The name of the cluster.
  introduction @1 :Introduction;
  # Who is there. Clients are told the peer's id and its first membership, and no more.
  members @2 :List(Member);
  # All peers of the cluster, as this one knows them. Follow redirects to these, and to nobody else.
  limits @3 :Limits;

  client @4 :Client;
  # For everybody but peers: null for a peer.
  admin @5 :Admin;
  # For operators: null for a peer, and for a client whose certificate does not name it an admin. Without
  # TLS nobody can be told from anybody, and every client gets it.
  raft @6 :Raft;
  # For peers only: null for everybody else.
}

struct Limits {
  frameBytesMax @0 :UInt64;
  # The longest frame that the peer takes. A longer one ends the connection.
  commandBytesMax @1 :UInt64;
  # The longest command or question. A longer one is answered `tooLarge`.
  batchEntriesMax @2 :UInt32;
  # The most commands in one `propose`. More are refused with an exception.
  callsMax @3 :UInt32;
  # How many calls of one connection may wait for their answers. Beyond it, the peer reads on when one of
  # them is answered.
  sessionWindow @4 :UInt32;
  # How many commands of one session may wait for their answers.
  electionTimeoutMs @5 :UInt32;
  # The longest time without a leader's sign of life after which peers elect another one.
  answerBytesMax @6 :UInt64;
  # The longest frame that the peer sends. What does not fit in it is not told: a command whose answer is longer
  # is `unknown`, though it was applied; a query is `tooLarge`.
}

struct Refusal {
  # Why the peer does not speak with the caller. The connection is of no more use.
  text @0 :Text;
  # The reason and what to do about it, in a sentence.
  union {
    protocol @1 :UInt32;
    # It speaks this version only.
    cluster @2 :Text;
    # It belongs to this cluster.
    firstMembership @3 :UInt32;
    # Its cluster began with this membership.
    sameId @4 :Void;
    # It has the caller's own id.
    incarnation @5 :Void;
    # Under the caller's id it knows another disk. Which one it does not tell.
    sessionLimits @6 :SessionLimits;
    # It has these.
    stranger @7 :Void;
    # Its cluster has no peer of the caller's id.
    notMe @8 :UInt64;
    # It is not the peer that the caller wants to reach but this one.
    certificate @9 :Void;
    # The caller's certificate does not say what the caller says.
    notReady @10 :Void;
    # It recovers from its disk, or stops: try again in a moment.
    tooMany @11 :Void;
    # It has as many connections as it takes: try again later.
    again @12 :Void;
    # The handshake of this connection is over.
  }
}

struct SessionLimits {
  sessionsMax @0 :UInt64;
  sessionWindow @1 :UInt64;
}

# ---------------------------------------------------------------------------------------------------------
# 2. Clients

interface Client {
  # What an application needs. Any peer answers; only the leader does what `propose` and a linearizable `query`
  # ask, and the others say who leads: connect there.

  propose @0 (group :UInt64, commands :List(Command), deadlineMs :UInt32) -> (outcomes :List(Outcome));
  # Proposes commands to the state machine, in order. Returns when the outcome of each is known, one for each
  # command, in their order; what is not known after `deadlineMs` milliseconds is `unknown`. 0 is the peer's
  # default of 5,000; the longest is 60,000. Batches are cheaper than single commands.

  query @1 (group :UInt64, question :Data, consistency :Consistency, deadlineMs :UInt32) -> (outcome :Outcome);
  # Asks the state machine. Changes nothing, and can always be repeated.

  openSession @2 (group :UInt64, session :Id128, deadlineMs :UInt32) -> (result :SessionResult);
  # Opens a session with an id that the client draws at random, or takes one up again. A command in a session
  # is applied once, however often it is sent. To open it again changes nothing, and tells how far it got.

  keepSession @3 (group :UInt64, session :Id128, deadlineMs :UInt32) -> (result :SessionResult);
  # Counts as a use of the session: when there are too many, the one that was not used for longest goes. Never
  # opens one: `sessionExpired` if it is not there.

  closeSession @4 (group :UInt64, session :Id128, deadlineMs :UInt32) -> (result :SessionResult);
  # Ends a session. One that is not there is closed already.

  ping @5 (group :UInt64) -> (pong :Pong);
  # Answered at once.
}

struct Command {
  payload @0 :Data;
  # What the state machine is given: opaque to Raft. The key-value machine that `examples/peer` runs takes
  #
  #   set               0  key  value              answers  0  value?     what was there before
  #   delete            1  key                     answers  0  value?     what was there before
  #   compare and set   2  key  value?  value?     answers  1             it was what was expected, or
  #                                                         2  value?     it was this instead
  #   append            3  key  value              answers  3  number     how long the value is now
  #
  # where a number is a LEB128 varint, a key or a value is a number and so many bytes, and `value?` is the byte
  # 0 for "nothing", or the byte 1 and the value. In a compare and set the first is what is expected, the second
  # what shall be there. Questions to it (`Client.query`) are
  #
  #   get               0  key                     answers  0  value?
  #   keys              1  key  value?  number     answers  1  number  keys   at most so many keys that begin with
  #                                                         these bytes, behind the second key if there is one
  #   count             2                          answers  2  number
  #   digest            3                          answers  3  eight bytes
  #   read              4  key  number  number     answers  4  value?  number   of the value so many bytes from
  #                                                         this offset on; and how long all of it is

  union {
    plain @1 :Void;
    # Applied as often as it is in the log.
    inSession @2 :InSession;
    # Applied once, and in the session's order.
  }
}

struct InSession {
  session @0 :Id128;
  sequence @1 :UInt64;
  # The command's place in the session: 1, 2, 3 and so on.
  lowestUnanswered @2 :UInt64;
  # The client has the answers to all commands below this one, and the peers may forget them: at least 1, and at
  # most the command's own sequence; anything else is `rejected` unseen. A repeat whose answer was forgotten is
  # `unknown`. A payload that is `rejected` has had its turn: the next sequence is the next.
}

enum Consistency {
  linearizable @0;
  # It shows everything that was done before the question was asked.
  local @1;
  # What the machine of this very peer happens to know: it may be behind.
}

struct Outcome {
  union {
    unknown @0 :Void;
    # It may have been done, or may still be done.
    applied @1 :Data;
    # Done: the machine's answer.
    notLeader @2 :Member;
    # Not done: this peer does not lead. Who does, as far as it knows; id 0 if it does not.
    busy @3 :Void;
    # Not done: there is too much to do. Try again a little later.
    lost @4 :Void;
    # Certainly not done: leadership changed before it was replicated. Safe to try again.
    rejected @5 :Void;
    # Not done, on any peer: the machine can't make sense of it.
    poisoned @6 :UInt64;
    # Not done: the machines of this cluster fail at this entry.
    gap @7 :UInt64;
    # Not done: the session expects this sequence first.
    sessionExpired @8 :Void;
    # Not done: the cluster does not know the session, or not any more.
    tooLarge @9 :UInt64;
    # A command: not done, it is longer than this many bytes. A query: its answer is.
  }
}

struct SessionResult {
  outcome @0 :Outcome;
  # `applied`, with no bytes, if it was done.
  applied @1 :UInt64;
  # The sequence that was applied last in this session: the next is one more.
}

struct Pong {
  peer @0 :UInt64;
  role @1 :Role;
  term @2 :UInt64;
  leader @3 :Member;
  # Id 0 if it is not known.
  applied @4 :UInt64;
}

enum Role {
  none @0;
  # It recovers from its disk.
  follower @1;
  preCandidate @2;
  candidate @3;
  leader @4;
}

# ---------------------------------------------------------------------------------------------------------
# 3. Operators

interface Admin {
  status @0 (group :UInt64) -> (status :Status);
  # How this peer does. Answered at once.

  transfer @1 (group :UInt64, target :UInt64) -> (result :Result);
  # Has this peer, if it leads, hand leadership over: to the target, or with 0 to the healthy voter that is
  # furthest. Returns when leadership has left.

  snapshot @2 (group :UInt64) -> (result :Result, index :UInt64);
  # Has this peer take a snapshot now. Returns when it is durable, with the last entry that it covers.

  isolate @3 () -> (result :Result);
  # Cuts this peer off from all others, until `reconnect`. Clients still reach it.
  reconnect @4 () -> (result :Result);

  setFault @5 (rule :Text) -> (result :Result);
  # Puts a fault rule in force at this peer, on what it sends to others and hears from them: `cut to=2`,
  # `loss 0.1 kind=append-entries`, `delay 10..=50`, `duplicate 0.5`, `reorder 0.2 5..=20`, with the filters
  # `from= to= between= kind=`.
  listFaults @6 () -> (rules :List(Text));
  clearFaults @7 () -> (result :Result);
  # Ends all of them, also an isolation.
  #
  # `isolate`, `reconnect`, `setFault` and `clearFaults` are refused with `notAllowed` unless the peer was
  # started to allow it.

  watch @8 (watcher :Watcher) -> (result :Result, watch :Watch);
  # Has everything that happens at this peer from now on told to the watcher, until `watch` is dropped.
}

struct Result {
  union {
    done @0 :Void;
    failed @1 :Failure;
  }
}

struct Failure {
  text @0 :Text;
  # What came in between and what to do, in a sentence.
  reason @1 :Reason;

  enum Reason {
    other @0;
    notLeader @1;
    # The peer does not lead: ask who does.
    busy @2;
    # A transfer is under way already.
    timedOut @3;
    # The target did not take over in time, and the leader goes on.
    notAVoter @4;
    # The target does not vote in this cluster.
    notAllowed @5;
    # The peer was not started to allow it.
    badRule @6;
    # The text is no fault rule.
    tooMany @7;
    # There are as many of them as the peer takes.
  }
}

interface Watcher {
  # What a client has to offer who wants to know what happens.
  events @0 (events :List(Event), missed :UInt64) -> ();
  # What happened since the last call, in order; nothing for five seconds is told, too. So many more were missed
  # because the watcher was slow to answer: somewhere behind those that are told here. A watcher that does not answer for 30 seconds is not told any more.
}

interface Watch {
  # Stands for the watcher's wish: drop it, and no more is told.
}

struct Event {
  seq @0 :UInt64;
  # Counts the events of this process, from 1.
  atUs @1 :UInt64;
  # When, in microseconds since the process began.
  peer @2 :UInt64;
  # Which peer; 0 is the network.
  term @3 :UInt64;
  role @4 :Role;
  name @5 :Text;
  # What happened, in the past tense: `Elected`, `Committed` and so on.
  why @6 :Text;
  fields @7 :List(Field);
}

struct Field {
  name @0 :Text;
  union {
    number @1 :UInt64;
    flag @2 :Bool;
    text @3 :Text;
  }
}

struct Status {
  cluster @0 :Text;
  peer @1 :UInt64;
  role @2 :Role;
  term @3 :UInt64;
  leader @4 :Member;
  # Id 0 if it is not known.
  last @5 :Position;
  # The end of its log.
  commit @6 :UInt64;
  applied @7 :UInt64;
  snapshot @8 :UInt64;
  # The last entry that its latest snapshot covers.
  compacted @9 :UInt64;
  # The last entry that is gone from the front of its log.
  settled @10 :Bool;
  # Whether what it committed last is of its own term. A leader of whom that holds knows everything that was
  # ever committed.
  poisoned @11 :UInt64;
  # The entry that its machine can't apply; 0 if it applies.
  diskFull @12 :Bool;
  # It takes no more entries until there is room.
  violations @13 :UInt64;
  # How often another peer broke the protocol towards it.
  faults @14 :List(Text);
  # The fault rules in force at this peer.
  peers @15 :List(PeerView);
  # The other peers, as this one sees them.
  connections @16 :UInt32;
  # How many connections it has at the moment, from peers and clients.
  refused @17 :UInt64;
  # How many connections and handshakes it has turned away since it began.
}

struct PeerView {
  id @0 :UInt64;
  address @1 :Text;
  connected @2 :Bool;
  # Whether this peer reaches it.
  isFollowed @3 :Bool;
  # Whether this peer leads it, and has told so: a heartbeat after its election. Only then the rest means something.
  match @4 :UInt64;
  # Up to where its log is known to be the leader's.
  lag @5 :UInt64;
  # How many of the leader's entries it lacks.
  silentMs @6 :UInt64;
  # How long it has not answered.
  healthy @7 :Bool;
  # Whether its machine applies, and its disk has room.
}

struct Position {
  term @0 :UInt64;
  index @1 :UInt64;
}

# ---------------------------------------------------------------------------------------------------------
# 4. Peers
#
# A request that nobody answers (its receiver changes its role, or recovers) comes back without a reply: the
# pointer is null. Whoever asked does without it, as it would if the message had been lost.

interface Raft {
  preVote @0 (group :UInt64, request :PreVote) -> (reply :Vote);
  # Thesis section 9.6.
  requestVote @1 (group :UInt64, request :RequestVote) -> (reply :Vote);
  # Section 5.2.
  appendEntries @2 (group :UInt64, request :AppendEntries) -> (reply :Appended);
  # Section 5.3.
  installSnapshot @3 (group :UInt64, request :InstallSnapshot) -> (reply :ChunkTaken);
  # Section 7, in pieces.
  timeoutNow @4 (group :UInt64, request :TimeoutNow) -> ();
  # Thesis section 3.10.
}

struct PreVote {
  term @0 :UInt64;
  # The term that the canvasser would campaign in.
  candidate @1 :UInt64;
  last @2 :Position;
  # The end of its log.
}

struct RequestVote {
  term @0 :UInt64;
  candidate @1 :UInt64;
  last @2 :Position;
  transfer @3 :Bool;
  # The leader itself asked for this campaign.
}

struct Vote {
  from @0 :UInt64;
  term @1 :UInt64;
  granted @2 :Bool;
}

struct AppendEntries {
  term @0 :UInt64;
  leader @1 :UInt64;
  prev @2 :Position;
  # The entry right before these.
  commit @3 :UInt64;
  round @4 :UInt64;
  # The round of reads, echoed by the answer.
  batches @5 :List(Batch);
  # The entries, in runs of one term. None: a sign of life.
}

struct Batch {
  term @0 :UInt64;
  entries @1 :List(Entry);
  # At least one. Their indexes follow those of the batch before, or `prev`.
}

struct Entry {
  union {
    noop @0 :Void;
    # What a new leader appends first.
    membership @1 :Membership;
    data @2 :Data;
    # A command behind its header: see src/machine/envelope.rs.
  }
}

struct Membership {
  voters @0 :List(UInt64);
  outgoing @1 :List(UInt64);
  # The voters before, while it is joint; else none.
  learners @2 :List(UInt64);
  addresses @3 :List(Member);
}

struct Appended {
  from @0 :UInt64;
  term @1 :UInt64;
  round @2 :UInt64;
  healthy @3 :Bool;
  union {
    match @4 :UInt64;
    # Up to here the logs are the same, and durable.
    conflict @5 :Conflict;
    # Its log does not hold the entry before them.
    stale @6 :Void;
    # The sender's term is over.
    backlog @7 :Void;
    # Its machine is too far behind.
    noRoom @8 :Void;
    # Its disk is full.
  }
}

struct Conflict {
  prev @0 :Position;
  # The entry that was asked about.
  term @1 :UInt64;
  # The term that it has there.
  hasEntry @2 :Bool;
  # Whether it has any entry there.
  first @3 :UInt64;
  # Its first entry of that term, or the end of its log plus one.
}

struct SnapshotMeta {
  at @0 :Position;
  # The last entry in it.
  membership @1 :Membership;
  bytes @2 :UInt64;
  checksum @3 :UInt32;
  # The CRC-32C of its bytes.
}

struct InstallSnapshot {
  term @0 :UInt64;
  leader @1 :UInt64;
  meta @2 :SnapshotMeta;
  offset @3 :UInt64;
  data @4 :Data;
}

struct ChunkTaken {
  from @0 :UInt64;
  term @1 :UInt64;
  union {
    upto @2 :UInt64;
    # It holds so many bytes, from the start.
    installed @3 :UInt64;
    # All of it is in force, up to this entry.
    failed @4 :Void;
    # It can't take it now.
  }
}

struct TimeoutNow {
  term @0 :UInt64;
  leader @1 :UInt64;
}
