//! MB-1 to MB-5 against small hand-made slaves: the value of register n is 10 n, so a value can be told to belong to
//! another request.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ppu_driver::Fault;
use ppu_driver::modbus::{Framing, Identity, Modbus, ModbusError, ModbusSettings};
use ppu_driver::transport::{Connect, SerialSettings};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What a slave does with its next request; correct and at once when there is nothing left in the list.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Late(u64),
    Twice,
    /// Correct, and once more after this many milliseconds.
    Again(u64),
    ShortCount,
    WrongSlave,
    Exception,
    BadChecksum,
    Garbage,
}

fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}

/// The reply's slave id, function and data, without checksum.
fn body(request: &[u8], mood: Option<Mood>) -> Vec<u8> {
    let (slave, function) = (request[0], request[1]);
    let address = u16::from_be_bytes([request[2], request[3]]);
    let quantity = u16::from_be_bytes([request[4], request[5]]);
    let slave = if matches!(mood, Some(Mood::WrongSlave)) { slave + 1 } else { slave };
    match function {
        _ if matches!(mood, Some(Mood::Exception)) => vec![slave, function | 0x80, 2],
        3 | 4 => {
            let quantity = if matches!(mood, Some(Mood::ShortCount)) { quantity - 1 } else { quantity };
            let mut reply = vec![slave, function, (quantity * 2) as u8];
            (address..address + quantity).for_each(|register| reply.extend((register * 10).to_be_bytes()));
            reply
        }
        _ => request[..6].to_vec(),
    }
}

/// An RTU slave on a pseudo-terminal. The descriptor keeps the terminal alive while the master of the bus is away.
fn rtu_slave(moods: Vec<Mood>) -> (String, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let terminal = rustix::fs::open(path.as_str(), flags, rustix::fs::Mode::empty()).unwrap();
    let mut settings = rustix::termios::tcgetattr(&terminal).unwrap();
    settings.make_raw();
    rustix::termios::tcsetattr(&terminal, rustix::termios::OptionalActions::Now, &settings).unwrap();
    std::thread::spawn(move || {
        let mut line = std::fs::File::from(master);
        let mut moods = moods.into_iter();
        let mut request = [0_u8; 8];
        // The terminal is closed at the end of the test, and then the read fails.
        while line.read_exact(&mut request).is_ok() {
            let mood = moods.next();
            let mut reply = body(&request, mood);
            let checksum = crc(&reply);
            reply.extend(checksum);
            match mood {
                Some(Mood::Late(milliseconds)) => std::thread::sleep(Duration::from_millis(milliseconds)),
                Some(Mood::Twice) => reply.extend(reply.clone()),
                Some(Mood::BadChecksum) => *reply.last_mut().unwrap() ^= 1,
                Some(Mood::Garbage) => {
                    reply.splice(0..0, [0xFF; 5]);
                }
                _ => {}
            }
            if line.write_all(&reply).is_err() {
                return;
            }
            if let Some(Mood::Again(milliseconds)) = mood {
                std::thread::sleep(Duration::from_millis(milliseconds));
                if line.write_all(&reply).is_err() {
                    return;
                }
            }
        }
    });
    (path, terminal)
}

fn rtu(path: String) -> ModbusSettings {
    ModbusSettings {
        connect: Connect::Serial { path, settings: SerialSettings::new_8n1(115_200) },
        framing: Framing::Rtu,
        unit: 5,
        timeout: Duration::from_millis(80),
        hold_off: Duration::from_millis(160),
        identity: Some(Identity { address: 7, expected: vec![70, 80] }),
    }
}

async fn read(bus: &Modbus, register: u16) -> Result<Vec<u16>, ModbusError> {
    bus.read_holding(register, 1).await
}

#[tokio::test]
async fn late_reply_on_rtu_never_yields_the_value_of_another_request() {
    // The first request of all is the one for the identity.
    let (path, _terminal) = rtu_slave(vec![Mood::Twice, Mood::Late(130), Mood::Twice]);
    let bus = Modbus::new(rtu(path));
    assert!(matches!(read(&bus, 1).await, Err(ModbusError::Silent { .. })));
    for register in 2..12 {
        assert_eq!(read(&bus, register).await.unwrap(), [register * 10]);
    }
}

#[tokio::test]
async fn a_reply_that_does_not_fit_is_never_a_value_on_rtu() {
    for mood in [Mood::ShortCount, Mood::WrongSlave, Mood::BadChecksum] {
        let (path, _terminal) = rtu_slave(vec![Mood::Twice, mood]);
        let bus = Modbus::new(rtu(path));
        let error = bus.read_holding(1, 2).await.unwrap_err();
        assert!(!error.is_refusal(), "{mood:?}: {error}");
        assert!(matches!(error.fault(), Fault::Silent { .. }));
        assert_eq!(bus.read_holding(2, 2).await.unwrap(), [20, 30], "{mood:?}");
    }
}

