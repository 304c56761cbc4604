//! Measures durable appends: commits per second and their latency, one record at a time and in groups.
//!
//! `cargo run -p ppu-store --example append_rate -- [DIRECTORY] [SECONDS]`; the directory should be on the disk that matters,
//! and a new directory is made and removed in it.

use ppu_store::{AppendError, Log, LogId, LogOptions, LogWriter, RealDisk};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Length of a record in bytes: that of a usual event.
const RECORD_BYTES: usize = 300;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let dir = place.join(format!("ppu-append-rate-{}", std::process::id()));
    let outcome = measure_all(&dir, Duration::from_secs(seconds));
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    outcome
}

fn measure_all(dir: &Path, limit: Duration) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for threads in [1, 8, 64] {
        let place = dir.join(threads.to_string());
        let began = Instant::now();
        let (log, _) = Log::open(RealDisk, &place, LogOptions::create(LogId([1; 16])))?;
        let made = began.elapsed();
        let writer = LogWriter::spawn(log)?;
        let began = Instant::now();
        let mut latencies = measure(&writer, threads, limit)?;
        let elapsed = began.elapsed().as_secs_f64();
        writer.close()?;
        latencies.sort_unstable();
        let at = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize].as_micros();
        let rate = latencies.len() as f64 / elapsed;
        let began = Instant::now();
        let (_log, opened) = Log::open(RealDisk, &place, LogOptions::default())?;
        writeln!(
            out,
            "{threads:>3} callers: {rate:>9.0} durable appends/s, p50 {} us, p99 {} us; making the log {made:.1?}; reopening {} records {:.1?}",
            at(0.50),
            at(0.99),
            opened.next_sequence - 1,
            began.elapsed(),
        )?;
    }
    Ok(())
}

/// How long each append of some callers took, each waiting for its last before the next.
fn measure(writer: &LogWriter, threads: u64, limit: Duration) -> Result<Vec<Duration>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..threads)
        .map(|_| {
            let (writer, stop, started) = (writer.clone(), stop.clone(), started.clone());
            std::thread::spawn(move || -> Result<Vec<Duration>, AppendError> {
                started.fetch_add(1, Ordering::Relaxed);
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    writer.append(vec![vec![7; RECORD_BYTES]])?;
                    latencies.push(began.elapsed());
                }
                Ok(latencies)
            })
        })
        .collect();
    std::thread::sleep(limit);
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.join().map_err(|_| "a caller panicked")??);
    }
    if started.load(Ordering::Relaxed) != threads || all.is_empty() {
        return Err("not every caller ran".into());
    }
    Ok(all)
}
