//! Taste that can be checked: the import arrows of the house, lengths, words that must not appear.
//!
//! Arrows point one way: `raft` imports nothing of ours but `config`; `machine`, `storage`, `transport`
//! and `observe` import what is below them; `actor` imports all of these; `client` and `cluster` stand
//! on `actor`. actix stays in `actor` (and in the threads of a cluster), slog and tokio stay out of
//! `raft`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The rooms, and which of our own each may import.
const ARROWS: &[(&str, &[&str])] = &[
    ("binary", &[]),
    ("config", &["error"]),
    ("error", &["machine", "raft", "storage"]),
    // Bugs are planted on purpose, in builds of their own.
    ("planted", &["raft"]),
    ("raft", &["config", "planted"]),
    ("storage", &["raft", "config", "binary"]),
    ("transport", &["raft", "config", "observe", "storage"]),
    ("observe", &["raft"]),
    ("machine", &["raft", "storage", "config", "binary"]),
    ("actor", &["raft", "config", "error", "storage", "transport", "observe", "machine"]),
    ("client", &["raft", "config", "error", "machine", "actor", "transport", "observe"]),
    (
        "cluster",
        &["raft", "config", "error", "storage", "transport", "observe", "machine", "actor", "client"],
    ),
    (
        "lab",
        &[
            "raft",
            "machine",
            "observe",
            "cluster",
            "client",
            "config",
            "error",
            "transport",
            "storage",
            "actor",
        ],
    ),
];

/// Crates that may appear in some rooms only.
const CRATES: &[(&str, &[&str])] = &[
    ("actix", &["actor", "cluster", "lab"]),
    ("actix_rt", &["actor", "cluster"]),
    ("capnp", &["transport"]),
    ("capnp_rpc", &["transport"]),
    ("slog", &["observe", "cluster"]),
    ("tokio", &["actor", "client", "cluster", "lab", "observe", "storage", "transport"]),
    // The transport reads who it is from PEM files, before anything begins; what is written is storage's.
    ("std::fs", &["storage", "transport"]),
    // Addresses may be named where peers are put on machines, and where that goes wrong.
    ("std::net", &["transport", "cluster", "error"]),
    ("std::time::Instant", &[]),
    ("std::time::SystemTime", &[]),
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 60;

struct Source {
    path: PathBuf,
    room: String,
    /// Without tests, comments and documentation.
    code: Vec<(usize, String)>,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 30, "the sources are in {}", root.display());
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let inside = path.strip_prefix(root).unwrap();
            let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_string();
            let is_test = inside.iter().any(|part| matches!(part.to_str(), Some("tests" | "tests.rs")));
            let code = if is_test { Vec::new() } else { code_of(&text) };
            found.push(Source { path: inside.into(), room, code, lines: text.lines().count() });
        }
    }
}

fn code_of(text: &str) -> Vec<(usize, String)> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.to_string()))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .collect()
}

fn complain(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn arrows_point_one_way() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| source.room != "lib") {
        let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| *room == source.room) else {
            complaints.push(format!("{}: no arrows are declared for this room", source.path.display()));
            continue;
        };
        let code: Vec<&str> = source.code.iter().map(|(_, line)| line.as_str()).collect();
        for room in imported_rooms(&code.join("\n")) {
            if room != source.room && !allowed.contains(&room.as_str()) {
                complaints.push(format!(
                    "{}: `{}` must not import `{room}`",
                    source.path.display(),
                    source.room
                ));
            }
        }
    }
    complain(complaints);
}

/// The first segments behind `crate::`, also inside braces.
fn imported_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(inside) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut fresh = true;
            for c in inside.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => fresh = true,
                    c if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ if !word.is_empty() && fresh => {
                        rooms.push(std::mem::take(&mut word));
                        fresh = false;
                    }
                    _ => {}
                }
            }
            rooms.extend((!word.is_empty()).then_some(word));
        } else {
            rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (name, rooms) in CRATES.iter().filter(|(_, rooms)| !rooms.contains(&source.room.as_str())) {
            for (number, line) in &source.code {
                let used = line.match_indices(name).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + name.len()..].chars().next();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                        && after.is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
                        && (after == Some(':') || line.trim_start().starts_with("use "))
                });
                if used {
                    complaints
                        .push(format!("{}:{number}: `{name}` belongs to {rooms:?}", source.path.display()));
                }
            }
        }
    }
    complain(complaints);
}

#[test]
fn files_and_functions_fit_a_sitting() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.lines > FILE_LINES_MAX {
            complaints.push(format!(
                "{}: {} lines, at most {FILE_LINES_MAX}",
                source.path.display(),
                source.lines
            ));
        }
        let mut begun: Option<(usize, String)> = None;
        for (number, line) in &source.code {
            let indent = line.len() - line.trim_start().len();
            let is_function =
                ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "]
                    .iter()
                    .any(|start| line.trim_start().starts_with(start));
            if is_function && begun.is_none() && !line.trim_end().ends_with(';') {
                begun = Some((*number, " ".repeat(indent) + "}"));
            }
            if let Some((start, end)) = begun.take_if(|(_, end)| line == end) {
                let _ = end;
                if number - start + 1 > FUNCTION_LINES_MAX {
                    complaints.push(format!(
                        "{}:{start}: a function of {} lines, at most {FUNCTION_LINES_MAX}",
                        source.path.display(),
                        number - start + 1
                    ));
                }
            }
        }
    }
    complain(complaints);
}

/// These words are what is looked for: in `src`, and not in this list.
#[test]
fn nothing_is_left_for_another_day() {
    let words = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "dbg!(", "println!("];
    let mut complaints = Vec::new();
    for source in sources() {
        for (number, line) in &source.code {
            for word in words.iter().filter(|word| line.contains(*word)) {
                complaints.push(format!("{}:{number}: `{word}`", source.path.display()));
            }
        }
    }
    complain(complaints);
}

/// State belongs to one role, and is moved: nothing in the rules or in a shell is shared or locked.
#[test]
fn state_is_never_shared() {
    let mut complaints = Vec::new();
    for source in sources() {
        let banned: &[&str] = match source.room.as_str() {
            "raft" => {
                &["Rc<", "RefCell", "Mutex", "RwLock", "Atomic", "Cell<", "HashMap", "HashSet", ".await"]
            }
            _ => &["Rc<RefCell", "Arc<Mutex<State", "Mutex<State"],
        };
        for (number, line) in &source.code {
            for word in banned.iter().filter(|word| line.contains(*word)) {
                complaints.push(format!("{}:{number}: `{word}`", source.path.display()));
            }
        }
    }
    complain(complaints);
}

/// Each rule says which sentence of the paper or the thesis it is.
#[test]
fn each_rule_cites_its_section() {
    let mut complaints = Vec::new();
    let mut rules = 0;
    for source in sources().iter().filter(|source| source.room == "raft" && !source.code.is_empty()) {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&source.path)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if !line.trim_start().starts_with("fn receive(") || line.trim_end().ends_with(';') {
                continue;
            }
            rules += 1;
            let documentation =
                lines[..number].iter().rev().take_while(|line| line.trim_start().starts_with("///"));
            if !documentation.into_iter().any(|line| line.contains('§') || line.contains("Figure")) {
                complaints.push(format!(
                    "{}:{}: a rule that cites nothing",
                    source.path.display(),
                    number + 1
                ));
            }
        }
    }
    assert!(rules >= 30, "the rules are `fn receive`: {rules} of them");
    complain(complaints);
}
