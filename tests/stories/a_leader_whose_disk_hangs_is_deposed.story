# The leader's disk hangs. Heartbeats are part of the turn, and a turn that waits for the disk sends
# none: a leader that makes no progress falls silent and is deposed, instead of blocking everybody with
# its signs of life. A session goes on through the next one.
(start peers=3 seed=1)
(elect)
(session a)
(propose 1..3 session=a)
name old=leader
---
ok

disk old hang
begin x 4 deadline=600
begin y 5 session=a
run 500ms
elect
await x
await y
---
458.000 n2@1 pre-candidate Canvassed next=2: no leader was heard for an election timeout
461.000 n3@1 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
462.000 n2@2 candidate TermChanged from=1: a majority would vote for us
462.000 n2@2 candidate Campaigned last=8@1: a majority would vote for us
466.000 n3@2 follower TermChanged from=1: a newer term was seen
466.000 n3@2 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
470.000 n2@2 leader Elected last=8@1: a majority voted for us
472.000 n3@2 follower Following leader=2: the leader of this term was heard
-> peer 2 leads
-> 4: Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once
-> 5: applied, at 5

disk old resume
run 200ms
check
---
835.000 n1@1 leader Warned what=a sync took 606 ms, the shortest election timeout is 150 ms: a sync took a quarter of the election timeout or more
835.000 n1@1 leader PreVoted candidate=2 granted=false: a leader is alive
835.000 n1@1 leader Voted candidate=2 granted=false: a leader is alive
835.000 n1@2 follower TermChanged from=1: a newer term was seen
835.000 n1@2 follower Following leader=2: the leader of this term was heard
-> all ledgers hold 1..5
