//! Notes which compiler built the benchmark: its figures say so.

use std::{env, process::Command};

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("cargo:rustc-env=PEERS_RUSTC={}", version.trim());
    println!("cargo:rerun-if-changed=build.rs");
}
