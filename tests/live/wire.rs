//! Peers of several processes: here several clusters of one peer each, in one process, that know of each other
//! only by address. What holds of them is what holds of machines far apart.

#[cfg(feature = "tls")]
mod certificates;
mod clients;
mod faults;
mod house;
mod leaders;
mod outages;
#[cfg(feature = "tls")]
mod secured;
mod snapshots;
mod strangers;
