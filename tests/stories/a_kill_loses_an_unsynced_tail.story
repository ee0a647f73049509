# The power of a follower is cut in the middle of a sync. What it was writing is lost, in part or
# whole; but nothing of that had been promised, for it answers only after the sync (§5.3, Figure 2).
# It reads back what is durable, and is sent the rest again.
(start peers=3 seed=1 sync=20)
(elect)
(propose 1..3)
(settle)
name victim=follower
---
ok

show log disk crashes
begin x 4..8
until victim is syncing
kill victim
await x
---
398.000 n1@1 leader Appended first=6 last=10@1 bytes=210: a client proposed
398.000 n1@1 leader SyncBegun records=1: the turn ended
400.000 n2@1 follower Appended first=6 last=10@1 bytes=210: the leader sent it
400.000 n2@1 follower SyncBegun records=1: the turn ended
401.000 n2@1 follower Killed during_sync=true: it was injected
401.000 n3@1 follower Appended first=6 last=10@1 bytes=210: the leader sent it
401.000 n3@1 follower SyncBegun records=1: the turn ended
418.000 n1@1 leader Synced records=1 took_ms=20 durable=10@1: the turn ended
421.000 n3@1 follower Synced records=1 took_ms=20 durable=10@1: the turn ended
423.000 n1@1 leader Committed index=10: a quorum holds it
423.000 n1@1 leader Applied first=6 last=10: it is committed
-> 4..8: applied, at 4..8

restart victim
run 150ms
check
---
423.000 n2@0 - Opened incarnation=1: the peer started
443.000 n2@0 - TailLost records=1 kept=0 torn=false: it was never synced
443.000 n2@1 follower Replayed last=5@1 vote=2 snapshot=0@0: the peer recovers
443.000 n2@1 follower Restored applied=0: the peer recovers
445.000 n2@1 follower Refused prev=10@1 hint=6: the log does not reach there
445.000 n3@1 follower Committed index=10: the leader committed it
445.000 n3@1 follower Applied first=6 last=10: it is committed
446.000 n2@1 follower Committed index=5: the leader committed it
446.000 n2@1 follower Applied first=1 last=5: it is committed
450.000 n2@1 follower Appended first=6 last=10@1 bytes=210: the leader sent it
450.000 n2@1 follower Committed index=10: the leader committed it
450.000 n2@1 follower SyncBegun records=1: the turn ended
470.000 n2@1 follower Synced records=1 took_ms=20 durable=10@1: the turn ended
470.000 n2@1 follower Applied first=6 last=10: it is committed
-> all ledgers hold 1..8
