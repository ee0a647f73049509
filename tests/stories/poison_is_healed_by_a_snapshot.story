# The first peer that applies the entry is poisoned; then the machine is mended, and the others get over
# it. The poisoned peer follows and stores, hands leadership over, and campaigns no more. A snapshot from
# beyond the entry is as good as having applied it (§7): with it the peer is healthy again, and was never
# restarted.
(start peers=3 seed=1 allow-failures snapshot-entries=1000 trail=0)
(elect)
(propose 1..3)
name old=leader
---
ok

show roles crashes
begin x poison
until old is follower
cure
run 100ms
status
---
229.000 n1@1 leader Crashed actor=machine cause=poison during_sync=false: it panicked
229.000 n1@1 leader Recovered actor=machine restarts=1: a fallen actor was rebuilt
229.000 n1@1 leader Restored applied=0: the peer recovers
229.000 n1@1 leader Crashed actor=machine cause=poison during_sync=false: it panicked
229.000 n1@1 leader Poisoned index=6: the same entry failed twice
229.000 n1@1 leader Recovered actor=machine restarts=2: a fallen actor was rebuilt
229.000 n1@1 leader Restored applied=0: the peer recovers
230.000 n3@2 candidate TermChanged from=1: the leader handed over
230.000 n3@2 candidate Campaigned last=6@1: the leader handed over
236.000 n2@2 follower TermChanged from=1: a newer term was seen
236.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
238.000 n1@2 follower TermChanged from=1: a newer term was seen
238.000 n1@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
242.000 n3@2 leader Elected last=6@1: a majority voted for us
243.000 n2@2 follower Following leader=3: the leader of this term was heard
245.000 n1@2 follower Following leader=3: the leader of this term was heard
-> 1 follower term=2 leader=3 last=7@2 commit=7 applied=5 snapshot=0 compacted=0 poisoned=6
-> 2 follower term=2 leader=3 last=7@2 commit=7 applied=7 snapshot=0 compacted=0
-> 3 leader term=2 leader=3 last=7@2 commit=7 applied=7 snapshot=0 compacted=0 [1 matched=7 lag=0] [2 matched=7 lag=0]

show crashes snapshots
isolate old
propose 4..6
snapshot of leader
heal
run 200ms
check
status
failures
---
339.000 n0@0 - FaultBegun rule=cut between=1|2,3: it was asked for
-> 4..6: applied, at 5..7
363.000 n3@2 leader SnapshotBegun at=10@2: it was asked for
364.000 n3@2 leader SnapshotTaken at=10@2 bytes=85: it was asked for
364.000 n3@2 leader Compacted upto=10@2: a snapshot covers it
-> a snapshot up to 10
364.000 n0@0 - FaultEnded rule=cut between=1|2,3: the fault is over
398.000 n3@2 leader SnapshotSent to=1 at=10@2 bytes=85: the log no longer reaches back to the follower
402.000 n1@2 follower SnapshotInstalled at=10@2 kept=false: the leader sent it
402.000 n1@2 follower Restored applied=10: the peer recovers
402.000 n1@2 follower Healthy applied=10: a snapshot covers it
-> all ledgers hold 1..3 poison 4..6
-> 1 follower term=2 leader=3 last=10@2 commit=10 applied=10 snapshot=10 compacted=10
-> 2 follower term=2 leader=3 last=10@2 commit=10 applied=10 snapshot=0 compacted=0
-> 3 leader term=2 leader=3 last=10@2 commit=10 applied=10 snapshot=10 compacted=10 [1 matched=10 lag=0] [2 matched=10 lag=0]
-> peer 1: machine fell: it panicked: poison
-> peer 1: machine fell: it panicked: poison
