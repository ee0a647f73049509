# A user's own actor takes the machine's place. It falls with the machine actor in front of it; both
# are made anew, begin from the last snapshot, and are given everything after it. What was applied
# twice in the machine's life was never answered twice.
(start peers=3 seed=1 machine=actor snapshot-entries=5 trail=2)
(elect)
(propose 1..7)
---
ok

show log snapshots crashes
crash machine on leader
run 1ms
propose 8
---
250.000 n1@1 leader Crashed actor=machine cause= during_sync=false: it was injected
250.000 n1@1 leader Recovered actor=machine restarts=1: a fallen actor was rebuilt
250.000 n1@1 leader Restored applied=5: the peer recovers
250.000 n1@1 leader Applied first=6 last=9: it is committed
251.000 n1@1 leader Appended first=10 last=10@1 bytes=42: a client proposed
252.000 n2@1 follower Appended first=10 last=10@1 bytes=42: the leader sent it
252.000 n2@1 follower Committed index=9: the leader committed it
252.000 n3@1 follower Appended first=10 last=10@1 bytes=42: the leader sent it
252.000 n3@1 follower Committed index=9: the leader committed it
253.000 n3@1 follower Applied first=9 last=9: it is committed
255.000 n1@1 leader Committed index=10: a quorum holds it
255.000 n1@1 leader Applied first=10 last=10: it is committed
255.000 n1@1 leader SnapshotBegun at=10@1: enough was applied since the last
-> 8: applied, at 8

show crashes
check
---
-> all ledgers hold 1..8
