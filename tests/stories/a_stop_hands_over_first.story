# Stopping is not killing. A leader that is stopped hands leadership over first (thesis §3.10), so that
# nobody waits for an election timeout; and nothing that was acknowledged depends on it.
(start peers=3 seed=1)
(elect)
(session a)
(propose 1..3 session=a)
name old=leader
---
ok

show roles transfers crashes
begin x 4..6 session=a
stop old
await x
status
---
229.000 n1@1 leader TransferBegun to=3: it was asked for
229.000 n1@1 leader TransferOrdered to=3: the target holds the whole log
230.000 n3@2 candidate TermChanged from=1: the leader handed over
230.000 n3@2 candidate Campaigned last=6@1: the leader handed over
236.000 n2@2 follower TermChanged from=1: a newer term was seen
236.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
238.000 n1@2 follower TermChanged from=1: a newer term was seen
238.000 n1@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
241.000 n1@2 follower PeerStopped cause=: the peer was stopped
241.000 n1@2 follower Killed during_sync=false: the peer was stopped
242.000 n3@2 leader Elected last=6@1: a majority voted for us
243.000 n2@2 follower Following leader=3: the leader of this term was heard
-> 4..6: applied, at 4..6
-> 1 down term=2 leader=- last=6@1 commit=6 applied=6 snapshot=0 compacted=0
-> 2 follower term=2 leader=3 last=10@2 commit=7 applied=7 snapshot=0 compacted=0
-> 3 leader term=2 leader=3 last=10@2 commit=10 applied=10 snapshot=0 compacted=0

restart old
run 200ms
check
---
259.000 n1@0 - Opened incarnation=1: the peer started
263.000 n1@2 follower Replayed last=6@1 vote=3 snapshot=0@0: the peer recovers
263.000 n1@2 follower Restored applied=0: the peer recovers
295.000 n1@2 follower Following leader=3: the leader of this term was heard
-> all ledgers hold 1..6
