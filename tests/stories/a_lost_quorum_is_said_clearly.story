# Two of three peers are dead. The third asks for votes for ever, in the same term; a client hears
# at its deadline that nobody leads, and that its command was not done. With one more peer all is well.
(start peers=3 seed=1 deadline=1000)
(elect)
(propose 1)
(name old=leader other=follower)
(kill old other)
propose 2
status
---
452.000 n3@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
729.000 n3@1 pre-candidate Canvassed next=2: no majority answered in time
934.000 n3@1 pre-candidate Canvassed next=2: no majority answered in time
-> 2: NotLeader: no leader was found in time: is a majority of the peers up and connected?
-> 1 down term=1 leader=1 last=3@1 commit=3 applied=3 snapshot=0 compacted=0 [2 matched=0 lag=2] [3 matched=0 lag=2]
-> 2 down term=1 leader=1 last=3@1 commit=2 applied=2 snapshot=0 compacted=0
-> 3 pre-candidate term=1 leader=- last=3@1 commit=3 applied=3 snapshot=0 compacted=0

restart old
elect
propose 3
check
---
1103.000 n1@0 - Opened incarnation=1: the peer started
1108.000 n1@1 follower Replayed last=3@1 vote=1 snapshot=0@0: the peer recovers
1108.000 n1@1 follower Restored applied=0: the peer recovers
1190.000 n3@1 pre-candidate Canvassed next=2: no majority answered in time
1191.000 n1@1 follower PreVoted candidate=3 granted=false: a leader is alive
1262.000 n1@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
1263.000 n3@1 pre-candidate PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
1264.000 n1@2 candidate TermChanged from=1: a majority would vote for us
1264.000 n1@2 candidate Campaigned last=3@1: a majority would vote for us
1268.000 n3@2 follower TermChanged from=1: a newer term was seen
1268.000 n3@2 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
1270.000 n1@2 leader Elected last=3@1: a majority voted for us
1273.000 n3@2 follower Following leader=1: the leader of this term was heard
-> peer 1 leads
-> 3: applied, at 2
-> all ledgers hold 1 3
