//! Templates and SDKs are part of the binary: a file that is added there is a change of it.

fn main() {
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=../../plugins/sdk");
}
