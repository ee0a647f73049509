# More proposals than may wait in front of a peer: those it can't take are answered `Busy`, at once,
# and were never appended. The rest are done, and the heartbeats go on.
(start peers=3 seed=1 inbox=8)
(elect)
---
ok

begin x 1..20
await x
propose 21
check
---
-> 1..8: applied, at 1..8
-> 9..20: Busy: the leader is busy, and did not take it: try again a little later
-> 21: applied, at 9
-> all ledgers hold 1..8 21
