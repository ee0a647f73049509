# An entry makes the machine panic, each time, on every peer. The second time it is poison: each peer
# stands still right before it, goes on to vote and to store, and says so. Nothing is ever skipped.
# The machine is mended, the peers are started again, and everything is applied.
(start peers=3 seed=1 allow-failures)
(elect)
(propose 1..3)
---
ok

show roles crashes
propose poison
run 400ms
---
229.000 n1@1 leader Crashed actor=machine cause=poison during_sync=false: it panicked
229.000 n1@1 leader Recovered actor=machine restarts=1: a fallen actor was rebuilt
229.000 n1@1 leader Restored applied=0: the peer recovers
229.000 n1@1 leader Crashed actor=machine cause=poison during_sync=false: it panicked
229.000 n1@1 leader Poisoned index=6: the same entry failed twice
229.000 n1@1 leader Recovered actor=machine restarts=2: a fallen actor was rebuilt
229.000 n1@1 leader Restored applied=0: the peer recovers
-> poison: Unknown: the outcome is unknown, it may have been done or not: ask, or use a session, which applies a repeat only once
230.000 n3@2 candidate TermChanged from=1: the leader handed over
230.000 n3@2 candidate Campaigned last=6@1: the leader handed over
236.000 n2@2 follower TermChanged from=1: a newer term was seen
236.000 n2@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
238.000 n1@2 follower TermChanged from=1: a newer term was seen
238.000 n1@2 follower Voted candidate=3 granted=true: the log is at least as up-to-date as ours
242.000 n3@2 leader Elected last=6@1: a majority voted for us
243.000 n2@2 follower Following leader=3: the leader of this term was heard
245.000 n1@2 follower Following leader=3: the leader of this term was heard
249.000 n3@2 leader Crashed actor=machine cause=poison during_sync=false: it panicked
249.000 n3@2 leader Recovered actor=machine restarts=1: a fallen actor was rebuilt
249.000 n3@2 leader Restored applied=0: the peer recovers
249.000 n3@2 leader Crashed actor=machine cause=poison during_sync=false: it panicked
249.000 n3@2 leader Poisoned index=6: the same entry failed twice
249.000 n3@2 leader Recovered actor=machine restarts=2: a fallen actor was rebuilt
249.000 n3@2 leader Restored applied=0: the peer recovers
251.000 n2@3 candidate TermChanged from=2: the leader handed over
251.000 n2@3 candidate Campaigned last=7@2: the leader handed over
258.000 n3@3 follower TermChanged from=2: a newer term was seen
258.000 n3@3 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
259.000 n1@3 follower TermChanged from=2: a newer term was seen
259.000 n1@3 follower Voted candidate=2 granted=true: the log is at least as up-to-date as ours
264.000 n2@3 leader Elected last=7@2: a majority voted for us
266.000 n1@3 follower Following leader=2: the leader of this term was heard
267.000 n3@3 follower Following leader=2: the leader of this term was heard
271.000 n2@3 leader Crashed actor=machine cause=poison during_sync=false: it panicked
271.000 n2@3 leader Recovered actor=machine restarts=1: a fallen actor was rebuilt
271.000 n2@3 leader Restored applied=0: the peer recovers
271.000 n2@3 leader Crashed actor=machine cause=poison during_sync=false: it panicked
271.000 n2@3 leader Poisoned index=6: the same entry failed twice
271.000 n2@3 leader Recovered actor=machine restarts=2: a fallen actor was rebuilt
271.000 n2@3 leader Restored applied=0: the peer recovers

propose 4
query
status
---
-> 4: Poisoned: poisoned: the machine fails at entry 6; fix it, and start the peers again
-> Poisoned: poisoned: the machine fails at entry 6; fix it, and start the peers again
-> 1 follower term=3 leader=2 last=8@3 commit=8 applied=5 snapshot=0 compacted=0 poisoned=6
-> 2 leader term=3 leader=2 last=8@3 commit=8 applied=5 snapshot=0 compacted=0 poisoned=6 [1 matched=8 lag=0] [3 matched=8 lag=0]
-> 3 follower term=3 leader=2 last=8@3 commit=8 applied=5 snapshot=0 compacted=0 poisoned=6

cure
(kill 1 2 3)
(restart 1 2 3)
propose 5
(run 100ms)
check
failures
---
630.000 n3@3 follower Replayed last=8@3 vote=2 snapshot=0@0: the peer recovers
630.000 n3@3 follower Restored applied=0: the peer recovers
631.000 n1@3 follower Replayed last=8@3 vote=2 snapshot=0@0: the peer recovers
631.000 n1@3 follower Restored applied=0: the peer recovers
633.000 n2@3 follower Replayed last=8@3 vote=2 snapshot=0@0: the peer recovers
633.000 n2@3 follower Restored applied=0: the peer recovers
785.000 n1@3 pre-candidate Canvassed next=4: no leader was heard for an election timeout
786.000 n3@3 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
787.000 n2@3 follower PreVoted candidate=1 granted=true: the log is at least as up-to-date as ours
789.000 n1@4 candidate TermChanged from=3: a majority would vote for us
789.000 n1@4 candidate Campaigned last=8@3: a majority would vote for us
791.000 n3@4 follower TermChanged from=3: a newer term was seen
791.000 n3@4 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
793.000 n2@4 follower TermChanged from=3: a newer term was seen
793.000 n2@4 follower Voted candidate=1 granted=true: the log is at least as up-to-date as ours
793.000 n1@4 leader Elected last=8@3: a majority voted for us
795.000 n3@4 follower Following leader=1: the leader of this term was heard
797.000 n2@4 follower Following leader=1: the leader of this term was heard
-> 5: applied, at 5
-> all ledgers hold 1..3 poison 5
-> peer 1: machine fell: it panicked: poison
-> peer 1: machine fell: it panicked: poison
-> peer 3: machine fell: it panicked: poison
-> peer 3: machine fell: it panicked: poison
-> peer 2: machine fell: it panicked: poison
-> peer 2: machine fell: it panicked: poison