#[tokio::test]
async fn duplicated_and_noisy_replies_reach_nobody_on_rtu() {
    let (path, _terminal) = rtu_slave(vec![Mood::Twice, Mood::Twice, Mood::Twice, Mood::Garbage]);
    let bus = Modbus::new(rtu(path));
    for register in 1..8 {
        // Noise may cost an answer, never change one.
        match read(&bus, register).await {
            Ok(words) => assert_eq!(words, [register * 10]),
            Err(error) => assert!(!error.is_refusal(), "{error}"),
        }
    }
    assert_eq!(read(&bus, 9).await.unwrap(), [90]);
}

#[tokio::test]
async fn a_reply_that_lies_in_the_queue_is_thrown_away_before_the_next_request_on_rtu() {
    let (path, terminal) = rtu_slave(vec![Mood::Twice, Mood::Again(20)]);
    let bus = Modbus::new(rtu(path));
    assert_eq!(read(&bus, 1).await.unwrap(), [10]);
    let end = std::time::Instant::now() + Duration::from_secs(1);
    while rustix::io::ioctl_fionread(&terminal).unwrap() < 7 {
        assert!(std::time::Instant::now() < end, "the second copy never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for register in 2..6 {
        assert_eq!(read(&bus, register).await.unwrap(), [register * 10]);
    }
}

#[tokio::test]
async fn an_exception_is_a_refusal_and_keeps_the_session() {
    let (path, _terminal) = rtu_slave(vec![Mood::Twice, Mood::Exception]);
    let bus = Modbus::new(rtu(path));
    let error = bus.write_register(1, 10).await.unwrap_err();
    assert!(matches!(error, ModbusError::Exception { code: 2, .. }), "{error}");
    assert!(matches!(error.fault(), Fault::Refused { .. }));
    bus.write_register(3, 30).await.unwrap();
}

#[tokio::test]
async fn another_device_on_the_bus_is_noticed_before_any_value_is_trusted() {
    let (path, _terminal) = rtu_slave(vec![]);
    let settings = ModbusSettings { identity: Some(Identity { address: 7, expected: vec![71] }), ..rtu(path) };
    let bus = Modbus::new(settings);
    let error = read(&bus, 1).await.unwrap_err();
    assert!(matches!(&error, ModbusError::WrongDevice { found, .. } if found == &[70]), "{error}");
}

#[tokio::test]
async fn a_call_that_is_dropped_does_not_leave_half_a_conversation_behind() {
    let (path, _terminal) = rtu_slave(vec![Mood::Twice, Mood::Late(40)]);
    let bus = Modbus::new(rtu(path));
    bus.open().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(10), read(&bus, 1)).await.is_err());
    for register in 2..6 {
        assert_eq!(read(&bus, register).await.unwrap(), [register * 10]);
    }
}

/// A Modbus TCP slave; moods are counted over all connections.
async fn tcp_slave(moods: Vec<Mood>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let moods = std::sync::Arc::new(std::sync::Mutex::new(moods.into_iter()));
    tokio::spawn(async move {
        loop {
            let (mut line, _) = listener.accept().await.unwrap();
            let moods = moods.clone();
            tokio::spawn(async move {
                let mut header = [0_u8; 6];
                while line.read_exact(&mut header).await.is_ok() {
                    let mut request = vec![0_u8; usize::from(header[5])];
                    if line.read_exact(&mut request).await.is_err() {
                        return;
                    }
                    let mood = moods.lock().unwrap().next();
                    let reply = body(&request, mood);
                    if let Some(Mood::Late(milliseconds)) = mood {
                        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                    }
                    let mut frame = header[..4].to_vec();
                    frame.extend((reply.len() as u16).to_be_bytes());
                    frame.extend(reply);
                    if line.write_all(&frame).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn late_reply_on_tcp_costs_one_answer_and_the_session_recovers() {
    let address = tcp_slave(vec![Mood::Twice, Mood::Late(130), Mood::Twice, Mood::Twice, Mood::ShortCount]).await;
    let settings =
        ModbusSettings { connect: Connect::Tcp { address }, framing: Framing::Tcp, unit: 255, ..rtu(String::new()) };
    let bus = Modbus::new(settings);
    assert!(matches!(read(&bus, 1).await, Err(ModbusError::Silent { .. })));
    assert_eq!(read(&bus, 2).await.unwrap(), [20]);
    assert!(matches!(bus.read_holding(3, 2).await, Err(ModbusError::Mismatch { .. })));
    assert_eq!(bus.read_input(4, 2).await.unwrap(), [40, 50]);
    bus.write_registers(9, &[1, 2, 3]).await.unwrap();
}
