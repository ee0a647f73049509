# A follower has voted, and is killed; its disk is replaced by an empty one. When it comes back it has forgotten
# its vote, and all that it had acknowledged: it could vote twice in one term (§5.2). So the others, who know
# its old disk, do not listen to it. They tell it, and it stops with the reason; they go on.
(start peers=3 seed=1 allow-failures)
(elect)
(propose 1..3)
name wiped=follower
---
ok

kill wiped
disk wiped wipe
restart wiped
run 500ms
propose 4
status
failures
---
222.000 n2@1 follower Killed during_sync=true: it was injected
222.000 n2@0 - Opened incarnation=1: the peer started
222.000 n1@1 leader TurnedAway who=2 what=expected the disk 852a05641117d47e9cd2ac215660e6fc, met c4a62c4a4743556ed4c7789069052fb4: what the old one had promised is lost; this id stays out until it is removed from the cluster and added again: it came back with another disk
222.000 n3@1 follower TurnedAway who=2 what=expected the disk 852a05641117d47e9cd2ac215660e6fc, met c4a62c4a4743556ed4c7789069052fb4: what the old one had promised is lost; this id stays out until it is removed from the cluster and added again: it came back with another disk
222.000 n2@0 - PeerStopped cause=peer 1 does not listen to this one: expected the disk 852a05641117d47e9cd2ac215660e6fc, met c4a62c4a4743556ed4c7789069052fb4: what the old one had promised is lost; this id stays out until it is removed from the cluster and added again: it came back with another disk
-> 4: applied, at 4
-> 1 leader term=1 leader=1 last=6@1 commit=6 applied=6 snapshot=0 compacted=0 [2 matched=4 lag=1] [3 matched=5 lag=0]
-> 2 down term=0 leader=- last=0@0 commit=0 applied=0 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=6@1 commit=5 applied=5 snapshot=0 compacted=0
-> peer 2 stopped: it came back with another disk: peer 1 does not listen to this one: expected the disk 852a05641117d47e9cd2ac215660e6fc, met c4a62c4a4743556ed4c7789069052fb4: what the old one had promised is lost; this id stays out until it is removed from the cluster and added again

# A peer that was away and comes back with its own disk is welcome.
kill leader
restart 1
propose 5
run 150ms
check
---
730.000 n1@1 leader Killed during_sync=false: it was injected
730.000 n1@0 - Opened incarnation=1: the peer started
733.000 n1@1 follower Replayed last=6@1 vote=1 snapshot=0@0: the peer recovers
733.000 n1@1 follower Restored applied=0: the peer recovers
887.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
888.000 n3@1 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
890.000 n1@2 candidate TermChanged from=1: a majority would vote for us
890.000 n1@2 candidate Campaigned last=6@1: a majority would vote for us
897.000 n3@2 follower TermChanged from=1: a newer term was seen
897.000 n3@2 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
904.000 n1@2 leader Elected last=6@1: a majority voted for us
906.000 n3@2 follower Following leader=1: the leader of this term was heard
-> 5: applied, at 5
-> all ledgers hold 1..5
