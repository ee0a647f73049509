# Healing is for accidents. An actor that falls again and again, while neither commit nor applied get
# on, is not healed by another restart: after so many the peer stops, and says so. The others go on.
(start peers=3 seed=1 allow-failures restarts=3)
(elect)
(propose 1)
(settle)
name victim=follower
---
ok

crash machine on victim
run 5ms
crash timer on victim
run 5ms
crash role on victim
run 10ms
crash storage on victim
run 20ms
---
252.000 n2@1 follower Crashed actor=machine cause= during_sync=false: it was injected
252.000 n2@1 follower Recovered actor=machine restarts=1: a fallen actor was rebuilt
252.000 n2@1 follower Restored applied=0: the peer recovers
257.000 n2@1 follower Crashed actor=timer cause= during_sync=false: it was injected
257.000 n2@1 follower Recovered actor=timer restarts=2: a fallen actor was rebuilt
262.000 n2@1 follower Crashed actor=role cause= during_sync=false: it was injected
265.000 n2@1 follower Replayed last=3@1 vote=1 snapshot=0@0: the peer recovers
265.000 n2@1 follower Recovered actor=role restarts=3: a fallen actor was rebuilt
272.000 n2@1 follower Crashed actor=storage cause= during_sync=false: it was injected
272.000 n2@1 follower PeerStopped cause=3 restarts without progress, the last one of the storage: restarts brought no progress

failures
propose 2
status
---
-> peer 2 stopped: restarts brought no progress: 3 restarts without progress, the last one of the storage
-> 2: applied, at 2
-> 1 leader term=1 leader=1 last=4@1 commit=4 applied=4 snapshot=0 compacted=0 [2 matched=3 lag=0] [3 matched=3 lag=0]
-> 2 down term=1 leader=- last=3@1 commit=3 applied=3 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=4@1 commit=3 applied=3 snapshot=0 compacted=0
