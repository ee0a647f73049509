# The link from the leader to one follower breaks, that way only. That follower hears no leader any
# more and campaigns, without asking first. The others do hear theirs, and turn it down without even
# looking at its term: a leader that is heard is not unseated (thesis §4.2.3).
(start peers=3 seed=1 pre-vote=off)
(elect)
(propose 1)
name deaf=follower
---
ok

cut leader to deaf
run 700ms
propose 2
status
---
212.000 n0@0 - FaultBegun rule=cut from=1 to=2: it was asked for
451.000 n2@2 candidate TermChanged from=1: no leader was heard for an election timeout
451.000 n2@2 candidate Campaigned last=3@1: no leader was heard for an election timeout
455.000 n1@1 leader Voted candidate=2 granted=false: a leader is alive
455.000 n3@1 follower Voted candidate=2 granted=false: a leader is alive
641.000 n2@3 candidate TermChanged from=2: no majority answered in time
641.000 n2@3 candidate Campaigned last=3@1: no majority answered in time
649.000 n1@1 leader Voted candidate=2 granted=false: a leader is alive
649.000 n3@1 follower Voted candidate=2 granted=false: a leader is alive
-> 2: applied, at 2
-> 1 leader term=1 leader=1 last=4@1 commit=4 applied=4 snapshot=0 compacted=0 [2 matched=3 lag=0] [3 matched=3 lag=0]
-> 2 candidate term=3 leader=- last=3@1 commit=2 applied=2 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=4@1 commit=3 applied=3 snapshot=0 compacted=0
