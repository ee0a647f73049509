//! Processes that are ended when nobody holds them any more.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

/// How much of its log is shown when a process fails.
const LAST_LINES: usize = 5;

/// A process, and where it writes what it has to say.
pub struct Node {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Node {
    /// Starts a process whose standard error goes to a file. It keeps what came before: a process that is
    /// started again goes on in the same file.
    ///
    /// A process group of its own keeps Ctrl-C from it: it is ended here, and not in the middle of a window.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Node> {
        use std::os::unix::process::CommandExt;
        let to = File::options().create(true).append(true).open(log);
        let to = to.with_context(|| format!("cannot write {}", log.display()))?;
        let child = command.process_group(0).stdin(Stdio::piped()).stderr(to).spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        let child = child.with_context(|| format!("cannot start {name}, {program}"))?;
        Ok(Node { name: name.into(), child, log: log.into() })
    }

    /// The next line of its standard output, which was piped: what it says once it is ready.
    pub fn first_line(&mut self) -> Result<String> {
        let output = self.child.stdout.take().with_context(|| format!("{} has no output", self.name))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).with_context(|| format!("cannot hear {}", self.name))?;
        match line.trim() {
            "" => Err(self.ended()),
            line => Ok(line.into()),
        }
    }

    /// Fails if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(_) => Err(self.ended()),
        }
    }

    fn ended(&mut self) -> anyhow::Error {
        let status =
            self.child.wait().map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n  ");
        anyhow!("{} ended by itself, {status}; the last it said:\n  {last}", self.name)
    }

    /// As a power cut does it: SIGKILL, and it is gone when this returns.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let ticks = cpu_ticks(&stat)?;
        Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }
}

/// The ticks in user and in kernel mode. The fields are counted behind the program's name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(ticks.next()?.ok()? + ticks.next()?.ok()?)
}

impl Drop for Node {
    fn drop(&mut self) {
        // If it can't be killed it has ended.
        let _ = self.kill();
    }
}

/// The processes of a system.
pub struct Nodes(pub Vec<Node>);

impl Nodes {
    /// What they took of the CPUs so far.
    pub fn cpu(&self) -> Option<Duration> {
        self.0.iter().map(Node::cpu).sum()
    }

    /// Fails if one of them has ended.
    pub fn check(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(Node::check)
    }
}

/// So many ports of this machine that nobody listens at. Somebody may before they are used; then a process says so.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until all are known, or the same one would be found twice.
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let ports = held.iter().map(|listener| listener.local_addr().map(|at| at.port()));
    ports.collect::<std::io::Result<_>>().context("no free ports")
}

/// A new folder for a process.
pub fn folder(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    if path.exists() {
        bail!("{} is there already", path.display());
    }
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "4711 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0 1";
        assert_eq!(cpu_ticks(stat), Some(100));
        assert_eq!(cpu_ticks("4711 (a"), None);
    }
}
