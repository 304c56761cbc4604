//! Generated wire types of ppu, and their conversion to and from [`ppu_core`].
//!
//! The `.proto` files under `protos/` are the reference of the wire; what is generated from them lives in one module a
//! package. Text from the wire becomes a checked type of `ppu-core` through [`convert`] or is refused with
//! [`ConversionError`], which names the field.

pub mod convert;
pub mod digest;

pub use convert::ConversionError;

/// The descriptors of every package, for reflection and for tests of the wire style.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! package {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub mod $name {
            /// Version 1.
            #[allow(missing_docs, clippy::all, clippy::pedantic, clippy::allow_attributes_without_reason, unreachable_pub, reason = "generated code; comments live in the .proto files")]
            pub mod v1 {
                tonic::include_proto!($file);
            }
        }
    };
}

package!(
    /// Words that every package uses.
    common, "ppu.common.v1"
);
package!(
    /// What a device can do.
    capability, "ppu.capability.v1"
);
package!(
    /// The protocol between scheduler and driver.
    device, "ppu.device.v1"
);
package!(
    /// Plans.
    plan, "ppu.plan.v1"
);
package!(
    /// The public API.
    lab, "ppu.lab.v1"
);
package!(
    /// Sparkplug B payloads.
    telemetry, "ppu.telemetry.v1"
);
package!(
    /// What journal and ledgers hold.
    journal, "ppu.journal.v1"
);
package!(
    /// The optimizer by itself.
    optimizer, "ppu.optimizer.v1"
);
package!(
    /// Models of the laboratory that run elsewhere.
    twin, "ppu.twin.v1"
);
