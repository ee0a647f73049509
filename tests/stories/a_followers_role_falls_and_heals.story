# The role actor of a follower falls: the leader and the third peer are a majority and go on. It reads
# back its log, its term and its vote, and the next heartbeat finds it where it was (§5.5).
(start peers=3 seed=1)
(elect)
(propose 1..3)
(settle)
---
ok

crash role on follower
run 20ms
propose 4..5
check
---
251.000 n2@1 follower Crashed actor=role cause= during_sync=false: it was injected
256.000 n2@1 follower Replayed last=5@1 vote=1 snapshot=0@0: the peer recovers
256.000 n2@1 follower Recovered actor=role restarts=1: a fallen actor was rebuilt
274.000 n2@1 follower Following leader=1: the leader of this term was heard
-> 4..5: applied, at 4..5
-> all ledgers hold 1..5
