# The leader waits until the target holds its whole log, and tells it to campaign at once; the others
# vote although they hear a leader, for the candidate says that it was asked (thesis §3.10).
(start peers=3 seed=1)
(elect)
(propose 1..3)
name target=follower
---
ok

show roles transfers
transfer to=target
propose 4..5
check
---
222.000 n1@1 leader TransferBegun to=2: it was asked for
227.000 n1@1 leader TransferOrdered to=2: the target holds the whole log
229.000 n2@2 candidate TermChanged from=1: the leader handed over
229.000 n2@2 candidate Campaigned last=5@1: the leader handed over
235.000 n1@2 follower TermChanged from=1: a newer term was seen
235.000 n1@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
235.000 n3@2 follower TermChanged from=1: a newer term was seen
235.000 n3@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
-> handed over
238.000 n2@2 leader Elected last=5@1: a majority voted for us
241.000 n1@2 follower Following leader=2: the leader of this term was heard
241.000 n3@2 follower Following leader=2: the leader of this term was heard
-> 4..5: applied, at 4..5
-> all ledgers hold 1..5
