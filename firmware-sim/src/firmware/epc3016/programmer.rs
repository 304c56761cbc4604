//! The set-point programmer: programmes of segments, and the working set point over time.

/// Number of programmes.
pub(super) const PROGRAMS: usize = 10;
/// Segments of a programme that have registers.
pub(super) const SEGMENTS: usize = 25;
/// While the set point moves, the programmer steps once a second, as the control loop does.
const STEP_S: f64 = 1.0;

/// Segment types of the shared register block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SegmentType {
    #[default]
    End,
    RampRate,
    RampTime,
    Dwell,
    Step,
}

impl SegmentType {
    pub(super) fn from_register(value: u16) -> Option<Self> {
        [Self::End, Self::RampRate, Self::RampTime, Self::Dwell, Self::Step].get(usize::from(value)).copied()
    }
}

/// One segment. Rate, time and dwell share one register; which one it shows depends on the type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Segment {
    pub(super) kind: SegmentType,
    pub(super) target: i16,
    pub(super) rate: u16,
    pub(super) time: u16,
    pub(super) dwell: u16,
}

impl Segment {
    /// The value behind the shared register, if the type gives it a meaning.
    pub(super) fn shared(&mut self) -> Option<&mut u16> {
        match self.kind {
            SegmentType::RampRate => Some(&mut self.rate),
            SegmentType::RampTime => Some(&mut self.time),
            SegmentType::Dwell => Some(&mut self.dwell),
            SegmentType::End | SegmentType::Step => None,
        }
    }
}

/// What happens after the last segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EndType {
    #[default]
    Dwell,
    Reset,
    Track,
}

/// One programme.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// 0 s, 1 min, 2 h.
    pub(super) ramp_units: u16,
    pub(super) dwell_units: u16,
    pub(super) end: EndType,
    pub(super) segments: [Segment; SEGMENTS],
}

impl Default for Program {
    fn default() -> Self {
        Self { ramp_units: 1, dwell_units: 1, end: EndType::Dwell, segments: [Segment::default(); SEGMENTS] }
    }
}

/// Mode register 23.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Reset = 1,
    Run = 2,
    Hold = 4,
    Complete = 16,
}

/// What an advance brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Going,
    Completed,
}

/// The programme that runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Programmer {
    pub(super) mode: Mode,
    /// Segment that runs, from 1; 0 in reset.
    pub(super) segment: usize,
    pub(super) setpoint_c: f64,
    program: Program,
    scale: f64,
    segment_start_c: f64,
    segment_end_c: f64,
    segment_s: f64,
    elapsed_s: f64,
    since_s: f64,
}

impl Programmer {
    /// Starts a programme at the present temperature (servo to PV).
    pub(super) fn start(&mut self, program: Program, pv_c: f64, scale: f64, now_s: f64) -> Progress {
        *self = Self { mode: Mode::Run, program, scale, setpoint_c: pv_c, since_s: now_s, ..Self::default() };
        self.enter(1)
    }

    pub(super) fn reset(&mut self) {
        (self.mode, self.segment) = (Mode::Reset, 0);
    }

    pub(super) fn hold(&mut self, now_s: f64) {
        if self.mode == Mode::Run {
            self.elapse(now_s);
            self.mode = Mode::Hold;
        }
    }

    pub(super) fn resume(&mut self, now_s: f64) {
        if self.mode == Mode::Hold {
            self.mode = Mode::Run;
            self.since_s = now_s;
        }
    }

    /// Remaining time of the segment, seconds.
    pub(super) fn time_left_s(&self, now_s: f64) -> f64 {
        match self.mode {
            Mode::Run => (self.segment_s - self.elapsed_s - (now_s - self.since_s)).max(0.0),
            Mode::Hold => (self.segment_s - self.elapsed_s).max(0.0),
            Mode::Reset | Mode::Complete => 0.0,
        }
    }

    pub(super) fn next_event_s(&self) -> Option<f64> {
        if self.mode != Mode::Run {
            return None;
        }
        let end_s = self.since_s + (self.segment_s - self.elapsed_s).max(0.0);
        let moving = self.segment_start_c != self.segment_end_c;
        Some(if moving { end_s.min(self.since_s + STEP_S) } else { end_s })
    }

