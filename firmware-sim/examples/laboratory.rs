//! Runs a simulated laboratory until it is interrupted, for trying out a client:
//! `cargo run -p firmware-sim --example laboratory -- config/worlds/perovskite.toml RUN_DIR [SPEED]`.

use std::error::Error;

use firmware_sim::run::{Options, run};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(world_file), Some(run_dir)) = (arguments.next(), arguments.next()) else {
        return Err("usage: laboratory WORLD_FILE RUN_DIR [SPEED]".into());
    };
    let speed = arguments.next().map_or(Ok(1.0), |speed| speed.parse())?;
    let options = Options { world_file: world_file.into(), run_dir: run_dir.into(), seed: 1, speed };
    run(options, async {
        // Without a signal handler there is nothing to wait for, and the simulation ends at once.
        let _ = tokio::signal::ctrl_c().await;
    })
    .await?;
    Ok(())
}
