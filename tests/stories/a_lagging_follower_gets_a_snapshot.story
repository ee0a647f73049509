# A follower was down for so long that the entries it needs are gone. It is sent a snapshot, in pieces
# (§7); then the log goes on where the snapshot ends.
(start peers=3 seed=1 snapshot-entries=10 trail=2 chunk=100)
(elect)
(propose 1..3)
name away=follower
kill away
(propose 4..30)
status
---
222.000 n2@1 follower Killed during_sync=true: it was injected
-> 1 leader term=1 leader=1 last=32@1 commit=32 applied=32 snapshot=30 compacted=28 [2 matched=4 lag=27] [3 matched=30 lag=1]
-> 2 down term=1 leader=1 last=4@1 commit=3 applied=3 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=32@1 commit=31 applied=31 snapshot=30 compacted=28

show snapshots log crashes messages
restart away
run 150ms
---
404.000 n2@0 - Opened incarnation=1: the peer started
405.000 n2@0 - TailLost records=1 kept=1 torn=false: it was never synced
405.000 n2@1 follower Replayed last=5@1 vote=1 snapshot=0@0: the peer recovers
405.000 n2@1 follower Restored applied=0: the peer recovers
451.000 n2@1 follower Refused prev=12@1 hint=6: the log does not reach there
451.000 n3@1 follower Committed index=32: the leader committed it
451.000 n3@1 follower Applied first=32 last=32: it is committed
453.000 n1@1 leader SnapshotSent to=2 at=30@1 bytes=253: the log no longer reaches back to the follower
453.000 n1@1 leader Sent kind=install-snapshot to=2 what=term=1 at=30@1 bytes=0..100/253: the turn ended
455.000 n2@1 follower Received kind=install-snapshot from=1 what=term=1 at=30@1 bytes=0..100/253: it arrived
455.000 n2@1 follower Sent kind=chunk-taken to=1 what=term=1 bytes=100: the turn ended
458.000 n1@1 leader Received kind=chunk-taken from=2 what=term=1 bytes=100: it arrived
458.000 n1@1 leader Sent kind=install-snapshot to=2 what=term=1 at=30@1 bytes=100..200/253: the turn ended
458.000 n1@1 leader Sent kind=install-snapshot to=2 what=term=1 at=30@1 bytes=200..253/253: the turn ended
460.000 n2@1 follower Received kind=install-snapshot from=1 what=term=1 at=30@1 bytes=200..253/253: it arrived
460.000 n2@1 follower Sent kind=chunk-taken to=1 what=term=1 bytes=100: the turn ended
461.000 n2@1 follower Received kind=install-snapshot from=1 what=term=1 at=30@1 bytes=100..200/253: it arrived
461.000 n1@1 leader Received kind=chunk-taken from=2 what=term=1 bytes=100: it arrived
461.000 n2@1 follower Sent kind=chunk-taken to=1 what=term=1 bytes=200: the turn ended
463.000 n1@1 leader Received kind=chunk-taken from=2 what=term=1 bytes=200: it arrived
465.000 n2@1 follower SnapshotInstalled at=30@1 kept=false: the leader sent it
465.000 n2@1 follower Sent kind=chunk-taken to=1 what=term=1 installed=30: the turn ended
465.000 n2@1 follower Restored applied=30: the peer recovers
467.000 n1@1 leader Received kind=chunk-taken from=2 what=term=1 installed=30: it arrived
467.000 n1@1 leader Sent kind=append-entries to=2 what=term=1 prev=30@1 [31..=31@1] [32..=32@1] commit=32: the turn ended
470.000 n2@1 follower Received kind=append-entries from=1 what=term=1 prev=30@1 [31..=31@1] [32..=32@1] commit=32: it arrived
470.000 n2@1 follower Appended first=31 last=31@1 bytes=42: the leader sent it
470.000 n2@1 follower Appended first=32 last=32@1 bytes=42: the leader sent it
470.000 n2@1 follower Committed index=32: the leader committed it
475.000 n2@1 follower Applied first=31 last=32: it is committed

show crashes
check
---
-> all ledgers hold 1..30
