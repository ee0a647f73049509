# Peers remember so many sessions and no more. The one whose last use lies furthest back in the log
# goes: by the log and not by a clock, so that all peers forget the same one. Its commands are answered
# `SessionExpired`, and never applied as if they were new.
(start peers=3 seed=1 sessions=2)
(elect)
session a
session b
propose 1 session=a
propose 2 session=b
propose 3 session=a
session c
propose 4 session=b
propose 5 session=a
check
---
-> session a: 0 applied
-> session b: 0 applied
-> 1: applied, at 1
-> 2: applied, at 2
-> 3: applied, at 3
-> session c: 0 applied
-> 4: SessionExpired: the session has expired: open a new one, and find out what of the old one was done
-> 5: applied, at 4
-> all ledgers hold 1..3 5
