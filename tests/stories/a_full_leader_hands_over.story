# The disk of the leader has no room for more. It takes no more proposals (the client tries elsewhere), and
# hands leadership to a peer whose disk has room (thesis §3.10). When there is room again it says so, and
# has everything that it missed.
(start peers=3 seed=1)
(show roles transfers crashes)
(elect)
(propose 1..3)
name full=leader
---
ok

disk full fill
run 40ms
propose 4
elect
status
---
227.000 n1@1 leader DiskFull last=5@1: the disk has no room for more entries
227.000 n1@1 leader TransferBegun to=2: the disk has no room for more entries
227.000 n1@1 leader TransferOrdered to=2: the target holds the whole log
229.000 n2@2 candidate TermChanged from=1: the leader handed over
229.000 n2@2 candidate Campaigned last=5@1: the leader handed over
235.000 n1@2 follower TermChanged from=1: a newer term was seen
235.000 n1@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
235.000 n3@2 follower TermChanged from=1: a newer term was seen
235.000 n3@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
238.000 n2@2 leader Elected last=5@1: a majority voted for us
241.000 n1@2 follower Following leader=2: the leader of this term was heard
241.000 n3@2 follower Following leader=2: the leader of this term was heard
-> 4: applied, at 4
-> peer 2 leads
-> 1 follower term=2 leader=2 last=6@2 commit=5 applied=5 snapshot=0 compacted=0 disk-full
-> 2 leader term=2 leader=2 last=7@2 commit=7 applied=7 snapshot=0 compacted=0 [1 matched=0 lag=6] [3 matched=0 lag=6]
-> 3 follower term=2 leader=2 last=7@2 commit=6 applied=6 snapshot=0 compacted=0

disk full empty
run 150ms
propose 5
run 150ms
status
check
---
290.000 n1@2 follower RoomAgain last=6@2: the disk has room for more entries
-> 5: applied, at 5
-> 1 follower term=2 leader=2 last=8@2 commit=8 applied=8 snapshot=0 compacted=0
-> 2 leader term=2 leader=2 last=8@2 commit=8 applied=8 snapshot=0 compacted=0 [1 matched=8 lag=0] [3 matched=8 lag=0]
-> 3 follower term=2 leader=2 last=8@2 commit=8 applied=8 snapshot=0 compacted=0
-> all ledgers hold 1..5
