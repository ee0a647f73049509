# Four peers whose timeouts lie close together, and nobody asks before it campaigns: three of them
# campaign in the same term, and each votes for itself; nobody gets more than two of four votes. They
# wait a random time and try again (§5.2): the split ends by itself.
start peers=4 seed=1 election=150..170 pre-vote=off
elect
---
0.000 n1@0 - Opened incarnation=0: the peer started
0.000 n2@0 - Opened incarnation=0: the peer started
0.000 n3@0 - Opened incarnation=0: the peer started
0.000 n4@0 - Opened incarnation=0: the peer started
1.000 n1@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
1.000 n1@0 follower Restored applied=0: the peer recovers
2.000 n2@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
2.000 n2@0 follower Restored applied=0: the peer recovers
5.000 n3@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
5.000 n4@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
5.000 n3@0 follower Restored applied=0: the peer recovers
5.000 n4@0 follower Restored applied=0: the peer recovers
156.000 n1@1 candidate TermChanged from=0: no leader was heard for an election timeout
156.000 n1@1 candidate Campaigned last=1@0: no leader was heard for an election timeout
158.000 n4@1 candidate TermChanged from=0: no leader was heard for an election timeout
158.000 n4@1 candidate Campaigned last=1@0: no leader was heard for an election timeout
159.000 n3@0 follower Voted candidate=1 granted=false: a leader is alive
160.000 n2@1 candidate TermChanged from=0: no leader was heard for an election timeout
160.000 n2@1 candidate Campaigned last=1@0: no leader was heard for an election timeout
161.000 n4@1 candidate Voted candidate=1 granted=false: we voted for another in this term
161.000 n2@1 candidate Voted candidate=1 granted=false: we voted for another in this term
162.000 n1@1 candidate Voted candidate=4 granted=false: we voted for another in this term
163.000 n4@1 candidate Voted candidate=2 granted=false: we voted for another in this term
163.000 n3@1 follower TermChanged from=0: a newer term was seen
163.000 n3@1 follower Voted candidate=4 granted=true: the log is at least as up-to-date as ours
164.000 n2@1 candidate Voted candidate=4 granted=false: we voted for another in this term
164.000 n1@1 candidate Voted candidate=2 granted=false: we voted for another in this term
165.000 n3@1 follower Voted candidate=2 granted=false: we voted for another in this term
314.000 n4@2 candidate TermChanged from=1: no majority answered in time
314.000 n4@2 candidate Campaigned last=1@0: no majority answered in time
319.000 n2@2 follower TermChanged from=1: a newer term was seen
319.000 n2@2 follower Voted candidate=4 granted=true: the log is at least as up-to-date as ours
320.000 n1@2 candidate TermChanged from=1: no majority answered in time
320.000 n1@2 candidate Campaigned last=1@0: no majority answered in time
320.000 n3@2 follower TermChanged from=1: a newer term was seen
320.000 n3@2 follower Voted candidate=4 granted=true: the log is at least as up-to-date as ours
323.000 n1@2 candidate Voted candidate=4 granted=false: we voted for another in this term
324.000 n4@2 candidate Voted candidate=1 granted=false: we voted for another in this term
324.000 n3@2 follower Voted candidate=1 granted=false: we voted for another in this term
325.000 n2@2 follower Voted candidate=1 granted=false: we voted for another in this term
326.000 n4@2 leader Elected last=1@0: a majority voted for us
327.000 n3@2 follower Following leader=4: the leader of this term was heard
329.000 n2@2 follower Following leader=4: the leader of this term was heard
329.000 n1@2 follower Following leader=4: the leader of this term was heard
-> peer 4 leads
