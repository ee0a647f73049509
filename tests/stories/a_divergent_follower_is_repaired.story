# The old leader comes back with entries that nobody else holds. The new leader's first message does
# not fit; the refusal names the conflicting term and where it begins, so that one step back over a
# whole term finds the place where the logs agree (§5.3). Behind it the old entries go.
(start peers=3 seed=1)
(elect)
(propose 1..3)
(settle)
name old=leader
---
ok

(isolate old)
(begin x 101..103 deadline=1000)
(elect)
(until old is pre-candidate)
(propose 4..5)
status
---
-> 1 pre-candidate term=1 leader=- last=8@1 commit=5 applied=5 snapshot=0 compacted=0
-> 2 follower term=2 leader=3 last=8@2 commit=7 applied=7 snapshot=0 compacted=0
-> 3 leader term=2 leader=3 last=8@2 commit=8 applied=8 snapshot=0 compacted=0 [1 matched=0 lag=6] [2 matched=6 lag=0]

show roles log
heal
run 200ms
await x
check
---
924.000 n2@2 follower Committed index=8: the leader committed it
924.000 n2@2 follower Applied first=8 last=8: it is committed
925.000 n1@2 follower TermChanged from=1: a newer term was seen
925.000 n1@2 follower Following leader=3: the leader of this term was heard
974.000 n1@2 follower Refused prev=8@2 hint=2: the leader's log says otherwise
981.000 n1@2 follower Truncated from=6: the leader's log says otherwise
981.000 n1@2 follower Appended first=6 last=6@2 bytes=40: the leader sent it
981.000 n1@2 follower Appended first=7 last=7@2 bytes=42: the leader sent it
981.000 n1@2 follower Appended first=8 last=8@2 bytes=42: the leader sent it
981.000 n1@2 follower Committed index=8: the leader committed it
985.000 n1@2 follower Applied first=6 last=8: it is committed
-> 101..103: Lost: it was lost in a change of leaders, and certainly not done: it is safe to try again
-> all ledgers hold 1..5
