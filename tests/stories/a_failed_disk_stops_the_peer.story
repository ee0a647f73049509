# A write fails. What a second try says means nothing (the system may have dropped what it could not
# write), so nothing is tried again: the peer stops, loudly, and the others go on. After the disk was
# seen to the peer starts from what is on it.
(start peers=3 seed=1 allow-failures)
(elect)
(propose 1..3)
name victim=leader
---
ok

disk victim fail
begin x 4
await x
elect
status
failures
---
224.000 n1@1 leader PeerStopped cause=write of 1 records: injected fault; after a failed write or sync nothing on this disk is trusted: check the disk, then start the peer again: the disk failed
-> 4: Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once
433.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
436.000 n2@1 follower PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
437.000 n3@2 candidate TermChanged from=1: a majority would vote for us
437.000 n3@2 candidate Campaigned last=6@1: a majority would vote for us
445.000 n2@2 follower TermChanged from=1: a newer term was seen
445.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
452.000 n3@2 leader Elected last=6@1: a majority voted for us
455.000 n2@2 follower Following leader=3: the leader of this term was heard
-> peer 3 leads
-> 1 down term=1 leader=1 last=5@1 commit=5 applied=5 snapshot=0 compacted=0 [2 matched=0 lag=2] [3 matched=0 lag=2]
-> 2 follower term=2 leader=3 last=7@2 commit=5 applied=5 snapshot=0 compacted=0
-> 3 leader term=2 leader=3 last=7@2 commit=7 applied=7 snapshot=0 compacted=0 [1 matched=0 lag=7] [2 matched=0 lag=7]
-> peer 1 stopped: the disk failed: write of 1 records: injected fault; after a failed write or sync nothing on this disk is trusted: check the disk, then start the peer again

disk victim repair
restart victim
propose 5
run 150ms
check
---
460.000 n1@0 - Opened incarnation=1: the peer started
465.000 n1@0 - TailLost records=1 kept=0 torn=false: it was never synced
465.000 n1@1 follower Replayed last=5@1 vote=1 snapshot=0@0: the peer recovers
465.000 n1@1 follower Restored applied=0: the peer recovers
-> 5: applied, at 5
504.000 n1@2 follower TermChanged from=1: a newer term was seen
504.000 n1@2 follower Following leader=3: the leader of this term was heard
-> all ledgers hold 1..5
