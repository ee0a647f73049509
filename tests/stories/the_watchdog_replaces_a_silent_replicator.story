# A follower does not answer for long. Its replicator may be what is stuck, so the leader puts a new
# one in its place, and waits twice as long each time after that: a peer that is down for a day is no
# news.
(start peers=3 seed=1 silence=500)
(elect)
(propose 1)
name away=follower
kill away
run 4000ms
---
213.000 n2@1 follower Killed during_sync=false: it was injected
748.000 n1@1 leader Renewed to=2: it heard nothing for too long
1748.000 n1@1 leader Renewed to=2: it heard nothing for too long
3748.000 n1@1 leader Renewed to=2: it heard nothing for too long

restart away
run 200ms
propose 2
check
---
4213.000 n2@0 - Opened incarnation=1: the peer started
4216.000 n2@1 follower Replayed last=3@1 vote=1 snapshot=0@0: the peer recovers
4216.000 n2@1 follower Restored applied=0: the peer recovers
4249.000 n2@1 follower Following leader=1: the leader of this term was heard
-> 2: applied, at 2
-> all ledgers hold 1..2
