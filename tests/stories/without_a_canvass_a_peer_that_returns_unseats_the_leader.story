# What PreVote is for (thesis §9.6): without it a peer that is cut off campaigns in term after term.
# When it is back, its newer term unseats a leader that did nothing wrong, and its shorter log loses
# the election: a second one has to be held. Nothing is lost, but time.
(start peers=3 seed=1 pre-vote=off)
(elect)
(propose 1..3)
name away=follower
---
ok

(isolate away)
(run 1500ms)
propose 4
status
---
-> 4: applied, at 4
-> 1 leader term=1 leader=1 last=6@1 commit=6 applied=6 snapshot=0 compacted=0 [2 matched=4 lag=1] [3 matched=5 lag=0]
-> 2 candidate term=7 leader=- last=5@1 commit=4 applied=4 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=6@1 commit=5 applied=5 snapshot=0 compacted=0

heal
run 400ms
elect
check
---
1733.000 n0@0 - FaultEnded rule=cut between=2|1,3: the fault is over
1748.000 n1@7 follower TermChanged from=1: a newer term was seen
1844.000 n2@8 candidate TermChanged from=7: no majority answered in time
1844.000 n2@8 candidate Campaigned last=5@1: no majority answered in time
1849.000 n1@8 follower TermChanged from=7: a newer term was seen
1849.000 n1@8 follower Voted candidate=2 granted=false: the log is behind ours
1851.000 n3@1 follower Voted candidate=2 granted=false: a leader is alive
1994.000 n3@2 candidate TermChanged from=1: no leader was heard for an election timeout
1994.000 n3@2 candidate Campaigned last=6@1: no leader was heard for an election timeout
2000.000 n1@8 follower Voted candidate=3 granted=false: the term is over
2000.000 n2@8 candidate Voted candidate=3 granted=false: the term is over
2001.000 n3@8 follower TermChanged from=2: a newer term was seen
2064.000 n2@9 candidate TermChanged from=8: no majority answered in time
2064.000 n2@9 candidate Campaigned last=5@1: no majority answered in time
2069.000 n1@9 follower TermChanged from=8: a newer term was seen
2069.000 n1@9 follower Voted candidate=2 granted=false: the log is behind ours
2069.000 n3@9 follower TermChanged from=8: a newer term was seen
2069.000 n3@9 follower Voted candidate=2 granted=false: the log is behind ours
2289.000 n3@10 candidate TermChanged from=9: no leader was heard for an election timeout
2289.000 n3@10 candidate Campaigned last=6@1: no leader was heard for an election timeout
2292.000 n1@10 follower TermChanged from=9: a newer term was seen
2292.000 n1@10 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
2293.000 n2@10 follower TermChanged from=9: a newer term was seen
2293.000 n2@10 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
2299.000 n3@10 leader Elected last=6@1: a majority voted for us
2301.000 n1@10 follower Following leader=3: the leader of this term was heard
2302.000 n2@10 follower Following leader=3: the leader of this term was heard
-> peer 3 leads
-> all ledgers hold 1..4
