# One way of a link can break alone. This leader's heartbeats still arrive, so nobody would elect
# another; but it hears no answers, steps down (thesis §6.2), and falls silent: only then the others
# elect. Without check-quorum the cluster would stand still for ever.
(start peers=3 seed=1)
(elect)
(propose 1..3)
name old=leader
---
ok

cut rest to old
run 1200ms
status
---
222.000 n0@0 - FaultBegun rule=cut from=2,3 to=1: it was asked for
548.000 n1@1 follower SteppedDown last=5@1: no quorum was heard for an election timeout
671.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
673.000 n2@1 follower PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
675.000 n3@2 candidate TermChanged from=1: a majority would vote for us
675.000 n3@2 candidate Campaigned last=5@1: a majority would vote for us
682.000 n2@2 follower TermChanged from=1: a newer term was seen
682.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
689.000 n3@2 leader Elected last=5@1: a majority voted for us
691.000 n2@2 follower Following leader=3: the leader of this term was heard
841.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
844.000 n2@2 follower PreVoted candidate=1 granted=false: the term is over
844.000 n3@2 leader PreVoted candidate=1 granted=false: the term is over
1031.000 n1@1 pre-candidate Canvassed next=2: no majority answered in time
1032.000 n3@2 leader PreVoted candidate=1 granted=false: the term is over
1033.000 n2@2 follower PreVoted candidate=1 granted=false: the term is over
1265.000 n1@1 pre-candidate Canvassed next=2: no majority answered in time
1267.000 n2@2 follower PreVoted candidate=1 granted=false: the term is over
1267.000 n3@2 leader PreVoted candidate=1 granted=false: the term is over
-> 1 pre-candidate term=1 leader=- last=5@1 commit=5 applied=5 snapshot=0 compacted=0
-> 2 follower term=2 leader=3 last=6@2 commit=6 applied=6 snapshot=0 compacted=0
-> 3 leader term=2 leader=3 last=6@2 commit=6 applied=6 snapshot=0 compacted=0 [1 matched=0 lag=6] [2 matched=6 lag=0]

heal
run 300ms
propose 4
check
---
1422.000 n0@0 - FaultEnded rule=cut from=2,3 to=1: the fault is over
1436.000 n1@1 pre-candidate Canvassed next=2: no majority answered in time
1437.000 n2@2 follower PreVoted candidate=1 granted=false: the term is over
1438.000 n3@2 leader PreVoted candidate=1 granted=false: the term is over
1440.000 n1@2 follower TermChanged from=1: a newer term was seen
1440.000 n1@2 follower Following leader=3: the leader of this term was heard
-> 4: applied, at 4
-> all ledgers hold 1..4
