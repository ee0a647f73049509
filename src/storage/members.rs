//! A membership as text: in the log, in snapshots, and in the stamp of a data folder.
//!
//! It is written once in the life of a configuration and read by people who look for trouble: JSON.

use serde_json::{Map, Value, json};

use crate::raft::{Membership, PeerId};

/// A membership as a JSON object. What is empty is left out, but for the voters.
pub(super) fn to_json(membership: &Membership) -> Value {
    let ids = |peers: &mut dyn Iterator<Item = &PeerId>| -> Value { peers.map(|peer| peer.0).collect() };
    let mut object = Map::new();
    object.insert("voters".into(), ids(&mut membership.voters().iter()));
    if membership.is_joint() {
        object.insert("outgoing".into(), ids(&mut membership.outgoing().iter()));
    }
    if !membership.learners().is_empty() {
        object.insert("learners".into(), ids(&mut membership.learners().iter()));
    }
    let addresses: Map<_, _> =
        membership.addresses().map(|(peer, address)| (peer.to_string(), json!(address))).collect();
    if !addresses.is_empty() {
        object.insert("addresses".into(), addresses.into());
    }
    object.into()
}

/// The membership that such an object describes. `None`: it describes none.
pub(super) fn from_json(value: &Value) -> Option<Membership> {
    let object = value.as_object()?;
    let ids = |name: &str| -> Option<Vec<PeerId>> {
        let Some(list) = object.get(name) else { return Some(Vec::new()) };
        list.as_array()?.iter().map(|id| id.as_u64().map(PeerId)).collect()
    };
    let voters = ids("voters").filter(|_| object.contains_key("voters"))?;
    let outgoing = ids("outgoing")?;
    let simple =
        if outgoing.is_empty() { Membership::of(voters) } else { Membership::of(outgoing).joint_to(voters) };
    let membership = ids("learners")?.into_iter().fold(simple, Membership::with_learner);
    let addresses = object.get("addresses").map_or(Some(Vec::new()), |addresses| {
        addresses
            .as_object()?
            .iter()
            .map(|(peer, address)| Some((peer.parse().ok()?, address.as_str()?)))
            .collect()
    })?;
    Some(addresses.into_iter().fold(membership, |membership, (peer, address): (u64, &str)| {
        membership.with_address(PeerId(peer), address)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: impl IntoIterator<Item = u64>) -> Membership {
        Membership::of(ids.into_iter().map(PeerId))
    }

    #[test]
    fn every_membership_survives_the_way_through_text() {
        for membership in [
            Membership::default(),
            of([7]),
            of([1, 2, u64::MAX]).with_learner(PeerId(9)).with_address(PeerId(9), "[::1]:4711"),
            of([1, 2, 3]).joint_to([PeerId(3), PeerId(4)]).with_address(PeerId(1), "a \"b\"\n"),
        ] {
            let text = to_json(&membership).to_string();
            let back = serde_json::from_str(&text).ok().as_ref().and_then(from_json);
            assert_eq!(back, Some(membership), "{text}");
        }
    }

    #[test]
    fn what_describes_no_membership_is_none() {
        for text in
            ["[]", "{}", r#"{"voters":[-1]}"#, r#"{"voters":[1],"addresses":{"x":"y"}}"#, r#"{"voters":3}"#]
        {
            assert_eq!(from_json(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }
}
