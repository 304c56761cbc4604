//! The NAMUR commands of IKA hotplate stirrers (C-MAG HS7 manual p. 44, RCT digital manual p. 28).
//!
//! Commands end with space, CR, LF. Reads are answered with value and channel, such as `25.3 1`. Writes have no reply.

/// The longest command or reply of the protocol.
pub(super) const LINE_LIMIT: usize = 80;
/// End of every command.
const END: &str = " \r\n";

/// A quantity that can be read, with its NAMUR channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    ProbeTemperature,
    PlateTemperature,
    Speed,
    TemperatureSetpoint,
    SpeedSetpoint,
}

impl Channel {
    pub(super) fn question(self) -> &'static str {
        match self {
            Channel::ProbeTemperature => "IN_PV_1",
            Channel::PlateTemperature => "IN_PV_2",
            Channel::Speed => "IN_PV_4",
            Channel::TemperatureSetpoint => "IN_SP_1",
            Channel::SpeedSetpoint => "IN_SP_4",
        }
    }

    /// The number that stands behind the value in the reply.
    fn number(self) -> &'static str {
        match self {
            Channel::ProbeTemperature | Channel::TemperatureSetpoint => "1",
            Channel::PlateTemperature => "2",
            Channel::Speed | Channel::SpeedSetpoint => "4",
        }
    }
}

/// A command as bytes.
pub(super) fn line(command: &str) -> Vec<u8> {
    format!("{command}{END}").into_bytes()
}

/// The value in a reply to a read of this channel; anything else is not an answer to it.
pub(super) fn value(channel: Channel, reply: &str) -> Result<f64, String> {
    let garbled = || format!("`{}` was answered with `{}`", channel.question(), reply.escape_debug());
    let mut parts = reply.split_ascii_whitespace();
    let (Some(value), Some(number), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(garbled());
    };
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    match value.parse::<f64>() {
        Ok(value) if is_plain && number == channel.number() => Ok(value),
        _ => Err(garbled()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_carry_value_and_channel() {
        assert_eq!(line("OUT_SP_4 600"), b"OUT_SP_4 600 \r\n");
        assert_eq!(value(Channel::ProbeTemperature, "25.3 1"), Ok(25.3));
        assert_eq!(value(Channel::Speed, "600.0 4 "), Ok(600.0));
    }

    #[test]
    fn a_reply_for_another_channel_or_a_damaged_one_is_not_an_answer() {
        for reply in ["25.3 1", "25.3", "inf 2", "1e3 2", "25,3 2", "25.3 2 7", "", "C-MAG HS7"] {
            assert!(value(Channel::PlateTemperature, reply).is_err(), "{reply}");
        }
    }
}
