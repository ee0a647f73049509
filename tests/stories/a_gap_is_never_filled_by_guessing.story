# A session was forgotten and opened anew under the same id: the peers expect its first command, and
# the client goes on with its third. That is a gap: it changes nothing, and the client, who had answers
# to the first two, knows by it that its session is over.
(start peers=3 seed=1 sessions=1)
(elect)
session a
propose 1..2 session=a
session b
session c resume=a
propose 3 session=a
propose 4 session=c
check
---
-> session a: 0 applied
-> 1..2: applied, at 1..2
-> session b: 0 applied
-> session c: 0 applied
-> 3: SessionExpired: the session has expired: open a new one, and find out what of the old one was done
-> 4: applied, at 3
-> all ledgers hold 1..2 4
