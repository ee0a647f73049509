# The role actor of the leader falls. It comes back from what is durable, as a follower, and never as
# a leader from memory (`Restart` of the specification): then it waits for an election like all
# others. A session sees its commands through, each applied once (thesis §6.3).
(start peers=3 seed=1)
(elect)
(session a)
(propose 1..3 session=a)
name old=leader
---
ok

begin x 4..6 session=a
crash role on old
await x
---
229.000 n1@1 leader Crashed actor=role cause= during_sync=true: it was injected
236.000 n1@1 follower Replayed last=9@1 vote=1 snapshot=0@0: the peer recovers
236.000 n1@1 follower Recovered actor=role restarts=1: a fallen actor was rebuilt
458.000 n2@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
461.000 n1@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
461.000 n3@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
462.000 n2@2 candidate TermChanged from=1: a majority would vote for us
462.000 n2@2 candidate Campaigned last=9@1: a majority would vote for us
466.000 n1@2 follower TermChanged from=1: a newer term was seen
466.000 n1@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
467.000 n3@2 follower TermChanged from=1: a newer term was seen
467.000 n3@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
471.000 n2@2 leader Elected last=9@1: a majority voted for us
473.000 n3@2 follower Following leader=2: the leader of this term was heard
474.000 n1@2 follower Following leader=2: the leader of this term was heard
-> 4..6: applied, at 4..6

check
---
-> all ledgers hold 1..6
