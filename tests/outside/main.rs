//! Examples, run as programs and looked at from outside, and a few pieces of them.
#![cfg(feature = "serde")]

mod cluster;
#[cfg(unix)]
mod durable_cluster;
#[cfg(feature = "capnp")]
mod peer;
mod wal;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The example as it is now: `cargo test --test` alone would not build it.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let profile = match target.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", name, "--profile", profile]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells a test is not what it tells a shell: a dependency whose build script asks for it
    // would be built anew each time.
    for (variable, _) in std::env::vars_os() {
        let told = variable.to_str().unwrap_or_default();
        if told == "OUT_DIR" || told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&variable);
        }
    }
    assert!(build.status().unwrap().success());
    target.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}
