# Three peers start with nothing. The first whose election timeout passes asks whether it could win
# (thesis §9.6), raises its term, votes for itself, and leads with the votes of a majority (§5.2).
# Its first entry is a no-op of its own term (§8).
start peers=3 seed=1
elect
status
---
0.000 n1@0 - Opened incarnation=0: the peer started
0.000 n2@0 - Opened incarnation=0: the peer started
0.000 n3@0 - Opened incarnation=0: the peer started
1.000 n1@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
1.000 n1@0 follower Restored applied=0: the peer recovers
2.000 n2@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
2.000 n2@0 follower Restored applied=0: the peer recovers
5.000 n3@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
5.000 n3@0 follower Restored applied=0: the peer recovers
189.000 n1@0 pre-candidate Canvassed next=1: no leader was heard for an election timeout
190.000 n3@0 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
191.000 n2@0 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
192.000 n1@1 candidate TermChanged from=0: a majority would vote for us
192.000 n1@1 candidate Campaigned last=1@0: a majority would vote for us
195.000 n2@1 follower TermChanged from=0: a newer term was seen
195.000 n2@1 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
197.000 n3@1 follower TermChanged from=0: a newer term was seen
197.000 n3@1 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
198.000 n1@1 leader Elected last=1@0: a majority voted for us
199.000 n2@1 follower Following leader=1: the leader of this term was heard
201.000 n3@1 follower Following leader=1: the leader of this term was heard
-> peer 1 leads
-> 1 leader term=1 leader=1 last=2@1 commit=2 applied=2 snapshot=0 compacted=0 [2 matched=0 lag=2] [3 matched=0 lag=2]
-> 2 follower term=1 leader=1 last=2@1 commit=0 applied=0 snapshot=0 compacted=0
-> 3 follower term=1 leader=- last=1@0 commit=0 applied=0 snapshot=0 compacted=0
