# A leader that is cut off takes a command, and can't commit it. The others elect, and other entries
# take its place (§5.3). Its client hears `Lost`: certainly not done, safe to try again.
(start peers=3 seed=1)
(elect)
(propose 1..3)
name old=leader
---
ok

show roles log
isolate old
begin x 100
until old is pre-candidate
elect
---
222.000 n1@1 leader Appended first=6 last=6@1 bytes=42: a client proposed
226.000 n2@1 follower Applied first=4 last=4: it is committed
493.000 n2@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
494.000 n3@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
496.000 n2@2 candidate TermChanged from=1: a majority would vote for us
496.000 n2@2 candidate Campaigned last=5@1: a majority would vote for us
498.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
501.000 n2@2 candidate PreVoted candidate=3 granted=false: the term is over
502.000 n3@2 follower TermChanged from=1: a newer term was seen
502.000 n3@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
509.000 n2@2 leader Elected last=5@1: a majority voted for us
509.000 n2@2 leader Appended first=6 last=6@2 bytes=40: a new leader commits in its own term
512.000 n3@2 follower Following leader=2: the leader of this term was heard
512.000 n3@2 follower Appended first=6 last=6@2 bytes=40: the leader sent it
518.000 n2@2 leader Committed index=6: a quorum holds it
518.000 n2@2 leader Applied first=5 last=6: it is committed
548.000 n1@1 follower SteppedDown last=6@1: no quorum was heard for an election timeout
561.000 n3@2 follower Committed index=6: the leader committed it
561.000 n3@2 follower Applied first=5 last=6: it is committed
841.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
-> peer 2 leads

show log crashes
propose 4
heal
await x
check
---
852.000 n2@2 leader Appended first=7 last=7@2 bytes=42: a client proposed
855.000 n3@2 follower Appended first=7 last=7@2 bytes=42: the leader sent it
859.000 n2@2 leader Committed index=7: a quorum holds it
859.000 n2@2 leader Applied first=7 last=7: it is committed
-> 4: applied, at 4
859.000 n0@0 - FaultEnded rule=cut between=1|2,3: the fault is over
911.000 n3@2 follower Committed index=7: the leader committed it
911.000 n3@2 follower Applied first=7 last=7: it is committed
912.000 n1@2 follower Refused prev=7@2 hint=7: the log does not reach there
920.000 n1@2 follower Refused prev=6@2 hint=2: the leader's log says otherwise
928.000 n1@2 follower Truncated from=6: the leader's log says otherwise
928.000 n1@2 follower Appended first=6 last=6@2 bytes=40: the leader sent it
928.000 n1@2 follower Appended first=7 last=7@2 bytes=42: the leader sent it
928.000 n1@2 follower Committed index=7: the leader committed it
932.000 n1@2 follower Applied first=6 last=7: it is committed
-> 100: Lost: it was lost in a change of leaders, and certainly not done: it is safe to try again
-> all ledgers hold 1..4
