//! A console on a lab that answers from memory: to look at the pages without a scheduler.
//!
//!     cargo run -p ppu-console --example fake_lab -- 127.0.0.1:8088 [seconds after which the lab dies]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ppu_console::{ConsoleOptions, run};
use support::{Handle, data};

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into()).parse()?;
    let now = now_ms();
    let lab = Handle::new(data::lab(now), data::events(now));
    let served = lab.clone().serve("127.0.0.1:0".parse()?).await;
    let scheduler = format!("http://{}", served.address);
    let life =
        std::env::args().nth(2).and_then(|seconds| seconds.parse().ok()).map_or(Duration::MAX, Duration::from_secs);
    tokio::spawn(async move {
        tokio::time::sleep(life).await;
        drop(served);
    });
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        for count in 0u64.. {
            tick.tick().await;
            lab.change("reading", &format!("readings taken, round {count}"), |lab| {
                let now = now_ms();
                for device in lab.devices.iter_mut().filter(|device| device.problem.is_empty()) {
                    device.readings.iter_mut().for_each(|reading| reading.time_ms = now);
                }
            });
        }
    });
    let options = ConsoleOptions { listen, scheduler, public_url: None, operator: "ana".into() };
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    #[expect(clippy::print_stdout, reason = "an example tells its address to the person who started it")]
    let told = |address| println!("http://{address}/");
    Ok(run(options, told, stop).await?)
}
