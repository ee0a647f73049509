# Every peer takes a snapshot of its own machine whenever enough was applied since the last, on its
# own (§7). Once it is durable the log in front of it goes, but for a trail for followers that are a
# little behind.
(start peers=3 seed=1 snapshot-entries=10 trail=4)
(elect)
show snapshots
propose 1..12
settle
status
---
256.000 n1@1 leader SnapshotBegun at=10@1: enough was applied since the last
258.000 n1@1 leader SnapshotTaken at=10@1 bytes=93: enough was applied since the last
258.000 n1@1 leader Compacted upto=6@1: a snapshot covers it
260.000 n3@1 follower SnapshotBegun at=10@1: enough was applied since the last
261.000 n3@1 follower SnapshotTaken at=10@1 bytes=93: enough was applied since the last
261.000 n3@1 follower Compacted upto=6@1: a snapshot covers it
263.000 n2@1 follower SnapshotBegun at=10@1: enough was applied since the last
267.000 n2@1 follower SnapshotTaken at=10@1 bytes=93: enough was applied since the last
267.000 n2@1 follower Compacted upto=6@1: a snapshot covers it
-> 1..12: applied, at 1..12
-> 1 leader term=1 leader=1 last=14@1 commit=14 applied=14 snapshot=10 compacted=6 [2 matched=14 lag=0] [3 matched=14 lag=0]
-> 2 follower term=1 leader=1 last=14@1 commit=14 applied=14 snapshot=10 compacted=6
-> 3 follower term=1 leader=1 last=14@1 commit=14 applied=14 snapshot=10 compacted=6
