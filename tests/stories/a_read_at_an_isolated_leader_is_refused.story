# A leader that was cut off does not know that another leads. A query put to it is never answered from
# what it knows: no quorum echoes the round (thesis §6.4). Its client hears at the deadline that there
# is no answer; or, once the old leader has stepped down, is sent to the new one.
(start peers=3 seed=1)
(elect)
(propose 1..3)
name old=leader
---
ok

show roles reads
isolate old
begin-query early deadline=100
begin-query late
await early
---
-> Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once

await late
---
493.000 n2@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
494.000 n3@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
496.000 n2@2 candidate TermChanged from=1: a majority would vote for us
496.000 n2@2 candidate Campaigned last=5@1: a majority would vote for us
498.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
501.000 n2@2 candidate PreVoted candidate=3 granted=false: the term is over
502.000 n3@2 follower TermChanged from=1: a newer term was seen
502.000 n3@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
509.000 n2@2 leader Elected last=5@1: a majority voted for us
512.000 n3@2 follower Following leader=2: the leader of this term was heard
522.000 n1@1 follower SteppedDown last=5@1: no quorum was heard for an election timeout
537.000 n2@2 leader ReadsConfirmed count=1 index=6: a quorum answered the round
-> 1..3
