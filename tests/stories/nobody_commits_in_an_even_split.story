# Four peers, cut in halves. A quorum is three: the half with the leader can't commit, and its leader
# steps down (thesis §6.2); the other half can't elect. Nobody raises its term meanwhile, and when the
# halves meet there is a leader within an election timeout or two.
(start peers=4 seed=1)
(elect)
(propose 1)
(name old=leader)
---
ok

(partition 1 2 from rest)
propose 2 deadline=1000
status
---
438.000 n2@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
439.000 n1@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
489.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
492.000 n2@1 pre-candidate PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
533.000 n4@1 follower SteppedDown last=4@1: no quorum was heard for an election timeout
679.000 n1@1 pre-candidate Canvassed next=2: no majority answered in time
682.000 n2@1 pre-candidate PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
705.000 n2@1 pre-candidate Canvassed next=2: no majority answered in time
707.000 n1@1 pre-candidate PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
720.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
722.000 n4@1 follower PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
742.000 n4@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
743.000 n3@1 pre-candidate PreVoted candidate=4 granted=true: the log is at least as up-to-date as ours
890.000 n3@1 pre-candidate Canvassed next=2: no majority answered in time
892.000 n4@1 pre-candidate PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
913.000 n1@1 pre-candidate Canvassed next=2: no majority answered in time
915.000 n2@1 pre-candidate PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
922.000 n2@1 pre-candidate Canvassed next=2: no majority answered in time
925.000 n1@1 pre-candidate PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
935.000 n4@1 pre-candidate Canvassed next=2: no majority answered in time
938.000 n3@1 pre-candidate PreVoted candidate=4 granted=true: the log is at least as up-to-date as ours
1084.000 n1@1 pre-candidate Canvassed next=2: no majority answered in time
1086.000 n2@1 pre-candidate PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
1143.000 n3@1 pre-candidate Canvassed next=2: no majority answered in time
1145.000 n2@1 pre-candidate Canvassed next=2: no majority answered in time
1145.000 n4@1 pre-candidate PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
1147.000 n1@1 pre-candidate PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
1192.000 n4@1 pre-candidate Canvassed next=2: no majority answered in time
1193.000 n3@1 pre-candidate PreVoted candidate=4 granted=true: the log is at least as up-to-date as ours
-> 2: Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once
-> 1 pre-candidate term=1 leader=- last=3@1 commit=2 applied=2 snapshot=0 compacted=0
-> 2 pre-candidate term=1 leader=- last=3@1 commit=2 applied=2 snapshot=0 compacted=0
-> 3 pre-candidate term=1 leader=- last=4@1 commit=3 applied=3 snapshot=0 compacted=0
-> 4 pre-candidate term=1 leader=- last=4@1 commit=3 applied=3 snapshot=0 compacted=0

heal
run 600ms
elect
propose 3
check
---
1199.000 n0@0 - FaultEnded rule=cut between=1,2|3,4: the fault is over
1280.000 n1@1 pre-candidate Canvassed next=2: no majority answered in time
1282.000 n2@1 pre-candidate PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
1282.000 n3@1 pre-candidate PreVoted candidate=1 granted=false: the log is behind ours
1282.000 n4@1 pre-candidate PreVoted candidate=1 granted=false: the log is behind ours
1334.000 n3@1 pre-candidate Canvassed next=2: no majority answered in time
1335.000 n4@1 pre-candidate PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
1336.000 n2@1 pre-candidate PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
1337.000 n1@1 pre-candidate PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
1338.000 n3@2 candidate TermChanged from=1: a majority would vote for us
1338.000 n3@2 candidate Campaigned last=4@1: a majority would vote for us
1341.000 n2@2 follower TermChanged from=1: a newer term was seen
1341.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
1342.000 n1@2 follower TermChanged from=1: a newer term was seen
1342.000 n1@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
1342.000 n4@2 follower TermChanged from=1: a newer term was seen
1342.000 n4@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
1347.000 n3@2 leader Elected last=4@1: a majority voted for us
1349.000 n1@2 follower Following leader=3: the leader of this term was heard
1350.000 n2@2 follower Following leader=3: the leader of this term was heard
1350.000 n4@2 follower Following leader=3: the leader of this term was heard
-> peer 3 leads
-> 3: applied, at 3
-> all ledgers hold 1..3
