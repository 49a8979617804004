//! Link options of the shared library. (They reach the crate's test programs too, where they mean nothing.)

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // AWS-LC registers thread destructors, and C_Initialize fork handlers: code that is called after a dlclose must
    // still be there.
    println!("cargo::rustc-link-arg=-Wl,-z,nodelete");
}
