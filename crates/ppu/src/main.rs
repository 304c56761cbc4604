//! The one executable of ppu. It composes the crates and holds no logic of the lab.
//!
//! Data go to stdout, everything else to stderr. Exit codes: 0 success, 1 failure, 2 usage, 3 not found, 4 invalid plan
//! or file, 5 denied, 6 unreachable, 7 plan failed or aborted, 8 timeout, 74 disk failed, 130 interrupted.

mod cli;
mod client;
mod converge;
mod counters;
mod demo;
mod exit;
mod files;
mod invent;
mod journal;
mod progress;
mod roles;
mod rules;
mod spectrum;
mod supervisor;
mod twin;
mod up;
mod xrd;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    start_logging(arguments.command.is_role());
    // A driver waits for one instrument: one thread answers sooner than several that wake each other.
    let mut threads = if matches!(arguments.command, cli::Verb::Driver(_)) {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = match threads.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ppu: the async runtime cannot start: {error}");
            return ExitCode::from(exit::FAILURE);
        }
    };
    let result = runtime.block_on(cli::run(arguments));
    // Blocking work that a stopping process still has must not keep it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // On a full disk the log cannot be written either, and the exit code must tell of the first fault.
            let _ = writeln!(std::io::stderr(), "ppu: {}", exit::sentence(&error));
            ExitCode::from(exit::code(&error))
        }
    }
}

/// Roles log by default; commands for people only when `RUST_LOG` asks for it.
fn start_logging(role: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let fallback = if role { "info" } else { "off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(fallback));
    // A log that cannot be written is no reason to end: the disk is full, say, and the furnace is hot.
    fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false).init();
}
