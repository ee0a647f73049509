# A cluster of one is a cluster: its own vote is a majority, and its own disk a quorum (§5.2, §5.3).
# It counts neither before it is durable: the vote at the sync that follows the campaign, each entry
# at the sync that follows the proposal.
start peers=1 seed=1
show roles log disk
elect
propose 1..2
query
---
1.000 n1@0 follower SyncBegun records=1: the turn ended
2.000 n1@0 follower Synced records=1 took_ms=1 durable=1@0: the turn ended
2.000 n1@0 pre-candidate Canvassed next=1: no leader was heard for an election timeout
2.000 n1@1 candidate TermChanged from=0: a majority would vote for us
2.000 n1@1 candidate Campaigned last=1@0: a majority would vote for us
2.000 n1@1 candidate SyncBegun records=2: the turn ended
4.000 n1@1 candidate Synced records=2 took_ms=2 durable=1@0: the turn ended
4.000 n1@1 leader Elected last=1@0: a majority voted for us
4.000 n1@1 leader Appended first=2 last=2@1 bytes=40: a new leader commits in its own term
4.000 n1@1 leader SyncBegun records=1: the turn ended
7.000 n1@1 leader Synced records=1 took_ms=3 durable=2@1: the turn ended
7.000 n1@1 leader Committed index=2: a quorum holds it
7.000 n1@1 leader Applied first=1 last=2: it is committed
-> peer 1 leads
8.000 n1@1 leader Appended first=3 last=3@1 bytes=42: a client proposed
8.000 n1@1 leader SyncBegun records=1: the turn ended
10.000 n1@1 leader Synced records=1 took_ms=2 durable=3@1: the turn ended
10.000 n1@1 leader Committed index=3: a quorum holds it
10.000 n1@1 leader Applied first=3 last=3: it is committed
10.000 n1@1 leader Appended first=4 last=4@1 bytes=42: a client proposed
10.000 n1@1 leader SyncBegun records=1: the turn ended
15.000 n1@1 leader Synced records=1 took_ms=5 durable=4@1: the turn ended
15.000 n1@1 leader Committed index=4: a quorum holds it
15.000 n1@1 leader Applied first=4 last=4: it is committed
-> 1..2: applied, at 1..2
-> 1..2
