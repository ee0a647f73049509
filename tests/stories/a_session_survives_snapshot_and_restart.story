# Sessions are part of the machine's state: they live in its snapshots. After a snapshot, and after all
# peers were down, the session goes on where it was, and its old commands stay done (thesis §6.3).
(start peers=3 seed=1 snapshot-entries=8 trail=0)
(elect)
session a
propose 1..10 session=a
(run 100ms)
status
---
-> session a: 0 applied
-> 1..10: applied, at 1..10
-> 1 leader term=1 leader=1 last=13@1 commit=13 applied=13 snapshot=8 compacted=8 [2 matched=13 lag=0] [3 matched=13 lag=0]
-> 2 follower term=1 leader=1 last=13@1 commit=13 applied=13 snapshot=8 compacted=8
-> 3 follower term=1 leader=1 last=13@1 commit=13 applied=13 snapshot=8 compacted=8

(kill 1 2 3)
(restart 1 2 3)
elect
session b resume=a
propose 11 session=b
check
---
379.000 n3@1 follower Replayed last=13@1 vote=1 snapshot=8@1: the peer recovers
379.000 n3@1 follower Restored applied=8: the peer recovers
380.000 n1@1 follower Replayed last=13@1 vote=1 snapshot=8@1: the peer recovers
380.000 n1@1 follower Restored applied=8: the peer recovers
381.000 n2@1 follower Replayed last=13@1 vote=1 snapshot=8@1: the peer recovers
381.000 n2@1 follower Restored applied=8: the peer recovers
534.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
535.000 n2@1 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
536.000 n3@1 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
537.000 n1@2 candidate TermChanged from=1: a majority would vote for us
537.000 n1@2 candidate Campaigned last=13@1: a majority would vote for us
542.000 n3@2 follower TermChanged from=1: a newer term was seen
542.000 n3@2 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
543.000 n2@2 follower TermChanged from=1: a newer term was seen
543.000 n2@2 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
545.000 n1@2 leader Elected last=13@1: a majority voted for us
546.000 n2@2 follower Following leader=1: the leader of this term was heard
546.000 n3@2 follower Following leader=1: the leader of this term was heard
-> peer 1 leads
-> session b: 10 applied
-> 11: applied, at 11
-> all ledgers hold 1..11
