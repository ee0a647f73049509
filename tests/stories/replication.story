# A client proposes one command. The leader sends it to both followers in the same turn in which its
# own disk begins to write (thesis §10.2.1), commits it once a majority has it on disk (§5.3), applies
# it and answers. The followers hear of the commit with the next message, at the latest a heartbeat.
(start peers=3 seed=1)
(elect)
(run 100ms)
---
ok

show log disk messages
propose 1
---
305.000 n1@1 leader Appended first=3 last=3@1 bytes=42: a client proposed
305.000 n1@1 leader SyncBegun records=1: the turn ended
305.000 n1@1 leader Sent kind=append-entries to=2 what=term=1 prev=2@1 [3..=3@1] commit=2: the turn ended
305.000 n1@1 leader Sent kind=append-entries to=3 what=term=1 prev=2@1 [3..=3@1] commit=2: the turn ended
307.000 n1@1 leader Synced records=1 took_ms=2 durable=3@1: the turn ended
307.000 n2@1 follower Received kind=append-entries from=1 what=term=1 prev=2@1 [3..=3@1] commit=2: it arrived
307.000 n3@1 follower Received kind=append-entries from=1 what=term=1 prev=2@1 [3..=3@1] commit=2: it arrived
307.000 n2@1 follower Appended first=3 last=3@1 bytes=42: the leader sent it
307.000 n2@1 follower SyncBegun records=1: the turn ended
307.000 n3@1 follower Appended first=3 last=3@1 bytes=42: the leader sent it
307.000 n3@1 follower SyncBegun records=1: the turn ended
311.000 n3@1 follower Synced records=1 took_ms=4 durable=3@1: the turn ended
312.000 n2@1 follower Synced records=1 took_ms=5 durable=3@1: the turn ended
313.000 n1@1 leader Committed index=3: a quorum holds it
313.000 n1@1 leader Applied first=3 last=3: it is committed
-> 1: applied, at 1

run 60ms
check
status
---
349.000 n2@1 follower Committed index=3: the leader committed it
349.000 n3@1 follower Committed index=3: the leader committed it
349.000 n2@1 follower Applied first=3 last=3: it is committed
349.000 n3@1 follower Applied first=3 last=3: it is committed
-> all ledgers hold 1
-> 1 leader term=1 leader=1 last=3@1 commit=3 applied=3 snapshot=0 compacted=0 [2 matched=3 lag=0] [3 matched=3 lag=0]
-> 2 follower term=1 leader=1 last=3@1 commit=3 applied=3 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=3@1 commit=3 applied=3 snapshot=0 compacted=0
