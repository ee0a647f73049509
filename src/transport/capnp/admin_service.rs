//! What an operator may ask: status, orders, fault rules, events.

use std::rc::Rc;

use capnp::{Result, capability::Rc as Served};
use capnp_rpc::new_client;

use super::{
    messages_capnp::{self as wire, failure::Reason},
    raft_service::check_group,
    reception::Visit,
    status::write_status,
    watch::watch,
};
use crate::{
    raft::{Outcome, PeerId, Port},
    transport::faults::Rule,
};

/// How many rules may be in force at a time.
const RULES_MAX: usize = 256;

/// What an operator may ask.
pub(super) struct AdminService(pub(super) Rc<Visit>);

/// Why something was not done.
struct Failure(Reason, String);

type Done<T = ()> = std::result::Result<T, Failure>;

fn failure(reason: Reason, text: impl Into<String>) -> Failure {
    Failure(reason, text.into())
}

fn write(done: Done, mut to: wire::result::Builder<'_>) {
    match done {
        Ok(()) => to.set_done(()),
        Err(Failure(reason, text)) => {
            let mut to = to.init_failed();
            to.set_reason(reason);
            to.set_text(text);
        }
    }
}

impl AdminService {
    fn may_lay_faults(&self) -> Done {
        if self.0.house.open.allow_faults {
            return Ok(());
        }
        Err(failure(
            Reason::NotAllowed,
            "this peer was not started to allow faults: start it with --allow-faults",
        ))
    }

    fn isolate(&self) -> Done {
        self.may_lay_faults()?;
        let house = &self.0.house;
        let others: Vec<PeerId> =
            house.open.members.keys().copied().filter(|&peer| peer != house.me()).collect();
        let cut = house.open.local.faults().begin(Rule::new().cut().between(house.me(), others));
        // A second time changes nothing: the first guard goes when the new rule is in force.
        *house.isolation.borrow_mut() = Some(cut);
        Ok(())
    }

    fn set_fault(&self, rule: &str) -> Done {
        self.may_lay_faults()?;
        let faults = self.0.house.open.local.faults();
        if faults.rules().len() >= RULES_MAX {
            let text = format!("{RULES_MAX} rules are in force, and no more are taken: clear them first");
            return Err(failure(Reason::TooMany, text));
        }
        let rule: Rule = rule.parse().map_err(|error| failure(Reason::BadRule, format!("{error}")))?;
        faults.begin(rule).keep();
        Ok(())
    }

    async fn transfer(&self, target: u64) -> Done {
        let (port, outcome) = Port::new();
        self.0.house.open.desk.transfer((target > 0).then_some(PeerId(target)), port);
        match outcome.await {
            Ok(Outcome::Applied(_)) => Ok(()),
            Ok(Outcome::Busy) => Err(failure(
                Reason::Busy,
                "another transfer is under way: it ends within an election timeout",
            )),
            Ok(Outcome::Lost) => Err(failure(
                Reason::TimedOut,
                "the target did not take over within an election timeout, and the leader goes on: is it up?",
            )),
            Ok(Outcome::Rejected) => Err(failure(
                Reason::NotAVoter,
                "the target is not a voter of this cluster, or there is nobody to hand over to",
            )),
            Ok(Outcome::NotLeader { .. }) => {
                Err(failure(Reason::NotLeader, "this peer does not lead: ask the one that does"))
            }
            _ => Err(failure(
                Reason::Other,
                "the peer lost its role before the target was ready: see who leads now",
            )),
        }
    }

    async fn snapshot(&self) -> Done<u64> {
        let (port, outcome) = Port::new();
        self.0.house.open.desk.take_snapshot(port);
        match outcome.await {
            Ok(Outcome::Applied(index)) => Ok(index.as_ref().try_into().map_or(0, u64::from_le_bytes)),
            _ => Err(failure(
                Reason::Other,
                "no snapshot was taken: the peer has applied nothing yet, or recovers; its log says more",
            )),
        }
    }
}

impl wire::admin::Server for AdminService {
    async fn status(
        self: Served<Self>,
        params: wire::admin::StatusParams,
        mut results: wire::admin::StatusResults,
    ) -> Result<()> {
        check_group(params.get()?.get_group())?;
        write_status(&self.0.house, results.get().init_status());
        Ok(())
    }

    async fn transfer(
        self: Served<Self>,
        params: wire::admin::TransferParams,
        mut results: wire::admin::TransferResults,
    ) -> Result<()> {
        let params = params.get()?;
        check_group(params.get_group())?;
        write(AdminService::transfer(&self, params.get_target()).await, results.get().init_result());
        Ok(())
    }

    async fn snapshot(
        self: Served<Self>,
        params: wire::admin::SnapshotParams,
        mut results: wire::admin::SnapshotResults,
    ) -> Result<()> {
        check_group(params.get()?.get_group())?;
        let taken = AdminService::snapshot(&self).await;
        let mut to = results.get();
        to.set_index(*taken.as_ref().unwrap_or(&0));
        write(taken.map(drop), to.init_result());
        Ok(())
    }

    async fn isolate(
        self: Served<Self>,
        _: wire::admin::IsolateParams,
        mut results: wire::admin::IsolateResults,
    ) -> Result<()> {
        write(AdminService::isolate(&self), results.get().init_result());
        Ok(())
    }

    async fn reconnect(
        self: Served<Self>,
        _: wire::admin::ReconnectParams,
        mut results: wire::admin::ReconnectResults,
    ) -> Result<()> {
        let allowed = self.may_lay_faults();
        if allowed.is_ok() {
            drop(self.0.house.isolation.borrow_mut().take());
        }
        write(allowed, results.get().init_result());
        Ok(())
    }

    async fn set_fault(
        self: Served<Self>,
        params: wire::admin::SetFaultParams,
        mut results: wire::admin::SetFaultResults,
    ) -> Result<()> {
        let done = AdminService::set_fault(&self, params.get()?.get_rule()?.to_str()?);
        write(done, results.get().init_result());
        Ok(())
    }

    async fn list_faults(
        self: Served<Self>,
        _: wire::admin::ListFaultsParams,
        mut results: wire::admin::ListFaultsResults,
    ) -> Result<()> {
        let rules = self.0.house.open.local.faults().rules();
        let mut to = results.get().init_rules(rules.len() as u32);
        for (place, rule) in (0..).zip(rules) {
            to.set(place, rule.to_string());
        }
        Ok(())
    }

    async fn clear_faults(
        self: Served<Self>,
        _: wire::admin::ClearFaultsParams,
        mut results: wire::admin::ClearFaultsResults,
    ) -> Result<()> {
        let allowed = self.may_lay_faults();
        if allowed.is_ok() {
            self.0.house.open.local.faults().heal_all();
            drop(self.0.house.isolation.borrow_mut().take());
        }
        write(allowed, results.get().init_result());
        Ok(())
    }

    async fn watch(
        self: Served<Self>,
        params: wire::admin::WatchParams,
        mut results: wire::admin::WatchResults,
    ) -> Result<()> {
        let watcher = params.get()?.get_watcher()?;
        let max = self.0.house.limits().watchers_max;
        if self.0.watchers.get() >= max {
            let text = format!("a connection may have {max} watchers: drop one first");
            write(Err(failure(Reason::TooMany, text)), results.get().init_result());
            return Ok(());
        }
        let watching = watch(&self.0, watcher);
        results.get().set_watch(new_client(watching));
        write(Ok(()), results.get().init_result());
        Ok(())
    }
}
