# Every sync takes 200 ms, and election timeouts are 150 to 300 ms. A peer hears nothing while it
# syncs, and time deaf is not time waited: so one leader is elected, in the first term, and kept under
# load for ten seconds.
start peers=3 seed=1 sync=200 latency=1
elect
begin x 1..20
run 5000ms
await x
begin y 21..40
run 5000ms
await y
status
check
---
0.000 n1@0 - Opened incarnation=0: the peer started
0.000 n2@0 - Opened incarnation=0: the peer started
0.000 n3@0 - Opened incarnation=0: the peer started
200.000 n1@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
200.000 n2@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
200.000 n3@0 follower Replayed last=1@0 vote=0 snapshot=0@0: the peer recovers
200.000 n1@0 follower Restored applied=0: the peer recovers
200.000 n2@0 follower Restored applied=0: the peer recovers
200.000 n3@0 follower Restored applied=0: the peer recovers
400.000 n1@0 follower Warned what=a sync took 200 ms, the shortest election timeout is 150 ms: a sync took a quarter of the election timeout or more
400.000 n2@0 follower Warned what=a sync took 200 ms, the shortest election timeout is 150 ms: a sync took a quarter of the election timeout or more
400.000 n3@0 follower Warned what=a sync took 200 ms, the shortest election timeout is 150 ms: a sync took a quarter of the election timeout or more
587.000 n1@0 pre-candidate Canvassed next=1: no leader was heard for an election timeout
588.000 n2@0 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
588.000 n3@0 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
589.000 n1@1 candidate TermChanged from=0: a majority would vote for us
589.000 n1@1 candidate Campaigned last=1@0: a majority would vote for us
599.000 n2@0 pre-candidate Canvassed next=1: no leader was heard for an election timeout
600.000 n3@0 follower PreVoted candidate=2 granted=true: the log is at least as up-to-date as ours
601.000 n2@1 candidate TermChanged from=0: a majority would vote for us
601.000 n2@1 candidate Campaigned last=1@0: a majority would vote for us
649.000 n3@0 pre-candidate Canvassed next=1: no leader was heard for an election timeout
789.000 n1@1 candidate PreVoted candidate=2 granted=false: the term is over
789.000 n1@1 candidate PreVoted candidate=3 granted=false: the term is over
790.000 n3@1 follower TermChanged from=0: a newer term was seen
790.000 n3@1 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
801.000 n2@1 candidate PreVoted candidate=3 granted=false: the term is over
801.000 n2@1 candidate Voted candidate=1 granted=false: we voted for another in this term
802.000 n1@1 candidate Voted candidate=2 granted=false: we voted for another in this term
990.000 n3@1 follower Voted candidate=2 granted=false: we voted for another in this term
991.000 n1@1 leader Elected last=1@0: a majority voted for us
992.000 n3@1 follower Following leader=1: the leader of this term was heard
992.000 n2@1 follower Following leader=1: the leader of this term was heard
-> peer 1 leads
-> 1..20: applied, at 1..20
-> 21..40: applied, at 21..40
-> 1 leader term=1 leader=1 last=42@1 commit=42 applied=42 snapshot=0 compacted=0 [2 matched=42 lag=0] [3 matched=42 lag=0]
-> 2 follower term=1 leader=1 last=42@1 commit=42 applied=42 snapshot=0 compacted=0
-> 3 follower term=1 leader=1 last=42@1 commit=42 applied=42 snapshot=0 compacted=0
-> all ledgers hold 1..40
