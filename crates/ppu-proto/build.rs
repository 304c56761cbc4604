//! Compiles `protos/` with protox: no `protoc` is needed on any machine.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 10] = [
    "ppu/common/v1/common.proto",
    "ppu/capability/v1/capability.proto",
    "ppu/device/v1/device.proto",
    "ppu/plan/v1/plan.proto",
    "ppu/lab/v1/lab.proto",
    "ppu/telemetry/v1/sparkplug.proto",
    "ppu/journal/v1/ledger.proto",
    "ppu/journal/v1/journal.proto",
    "ppu/optimizer/v1/optimizer.proto",
    "ppu/twin/v1/twin.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../protos");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
