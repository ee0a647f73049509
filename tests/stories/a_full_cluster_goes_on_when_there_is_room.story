# All disks are full. There is nobody to hand over to: the leader goes on to lead, and says that it is busy.
# It can be asked, and one that is elected then settles, for its no-op still fits. As soon as there is room
# again the cluster goes on, by itself.
(start peers=3 seed=1)
(show roles transfers crashes)
(elect)
(propose 1..3)
---
ok

disk 1 fill
disk 2 fill
disk 3 fill
run 200ms
propose 4 deadline=300
query
status
---
226.000 n2@1 follower DiskFull last=5@1: the disk has no room for more entries
227.000 n1@1 leader DiskFull last=5@1: the disk has no room for more entries
227.000 n1@1 leader TransferBegun to=2: the disk has no room for more entries
227.000 n1@1 leader TransferOrdered to=2: the target holds the whole log
229.000 n2@2 candidate TermChanged from=1: the leader handed over
229.000 n2@2 candidate Campaigned last=5@1: the leader handed over
235.000 n1@2 follower TermChanged from=1: a newer term was seen
235.000 n1@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
235.000 n3@2 follower DiskFull last=5@1: the disk has no room for more entries
235.000 n3@2 follower TermChanged from=1: a newer term was seen
235.000 n3@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
238.000 n2@2 leader Elected last=5@1: a majority voted for us
241.000 n1@2 follower Following leader=2: the leader of this term was heard
241.000 n3@2 follower Following leader=2: the leader of this term was heard
-> 4: Busy: the leader is busy, and did not take it: try again a little later
-> 1..3
-> 1 follower term=2 leader=2 last=6@2 commit=6 applied=6 snapshot=0 compacted=0 disk-full
-> 2 leader term=2 leader=2 last=6@2 commit=6 applied=6 snapshot=0 compacted=0 disk-full [1 matched=6 lag=0] [3 matched=6 lag=0]
-> 3 follower term=2 leader=2 last=6@2 commit=6 applied=6 snapshot=0 compacted=0 disk-full

name old=leader
kill old
elect
query
run 1000ms
status
---
424.000 n2@2 leader Killed during_sync=false: it was injected
676.000 n3@2 pre-candidate Canvassed next=3: no leader was heard for an election timeout
679.000 n1@2 follower PreVoted candidate=3 granted=true: the log is at least as up-to-date as ours
682.000 n3@3 candidate TermChanged from=2: a majority would vote for us
682.000 n3@3 candidate Campaigned last=6@2: a majority would vote for us
687.000 n1@3 follower TermChanged from=2: a newer term was seen
687.000 n1@3 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
694.000 n3@3 leader Elected last=6@2: a majority voted for us
696.000 n1@3 follower Following leader=3: the leader of this term was heard
-> peer 3 leads
-> 1..3
-> 1 follower term=3 leader=3 last=7@3 commit=7 applied=7 snapshot=0 compacted=0 disk-full
-> 2 down term=2 leader=2 last=6@2 commit=6 applied=6 snapshot=0 compacted=0 disk-full [1 matched=6 lag=0] [3 matched=6 lag=0]
-> 3 leader term=3 leader=3 last=7@3 commit=7 applied=7 snapshot=0 compacted=0 disk-full [1 matched=7 lag=0] [2 matched=0 lag=7]

disk 1 empty
disk 2 empty
disk 3 empty
restart old
propose 5
run 150ms
check
status
---
1725.000 n2@0 - Opened incarnation=1: the peer started
1725.000 n3@3 leader RoomAgain last=7@3: the disk has room for more entries
1728.000 n2@2 follower Replayed last=6@2 vote=2 snapshot=0@0: the peer recovers
1728.000 n2@2 follower Restored applied=0: the peer recovers
1728.000 n1@3 follower RoomAgain last=7@3: the disk has room for more entries
-> 5: applied, at 4
1774.000 n2@3 follower TermChanged from=2: a newer term was seen
1774.000 n2@3 follower Following leader=3: the leader of this term was heard
-> all ledgers hold 1..3 5
-> 1 follower term=3 leader=3 last=8@3 commit=8 applied=8 snapshot=0 compacted=0
-> 2 follower term=3 leader=3 last=8@3 commit=8 applied=8 snapshot=0 compacted=0
-> 3 leader term=3 leader=3 last=8@3 commit=8 applied=8 snapshot=0 compacted=0 [1 matched=8 lag=0] [2 matched=8 lag=0]
