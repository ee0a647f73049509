//! temporary
use super::{Link, Postbox, Rpc, Transport, faults::Faults};
use crate::{
    observe::{Hub, Witness},
    raft::PeerId,
};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, RwLock},
};
type Slots = Arc<RwLock<BTreeMap<PeerId, Arc<dyn Postbox>>>>;
pub struct Local {
    faults: Faults,
    slots: Slots,
}
impl Local {
    pub fn new(_hub: Arc<Hub>, faults: Faults, _latency: Option<RangeInclusive<u64>>) -> Local {
        Local { faults, slots: Default::default() }
    }
    pub fn attach(&self, id: PeerId, _w: Witness, p: Arc<dyn Postbox>) {
        self.slots.write().unwrap().insert(id, p);
    }
    pub fn detach(&self, id: PeerId) {
        self.slots.write().unwrap().remove(&id);
    }
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}
struct L(PeerId, Slots);
impl Link for L {
    fn send(&self, rpc: Rpc) {
        let p = self.1.read().unwrap().get(&self.0).cloned();
        if let Some(p) = p {
            p.deliver(rpc)
        }
    }
}
impl Transport for Local {
    fn link(&self, _from: PeerId, to: PeerId) -> Arc<dyn Link> {
        Arc::new(L(to, self.slots.clone()))
    }
}
