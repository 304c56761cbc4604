//! Every crash point of the protocol with every action class comes out as the table says.

use ppu_core::ActionClass;
use ppu_simulation::crash_points::{TABLE, play};

/// The lines of one row, each with all classes.
fn row(number: u8) {
    let mut wrong = Vec::new();
    let lines = TABLE.iter().enumerate().filter(|(_, row)| row.number == number);
    for (index, _) in lines {
        for class in ActionClass::ALL {
            let cell = play(index, class).expect("the simulation itself works");
            if !cell.wrong.is_empty() {
                wrong.push(cell.to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

macro_rules! rows {
    ($($name:ident: $number:literal,)*) => {
        $(#[test]
        fn $name() {
            row($number);
        })*

        #[test]
        fn every_row_of_the_table_has_a_test() {
            let tested = [$($number),*];
            assert!(TABLE.iter().all(|row| tested.contains(&row.number)));
        }
    };
}

rows! {
    row_01_before_the_intent: 1,
    row_02_after_the_intent: 2,
    row_03_execute_lost: 3,
    row_04_execute_late: 4,
    row_05_before_accepted: 5,
    row_06_after_accepted: 6,
    row_07_after_started: 7,
    row_08_while_the_device_acts: 8,
    row_09_lost_on_the_line: 9,
    row_10_before_the_outcome: 10,
    row_11_after_the_outcome: 11,
    row_12_outcome_received: 12,
    row_13_standby: 13,
    row_14_partition: 14,
    row_15_power_loss: 15,
    row_16_disk_failure: 16,
    row_17_moved_by_hand: 17,
    row_18_ledger_lost: 18,
}
