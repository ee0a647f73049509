//! Examples, run as programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The example as it is now: `cargo test --test` alone would not build it.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let profile = match target.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--example", name, "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
    target.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}
