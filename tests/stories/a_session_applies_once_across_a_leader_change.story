# The leader commits and falls before its client hears so. The client can't know, and sends again
# through the next leader: in a session that is safe, for a repeat gets the answer of the first time
# (thesis §6.3, §8). The same commands outside of a session are `Unknown`.
(start peers=3 seed=3)
(elect)
(propose 0)
(session a)
(propose 1..3 session=a)
name old=leader
---
ok

show roles log crashes
begin y 100
begin x 4..5 session=a
until old is syncing
kill old
await x
await y
---
261.000 n2@1 leader Appended first=8 last=10@1 bytes=162: a client proposed
262.000 n2@1 leader Killed during_sync=true: it was injected
262.000 n1@1 follower Appended first=8 last=10@1 bytes=162: the leader sent it
262.000 n1@1 follower Committed index=7: the leader committed it
262.000 n3@1 follower Appended first=8 last=10@1 bytes=162: the leader sent it
262.000 n3@1 follower Committed index=7: the leader committed it
264.000 n1@1 follower Applied first=7 last=7: it is committed
266.000 n3@1 follower Applied first=7 last=7: it is committed
442.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
445.000 n3@1 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
448.000 n1@2 candidate TermChanged from=1: a majority would vote for us
448.000 n1@2 candidate Campaigned last=10@1: a majority would vote for us
451.000 n3@2 follower TermChanged from=1: a newer term was seen
451.000 n3@2 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
454.000 n1@2 leader Elected last=10@1: a majority voted for us
454.000 n1@2 leader Appended first=11 last=11@2 bytes=40: a new leader commits in its own term
455.000 n3@2 follower Following leader=1: the leader of this term was heard
455.000 n3@2 follower Appended first=11 last=11@2 bytes=40: the leader sent it
459.000 n1@2 leader Committed index=11: a quorum holds it
459.000 n1@2 leader Applied first=8 last=11: it is committed
462.000 n1@2 leader Appended first=12 last=13@2 bytes=120: a client proposed
465.000 n3@2 follower Appended first=12 last=13@2 bytes=120: the leader sent it
465.000 n3@2 follower Committed index=11: the leader committed it
469.000 n3@2 follower Applied first=8 last=11: it is committed
471.000 n1@2 leader Committed index=13: a quorum holds it
471.000 n1@2 leader Applied first=12 last=13: it is committed
-> 4..5: applied, at 6..7
-> 100: Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once

show crashes
restart old
propose 6 session=a
check
---
471.000 n2@0 - Opened incarnation=1: the peer started
475.000 n2@0 - TailLost records=1 kept=1 torn=false: it was never synced
475.000 n2@1 follower Replayed last=10@1 vote=2 snapshot=0@0: the peer recovers
475.000 n2@1 follower Restored applied=0: the peer recovers
-> 6: applied, at 8
-> all ledgers hold 0..3 100 4..6
