//! Durable appends of other storage engines: `ppu-storage-peers sqlite|sled DIRECTORY RECORDS_A_COMMIT SECONDS`.
//!
//! Prints one line: `<commits> <records> <seconds> <median commit in microseconds> <99th percentile>`. The directory must be
//! new. Every commit is durable when it returns: SQLite in WAL mode with `synchronous=FULL`; sled with `fdatasync` of its
//! file after `flush`, because `flush` alone does not sync on Linux.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// Length of a record in bytes: that of a usual event.
const RECORD_BYTES: usize = 300;

/// Something that appends records durably.
trait Engine {
    /// Appends records with these keys in one durable commit.
    fn commit(&mut self, keys: std::ops::Range<u64>) -> Result<(), Box<dyn Error>>;
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, directory, batch, seconds] = arguments.as_slice() else {
        return Err("usage: ppu-storage-peers sqlite|sled DIRECTORY RECORDS_A_COMMIT SECONDS".into());
    };
    let (directory, batch) = (Path::new(directory), batch.parse::<u64>()?);
    std::fs::create_dir_all(directory)?;
    let mut engine: Box<dyn Engine> = match engine.as_str() {
        "sqlite" => Box::new(Sqlite::open(directory)?),
        "sled" => Box::new(Sled::open(directory)?),
        other => return Err(format!("`{other}` is no peer; there are sqlite and sled").into()),
    };
    measure(engine.as_mut(), batch, Duration::from_secs_f64(seconds.parse()?))
}

fn measure(engine: &mut dyn Engine, batch: u64, limit: Duration) -> Result<(), Box<dyn Error>> {
    // The first commits make files and pages that later ones reuse.
    for warm in 0..20 {
        engine.commit(warm * batch..(warm + 1) * batch)?;
    }
    let mut next = 20 * batch;
    let mut latencies = Vec::new();
    let began = Instant::now();
    while began.elapsed() < limit {
        let at = Instant::now();
        engine.commit(next..next + batch)?;
        latencies.push(at.elapsed());
        next += batch;
    }
    let elapsed = began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let quantile = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize].as_secs_f64() * 1e6;
    let commits = latencies.len() as u64;
    println!("{commits} {} {elapsed:.6} {:.1} {:.1}", commits * batch, quantile(0.5), quantile(0.99));
    Ok(())
}

/// A body that differs from record to record, so that nothing can be compressed or shared.
fn body(key: u64) -> [u8; RECORD_BYTES] {
    let mut state = key;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    })
}

struct Sqlite {
    connection: rusqlite::Connection,
}

impl Sqlite {
    fn open(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let connection = rusqlite::Connection::open(directory.join("events.sqlite"))?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        if mode != "wal" || synchronous != 2 {
            return Err(format!("SQLite runs with journal {mode} and synchronous {synchronous}").into());
        }
        connection.execute_batch("CREATE TABLE event (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
        Ok(Self { connection })
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, keys: std::ops::Range<u64>) -> Result<(), Box<dyn Error>> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO event (sequence, body) VALUES (?1, ?2)")?;
            for key in keys {
                insert.execute((key as i64, &body(key)[..]))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

struct Sled {
    db: sled::Db,
    file: File,
}

impl Sled {
    fn open(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let path = directory.join("events.sled");
        let db = sled::Config::new().path(&path).cache_capacity(64 * 1024 * 1024).open()?;
        db.flush()?;
        for directory in [&path, directory] {
            File::open(directory)?.sync_all()?;
        }
        let file = File::options().write(true).open(path.join("db"))?;
        Ok(Self { db, file })
    }
}

impl Engine for Sled {
    fn commit(&mut self, keys: std::ops::Range<u64>) -> Result<(), Box<dyn Error>> {
        let mut batch = sled::Batch::default();
        for key in keys {
            batch.insert(&key.to_be_bytes(), &body(key)[..]);
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        self.file.sync_data()?;
        Ok(())
    }
}
