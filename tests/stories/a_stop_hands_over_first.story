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
232.000 n1@1 leader TransferBegun to=3: it was asked for
239.000 n1@1 leader TransferOrdered to=3: the target holds the whole log
242.000 n3@2 candidate TermChanged from=1: the leader handed over
242.000 n3@2 candidate Campaigned last=9@1: the leader handed over
245.000 n2@2 follower TermChanged from=1: a newer term was seen
245.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
247.000 n1@2 follower TermChanged from=1: a newer term was seen
247.000 n1@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
251.000 n1@2 follower PeerStopped cause=: the peer was stopped
251.000 n1@2 follower Killed during_sync=false: the peer was stopped
251.000 n3@2 leader Elected last=9@1: a majority voted for us
-> 4..6: applied, at 4..6
-> 1 down term=2 leader=- last=9@1 commit=9 applied=9 snapshot=0 compacted=0
-> 2 follower term=2 leader=- last=9@1 commit=6 applied=6 snapshot=0 compacted=0
-> 3 leader term=2 leader=- last=9@1 commit=6 applied=6 snapshot=0 compacted=0 [1 matched=0 lag=10] [2 matched=0 lag=10]

restart old
run 200ms
check
---
251.000 n1@0 - Opened incarnation=1: the peer started
253.000 n1@2 follower Replayed last=9@1 vote=3 snapshot=0@0: the peer recovers
253.000 n1@2 follower Restored applied=0: the peer recovers
253.000 n1@2 follower Following leader=3: the leader of this term was heard
254.000 n2@2 follower Following leader=3: the leader of this term was heard
-> all ledgers hold 1..6
