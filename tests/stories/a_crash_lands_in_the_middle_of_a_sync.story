# The role of a leader falls while its disk writes: its mailbox is shut, and the crash lands all the
# same. Its storage finishes the write, and only then reads back what is durable: the entries are
# there, and may be committed by whoever leads next (§5.4.2).
(start peers=3 seed=1 sync=20)
(elect)
(propose 1..3)
(settle)
name victim=leader
---
ok

show roles disk crashes
begin x 4..5
until victim is syncing
crash role on victim
await x
---
398.000 n1@1 leader SyncBegun records=1: the turn ended
399.000 n1@1 leader Crashed actor=role cause= during_sync=true: it was injected
-> 4..5: Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once

elect
show crashes
check
---
400.000 n2@1 follower SyncBegun records=1: the turn ended
401.000 n3@1 follower SyncBegun records=1: the turn ended
420.000 n2@1 follower Synced records=1 took_ms=20 durable=7@1: the turn ended
421.000 n3@1 follower Synced records=1 took_ms=20 durable=7@1: the turn ended
438.000 n1@1 follower Replayed last=7@1 vote=1 snapshot=0@0: the peer recovers
438.000 n1@1 follower Recovered actor=role restarts=1: a fallen actor was rebuilt
648.000 n2@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
649.000 n1@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
649.000 n3@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
651.000 n2@2 candidate TermChanged from=1: a majority would vote for us
651.000 n2@2 candidate Campaigned last=7@1: a majority would vote for us
651.000 n2@2 candidate SyncBegun records=2: the turn ended
656.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
658.000 n1@1 follower PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
661.000 n3@2 candidate TermChanged from=1: a majority would vote for us
661.000 n3@2 candidate Campaigned last=7@1: a majority would vote for us
661.000 n3@2 candidate SyncBegun records=2: the turn ended
671.000 n2@2 candidate Synced records=2 took_ms=20 durable=7@1: the turn ended
671.000 n2@2 candidate PreVoted candidate=3 granted=false: the term is over
674.000 n1@2 follower TermChanged from=1: a newer term was seen
674.000 n1@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
674.000 n1@2 follower SyncBegun records=2: the turn ended
681.000 n3@2 candidate Synced records=2 took_ms=20 durable=7@1: the turn ended
681.000 n3@2 candidate Voted candidate=2 granted=false: we voted for another in this term
683.000 n2@2 candidate Voted candidate=3 granted=false: we voted for another in this term
694.000 n1@2 follower Synced records=2 took_ms=20 durable=7@1: the turn ended
694.000 n1@2 follower Voted candidate=3 granted=false: we voted for another in this term
696.000 n2@2 leader Elected last=7@1: a majority voted for us
696.000 n2@2 leader SyncBegun records=1: the turn ended
697.000 n1@2 follower Following leader=2: the leader of this term was heard
697.000 n1@2 follower SyncBegun records=1: the turn ended
697.000 n3@2 follower Following leader=2: the leader of this term was heard
697.000 n3@2 follower SyncBegun records=1: the turn ended
716.000 n2@2 leader Synced records=1 took_ms=20 durable=8@2: the turn ended
717.000 n1@2 follower Synced records=1 took_ms=20 durable=8@2: the turn ended
717.000 n3@2 follower Synced records=1 took_ms=20 durable=8@2: the turn ended
-> peer 2 leads
-> all ledgers hold 1..5
