# A leader that is cut off can commit nothing. It notices: no quorum has answered for an election
# timeout, and it steps down (check-quorum, thesis §6.2). The other side has elected by then, or does
# so soon. When the link is back the old leader follows.
(start peers=3 seed=1)
(elect)
(propose 1..3)
name old=leader
---
ok

isolate old
run 600ms
status
---
222.000 n0@0 - FaultBegun rule=cut between=1|2,3: it was asked for
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
548.000 n1@1 follower SteppedDown last=5@1: no quorum was heard for an election timeout
-> 1 follower term=1 leader=- last=5@1 commit=5 applied=5 snapshot=0 compacted=0
-> 2 leader term=2 leader=2 last=6@2 commit=6 applied=6 snapshot=0 compacted=0 [1 matched=0 lag=6] [3 matched=6 lag=0]
-> 3 follower term=2 leader=2 last=6@2 commit=6 applied=6 snapshot=0 compacted=0

heal
run 100ms
check
---
822.000 n0@0 - FaultEnded rule=cut between=1|2,3: the fault is over
841.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
843.000 n3@2 follower PreVoted candidate=1 granted=false: the term is over
844.000 n2@2 leader PreVoted candidate=1 granted=false: the term is over
845.000 n1@2 follower TermChanged from=1: a newer term was seen
860.000 n1@2 follower Following leader=2: the leader of this term was heard
-> all ledgers hold 1..3
