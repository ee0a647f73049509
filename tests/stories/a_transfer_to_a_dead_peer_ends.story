# The target of a transfer is dead. Proposals are refused while the transfer is under way; after one
# election timeout it is given up, and the leader goes on (thesis §3.10).
(start peers=3 seed=1)
(elect)
(propose 1..3)
name dead=follower
(kill dead)
---
ok

show roles transfers crashes
begin-transfer t to=dead
run 1ms
propose 4
await t
propose 5
---
222.000 n1@1 leader TransferBegun to=2: it was asked for
-> 4: Busy: the leader is busy, and did not take it: try again a little later
522.000 n1@1 leader TransferAbandoned to=2: the target did not take over in time
-> TimedOut: the target did not take over within an election timeout, and the leader goes on: is it up?
-> 5: applied, at 4
