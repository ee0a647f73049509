//! The bindings of `schema/messages.capnp` are committed beside it, so that a build needs cargo alone.
//!
//! Nothing is generated unless it is asked for, with the `capnp` tool on the path (or named by `CAPNP`):
//!
//! * `CAPNP_BINDINGS=update cargo build` writes them anew after a change of the schema;
//! * `CAPNP_BINDINGS=check cargo build` fails if they are not what the tool would write.
//!
//! A plain build only compares the stamp in their first line with the schema, so that a change without
//! new bindings does not go unnoticed.

use std::env;
#[cfg(feature = "capnp")]
use std::{fs, path::Path};

const SCHEMA: &str = "schema/messages.capnp";
const BINDINGS: &str = "schema/messages_capnp.rs";

fn main() {
    for input in [SCHEMA, BINDINGS] {
        println!("cargo:rerun-if-changed={input}");
    }
    println!("cargo:rerun-if-env-changed=CAPNP_BINDINGS");
    println!("cargo:rerun-if-env-changed=CAPNP");
    if env::var_os("CARGO_FEATURE_CAPNP").is_some() {
        bindings();
    }
}

/// What the bindings begin with. Line ends count for nothing: some check text out with others.
#[cfg(feature = "capnp")]
fn stamp() -> String {
    let schema = read(SCHEMA).replace("\r\n", "\n");
    format!("// Generated from messages.capnp, crc32c {:08x}.\n", crc32c::crc32c(schema.as_bytes()))
}

#[cfg(feature = "capnp")]
fn bindings() {
    match env::var("CAPNP_BINDINGS").as_deref() {
        Ok("update") => fs::write(BINDINGS, generate()).unwrap_or_else(|error| panic!("{BINDINGS}: {error}")),
        Ok("check") => assert!(
            read(BINDINGS) == generate(),
            "{BINDINGS} is not what this `capnp` makes of {SCHEMA}: run CAPNP_BINDINGS=update cargo build, and commit it"
        ),
        Ok(other) => panic!("CAPNP_BINDINGS is `{other}`: it may be `update` or `check`"),
        Err(_) => assert!(
            read(BINDINGS).starts_with(&stamp()),
            "{SCHEMA} has changed, and {BINDINGS} has not: run CAPNP_BINDINGS=update cargo build (it needs the `capnp` tool)"
        ),
    }
}

#[cfg(not(feature = "capnp"))]
fn bindings() {}

#[cfg(feature = "capnp")]
fn generate() -> String {
    let out = env::var("OUT_DIR").expect("cargo says where to write");
    let mut command = capnpc::CompilerCommand::new();
    command.src_prefix("schema").file(SCHEMA).output_path(&out);
    if let Some(tool) = env::var_os("CAPNP") {
        command.capnp_executable(tool);
    }
    command.default_parent_module(["transport", "capnp"].map(String::from).to_vec());
    command.run().unwrap_or_else(|error| panic!("{SCHEMA}: {error}"));
    stamp() + &read(Path::new(&out).join("messages_capnp.rs"))
}

#[cfg(feature = "capnp")]
fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
