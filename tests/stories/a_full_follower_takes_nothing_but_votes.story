# The disk of a follower is full. It refuses what clients wrote, and hears its leader all the same. Its term
# and its vote still fit, so that it helps to elect when the leader is gone. But it can't help to commit: the
# new leader waits until there is room, and then the cluster goes on by itself.
(start peers=3 seed=1)
(elect)
(propose 1)
name full=follower
---
ok

disk full fill
show roles crashes log
propose 2
run 60ms
status
---
213.000 n1@1 leader Appended first=4 last=4@1 bytes=42: a client proposed
216.000 n3@1 follower Committed index=3: the leader committed it
216.000 n3@1 follower Appended first=4 last=4@1 bytes=42: the leader sent it
216.000 n2@1 follower DiskFull last=3@1: the disk has no room for more entries
217.000 n3@1 follower Applied first=3 last=3: it is committed
219.000 n1@1 leader Committed index=4: a quorum holds it
219.000 n1@1 leader Applied first=4 last=4: it is committed
-> 2: applied, at 2
249.000 n3@1 follower Committed index=4: the leader committed it
249.000 n3@1 follower Applied first=4 last=4: it is committed
250.000 n2@1 follower Committed index=3: the leader committed it
250.000 n2@1 follower Applied first=3 last=3: it is committed
-> 1 leader term=1 leader=1 last=4@1 commit=4 applied=4 snapshot=0 compacted=0 [2 matched=3 lag=1] [3 matched=4 lag=0]
-> 2 follower term=1 leader=1 last=3@1 commit=3 applied=3 snapshot=0 compacted=0 disk-full
-> 3 follower term=1 leader=1 last=4@1 commit=4 applied=4 snapshot=0 compacted=0

show roles crashes
kill leader
run 600ms
status
---
279.000 n1@1 leader Killed during_sync=false: it was injected
467.000 n2@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
468.000 n3@1 follower PreVoted candidate=2 granted=false: the log is behind ours
526.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
527.000 n2@1 pre-candidate PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
529.000 n3@2 candidate TermChanged from=1: a majority would vote for us
529.000 n3@2 candidate Campaigned last=4@1: a majority would vote for us
533.000 n2@2 follower TermChanged from=1: a newer term was seen
533.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
537.000 n3@2 leader Elected last=4@1: a majority voted for us
538.000 n2@2 follower Following leader=3: the leader of this term was heard
-> 1 down term=1 leader=1 last=4@1 commit=4 applied=4 snapshot=0 compacted=0 [2 matched=3 lag=1] [3 matched=4 lag=0]
-> 2 follower term=2 leader=3 last=3@1 commit=3 applied=3 snapshot=0 compacted=0 disk-full
-> 3 leader term=2 leader=3 last=5@2 commit=4 applied=4 snapshot=0 compacted=0 [1 matched=0 lag=5] [2 matched=3 lag=2]

disk full empty
propose 3
run 150ms
check
---
888.000 n2@2 follower RoomAgain last=3@1: the disk has room for more entries
-> 3: applied, at 3
-> all ledgers hold 1..3