    /// Moves the set point on to now.
    pub(super) fn advance(&mut self, now_s: f64) -> Progress {
        if self.mode != Mode::Run {
            return Progress::Going;
        }
        self.elapse(now_s);
        // A nanosecond of rounding must not leave a segment unfinished for ever.
        if self.elapsed_s + 1e-9 >= self.segment_s {
            self.setpoint_c = self.segment_end_c;
            return self.enter(self.segment + 1);
        }
        let way = self.elapsed_s / self.segment_s;
        self.setpoint_c = self.segment_start_c + (self.segment_end_c - self.segment_start_c) * way;
        Progress::Going
    }

    fn elapse(&mut self, now_s: f64) {
        self.elapsed_s += now_s - self.since_s;
        self.since_s = now_s;
    }

    fn enter(&mut self, first: usize) -> Progress {
        for number in first..=SEGMENTS {
            let segment = self.program.segments[number - 1];
            let target_c = f64::from(segment.target) / self.scale;
            let duration_s = match segment.kind {
                SegmentType::End => return self.complete(),
                SegmentType::Step => 0.0,
                SegmentType::Dwell => f64::from(segment.dwell) * unit_s(self.program.dwell_units),
                SegmentType::RampTime => f64::from(segment.time) * unit_s(self.program.ramp_units),
                // The rate register carries one decimal. A rate of zero means: as a step.
                SegmentType::RampRate if segment.rate == 0 => 0.0,
                SegmentType::RampRate => {
                    let per_unit_c = f64::from(segment.rate) / 10.0;
                    (target_c - self.setpoint_c).abs() / per_unit_c * unit_s(self.program.ramp_units)
                }
            };
            let holds = segment.kind == SegmentType::Dwell;
            self.segment = number;
            self.segment_start_c = self.setpoint_c;
            self.segment_end_c = if holds { self.setpoint_c } else { target_c };
            (self.segment_s, self.elapsed_s) = (duration_s, 0.0);
            if duration_s > 0.0 {
                return Progress::Going;
            }
            self.setpoint_c = self.segment_end_c;
        }
        self.complete()
    }

    fn complete(&mut self) -> Progress {
        match self.program.end {
            EndType::Reset => self.reset(),
            EndType::Dwell | EndType::Track => self.mode = Mode::Complete,
        }
        Progress::Completed
    }
}

fn unit_s(units: u16) -> f64 {
    match units {
        0 => 1.0,
        1 => 60.0,
        _ => 3600.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(segments: &[Segment], end: EndType) -> Program {
        let mut program = Program { end, ..Program::default() };
        program.segments[..segments.len()].copy_from_slice(segments);
        program
    }

    #[test]
    fn ramp_and_dwell_take_their_time() {
        let ramp = Segment { kind: SegmentType::RampRate, target: 1450, rate: 120, ..Segment::default() };
        let dwell = Segment { kind: SegmentType::Dwell, dwell: 10, ..Segment::default() };
        let mut programmer = Programmer::default();
        programmer.start(program(&[ramp, dwell], EndType::Dwell), 25.0, 10.0, 100.0);
        // 120 K at 12 K/min is ten minutes.
        assert!((programmer.time_left_s(100.0) - 600.0).abs() < 1e-9);
        let mut events = 0;
        let mut ended_s = 0.0;
        while let Some(due_s) = programmer.next_event_s() {
            events += 1;
            assert!(events < 1000);
            if programmer.advance(due_s) == Progress::Completed {
                ended_s = due_s;
            }
            if events == 300 {
                assert!((programmer.setpoint_c - 85.0).abs() < 0.01, "{}", programmer.setpoint_c);
            }
        }
        assert!((ended_s - 1300.0).abs() < 1e-6, "{ended_s}");
        assert_eq!((programmer.mode, programmer.setpoint_c), (Mode::Complete, 145.0));
    }

    #[test]
    fn a_hold_stops_the_time_of_the_segment() {
        let dwell = Segment { kind: SegmentType::Dwell, dwell: 1, ..Segment::default() };
        let mut programmer = Programmer::default();
        programmer.start(program(&[dwell], EndType::Reset), 25.0, 1.0, 0.0);
        programmer.hold(20.0);
        assert_eq!(programmer.next_event_s(), None);
        programmer.resume(500.0);
        assert_eq!(programmer.next_event_s(), Some(540.0));
        assert_eq!(programmer.advance(540.0), Progress::Completed);
        assert_eq!(programmer.mode, Mode::Reset);
    }

    #[test]
    fn an_empty_programme_completes_at_once() {
        let mut programmer = Programmer::default();
        assert_eq!(programmer.start(Program::default(), 25.0, 1.0, 0.0), Progress::Completed);
    }
}
