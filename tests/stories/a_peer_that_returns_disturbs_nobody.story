# A follower is cut off for more than thirty election timeouts. It asks and asks whether it could win,
# and nobody hears it, so its term never rises (PreVote, thesis §9.6). When it is back the leader
# leads on, in the same term.
(start peers=3 seed=1)
(elect)
(propose 1..3)
name away=follower
---
ok

(isolate away)
(run 10000ms)
status
---
-> 1 leader term=1 leader=1 last=5@1 commit=5 applied=5 snapshot=0 compacted=0 [2 matched=4 lag=1] [3 matched=5 lag=0]
-> 2 pre-candidate term=1 leader=- last=5@1 commit=4 applied=4 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=5@1 commit=5 applied=5 snapshot=0 compacted=0

heal
propose 4
run 100ms
check
status
---
10222.000 n0@0 - FaultEnded rule=cut between=2|1,3: the fault is over
10224.000 n2@1 follower Following leader=1: the leader of this term was heard
-> 4: applied, at 4
-> all ledgers hold 1..4
-> 1 leader term=1 leader=1 last=6@1 commit=6 applied=6 snapshot=0 compacted=0 [2 matched=6 lag=0] [3 matched=6 lag=0]
-> 2 follower term=1 leader=1 last=6@1 commit=6 applied=6 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=6@1 commit=6 applied=6 snapshot=0 compacted=0
