# A linearizable query costs no entry: the leader asks a quorum whether it still leads, waits until its
# machine has applied what was committed when the query came, and answers (thesis §6.4). A query of one
# peer's own machine costs nothing, and may be behind.
(start peers=3 seed=1)
(elect)
(propose 1..3)
---
ok

show log reads heartbeats
query
---
222.000 n1@1 leader Sent kind=heartbeat to=2 what=term=1 prev=4@1 commit=5 round=1: the turn ended
222.000 n1@1 leader Sent kind=heartbeat to=2 what=term=1 prev=5@1 commit=5 round=1: the turn ended
222.000 n1@1 leader Sent kind=heartbeat to=3 what=term=1 prev=5@1 commit=5 round=1: the turn ended
223.000 n2@1 follower Received kind=heartbeat from=1 what=term=1 prev=4@1 commit=5 round=1: it arrived
223.000 n3@1 follower Received kind=heartbeat from=1 what=term=1 prev=5@1 commit=5 round=1: it arrived
223.000 n3@1 follower Committed index=5: the leader committed it
223.000 n3@1 follower Sent kind=appended to=1 what=term=1 match=5 round=1: the turn ended
223.000 n3@1 follower Applied first=5 last=5: it is committed
224.000 n2@1 follower Received kind=heartbeat from=1 what=term=1 prev=5@1 commit=5 round=1: it arrived
224.000 n1@1 leader Received kind=appended from=3 what=term=1 match=5 round=1: it arrived
224.000 n1@1 leader ReadsConfirmed count=1 index=5: a quorum answered the round
-> 1..3

show log
query of=follower
---
-> 1
