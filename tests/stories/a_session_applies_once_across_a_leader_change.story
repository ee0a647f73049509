# The leader commits and falls before its client hears so. The client can't know, and sends again
# through the next leader: in a session that is safe, for a repeat gets the answer of the first time
# (thesis §6.3, §8). The same commands outside of a session are `Unknown`.
(start peers=3 seed=3)
(elect)
(session a)
(propose 1..3 session=a)
name old=leader
---
ok

show roles log crashes
begin x 4..5 session=a
begin y 100
until old is syncing
kill old
await x
await y
---
255.000 n2@1 leader Appended first=7 last=9@1 bytes=162: a client proposed
256.000 n2@1 leader Killed during_sync=true: it was injected
258.000 n3@1 follower Appended first=7 last=9@1 bytes=162: the leader sent it
258.000 n3@1 follower Committed index=6: the leader committed it
258.000 n3@1 follower Applied first=5 last=5: it is committed
258.000 n1@1 follower Appended first=7 last=9@1 bytes=162: the leader sent it
258.000 n1@1 follower Committed index=6: the leader committed it
260.000 n1@1 follower Applied first=6 last=6: it is committed
261.000 n3@1 follower Applied first=6 last=6: it is committed
476.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
477.000 n1@1 follower PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
480.000 n3@2 candidate TermChanged from=1: a majority would vote for us
480.000 n3@2 candidate Campaigned last=9@1: a majority would vote for us
487.000 n1@2 follower TermChanged from=1: a newer term was seen
487.000 n1@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
492.000 n3@2 leader Elected last=9@1: a majority voted for us
492.000 n3@2 leader Appended first=10 last=10@2 bytes=40: a new leader commits in its own term
495.000 n1@2 follower Following leader=3: the leader of this term was heard
495.000 n1@2 follower Appended first=10 last=10@2 bytes=40: the leader sent it
497.000 n3@2 leader Appended first=11 last=12@2 bytes=120: a client proposed
500.000 n3@2 leader Committed index=10: a quorum holds it
500.000 n3@2 leader Applied first=7 last=10: it is committed
501.000 n1@2 follower Appended first=11 last=12@2 bytes=120: the leader sent it
501.000 n1@2 follower Committed index=10: the leader committed it
502.000 n1@2 follower Applied first=7 last=10: it is committed
504.000 n3@2 leader Committed index=12: a quorum holds it
504.000 n3@2 leader Applied first=11 last=12: it is committed
-> 4..5: applied, at 4..5
-> 100: Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once

show crashes
restart old
propose 6 session=a
check
---
504.000 n2@0 - Opened incarnation=1: the peer started
508.000 n2@0 - TailLost records=1 kept=0 torn=false: it was never synced
508.000 n2@1 follower Replayed last=6@1 vote=2 snapshot=0@0: the peer recovers
508.000 n2@1 follower Restored applied=0: the peer recovers
-> 6: applied, at 7
-> all ledgers hold 1..5 100 6
