//! Reads a story's commands, hands them to the [stage] and shows what happened.
//!
//! goldenscript calls one command after another; a simulation is one call that runs from beginning to
//! end. So the stage has a thread of its own, on which the simulation waits for the next command: its
//! clock stands still meanwhile, and nothing depends on how long the waiting takes.
//!
//! | command | what it does |
//! |---|---|
//! | `start peers=3 seed=1 [latency=2] [sync=3] [machine=actor] [election=150..300] ...` | starts a cluster; every other key is a field of [`Config`](raft_actors::Config), and `allow-failures` lets actors fall by themselves |
//! | `show roles log ...` | which groups of events are shown from now on: see [`Group`](crate::groups::Group) |
//! | `run 500ms` | lets time pass |
//! | `elect` | waits until somebody leads and has committed in its term |
//! | `settle` | waits until all peers that are up have applied everything |
//! | `until PEER is ROLE`, `until PEER is syncing` | waits for that |
//! | `name old=leader` | keeps a peer under a name |
//! | `propose 1..5 7 [session=a]` | proposes numbers one after another, and says what became of each |
//! | `begin x 1..5 [session=a] [deadline=500]` | proposes them all at once, in the background |
//! | `await x` | what became of them |
//! | `session a [resume=b]` | opens a session |
//! | `query [of=PEER]` | what the ledger holds: linearizable, or of that very peer |
//! | `begin-query x [deadline=500]` | a linearizable query in the background |
//! | `crash role\|replicator\|timer\|storage\|machine on PEER [how=stop]` | makes an actor fall |
//! | `kill PEER`, `restart PEER`, `stop PEER` | power off, on; a graceful end |
//! | `isolate PEER`, `partition 1,2 \| 3`, `cut 1 > 2`, `fault RULE` | faults, until `heal` |
//! | `disk PEER slow=200\|hang\|resume\|fail\|repair\|fill\|empty\|wipe` | what a peer's disk does from now on |
//! | `transfer [to=PEER]`, `begin-transfer x [to=PEER]` | hands leadership over |
//! | `snapshot of PEER` | takes one |
//! | `status` | one line for each peer |
//! | `check` | settles, and compares the ledgers of all peers with each other and with what was told |
//! | `failures` | what went wrong that nobody had asked for |
//!
//! A peer is a number, `leader`, `follower` (the first one), or a name; a list of them is `1,2`, or
//! `rest`: everybody who was not named before in the same command.

use std::{error::Error, sync::mpsc, thread::JoinHandle};

use goldenscript::{Command, Context};

use crate::stage::{self, Plan};

/// What the stage answers: the lines to show, or why the command failed.
pub type Answer = Result<String, String>;

/// A command on its way to the stage, and the way back.
pub type Cue = (Command, mpsc::Sender<Answer>);

/// A running simulation: where its cues go, and how it ends.
type Running = (mpsc::Sender<Cue>, JoinHandle<Result<(), String>>);

/// Runs one story.
#[derive(Default)]
pub struct Runner {
    stage: Option<Running>,
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        if command.name == "start" {
            let plan = Plan::read(command)?;
            let (cue, cues) = mpsc::channel();
            self.stage = Some((cue, std::thread::spawn(move || stage::play(plan, cues))));
            return Ok(String::new());
        }
        let (cue, _) = self.stage.as_ref().ok_or("the first command is `start`")?;
        let (answer, answered) = mpsc::channel();
        // If the stage has fallen, its thread says why.
        let _ = cue.send((command.clone(), answer));
        match answered.recv() {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.close().err().unwrap_or("the stage is gone".into()).into()),
        }
    }

    fn end_script(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.close()?)
    }
}

impl Runner {
    /// Ends the simulation; it fails if anything fell that nobody had tripped.
    fn close(&mut self) -> Result<(), String> {
        let Some((cue, thread)) = self.stage.take() else { return Ok(()) };
        drop(cue);
        thread.join().map_err(|_| "the simulation panicked".to_string())?
    }
}
