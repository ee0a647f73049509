//! The bytes of the wire, written down: a peer of this release speaks with one of an earlier one.
//!
//! `UPDATE_GOLDENFILES=1 cargo test --lib golden` writes the file anew. A message that is added shows up as lines
//! that are added; a line that changes is a peer of an earlier release that is not understood any more.

use std::{fmt::Write, fs, path::Path};

use super::messages::{runtime, samples};

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/golden/messages.txt")
}

/// A line for each word, as Cap'n Proto counts: eight bytes.
fn words(bytes: &[u8]) -> String {
    let mut text = String::new();
    for word in bytes.chunks(8) {
        let hex: Vec<_> = word.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "  {}", hex.join(" ")).unwrap();
    }
    text
}

/// What is written down, by name, in order.
fn read_down(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut messages: Vec<(String, Vec<u8>)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line.strip_prefix("  ") {
            None => messages.push((line.into(), Vec::new())),
            Some(word) => {
                let (_, bytes) = messages.last_mut().unwrap();
                bytes.extend(word.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()));
            }
        }
    }
    messages
}

#[test]
fn messages_are_the_bytes_that_were_written_down() {
    let mut text = String::from(
        "# What peers say to each other, one frame each, eight bytes a line. Made by\n\
         # `UPDATE_GOLDENFILES=1 cargo test --lib golden`; see src/transport/capnp/tests/golden.rs.\n",
    );
    for (name, message) in samples() {
        write!(text, "\n{name}\n{}", words(&message.write())).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::create_dir_all(path().parent().unwrap()).unwrap();
        fs::write(path(), &text).unwrap();
    }
    let known = fs::read_to_string(path()).unwrap();
    for ((name, bytes), (known_name, known_bytes)) in read_down(&text).iter().zip(&read_down(&known)) {
        assert_eq!((name, words(bytes)), (known_name, words(known_bytes)), "{name}");
    }
    assert_eq!(text, known);
}

#[test]
fn what_was_written_down_is_understood() {
    let (known, runtime) = (read_down(&fs::read_to_string(path()).unwrap()), runtime());
    assert_eq!(known.len(), samples().len());
    for ((known_name, bytes), (name, message)) in known.iter().zip(samples()) {
        assert_eq!(known_name, name);
        assert_eq!(message.read(bytes, &runtime).unwrap(), message, "{name}");
    }
}
