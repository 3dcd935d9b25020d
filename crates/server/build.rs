//! Links the unwinder of the compiler's runtime (libgcc_s) into the program, so that it needs nothing but
//! libc where it runs.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    let Ok(out) = std::env::var("OUT_DIR").map(PathBuf::from) else { return };
    // The standard library asks for the shared libgcc_s by name; the linker finds this script first, which
    // names the static parts of the same library instead.
    let script = "GROUP ( -lgcc_eh -lgcc )\n";
    if gnu && std::fs::write(out.join("libgcc_s.so"), script).is_ok() {
        println!("cargo::rustc-link-arg-bins=-L{}", out.display());
    }
}
