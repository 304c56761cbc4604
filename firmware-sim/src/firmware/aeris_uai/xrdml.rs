//! The result file: XRDML 2.1, as the vendor's software writes it.

use std::fmt::Write as _;

use super::Application;

/// Everything that goes into one file.
pub(super) struct ScanRecord<'a> {
    pub(super) id: &'a str,
    pub(super) application: &'a str,
    pub(super) serial: &'a str,
    pub(super) scan: &'a Application,
    pub(super) started_s: f64,
    pub(super) ended_s: f64,
    pub(super) counts: &'a [u64],
}

/// Writes the file's text.
pub(super) fn write(record: &ScanRecord<'_>) -> String {
    let mut text = String::with_capacity(record.counts.len() * 6 + 4096);
    head(&mut text, record);
    optics(&mut text);
    data(&mut text, record);
    text.push_str("\t</xrdMeasurement>\n</xrdMeasurements>\n");
    text
}

fn head(text: &mut String, record: &ScanRecord<'_>) {
    let schema = "http://www.xrdml.com/XRDMeasurement/2.1";
    let _ = write!(
        text,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <xrdMeasurements xmlns=\"{schema}\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:schemaLocation=\"{schema} {schema}/XRDMeasurement.xsd\" status=\"Completed\">\n\
         \t<comment>\n\t\t<entry>Configuration=Aeris, simulated instrument {serial}</entry>\n\t</comment>\n\
         \t<sample type=\"To be analyzed\">\n\t\t<id>{id}</id>\n\t\t<name>{id}</name>\n\t</sample>\n\
         \t<xrdMeasurement measurementType=\"Scan\" status=\"Completed\" sampleMode=\"Reflection\">\n\
         \t\t<comment>\n\t\t\t<entry>Measurement program={application}</entry>\n\t\t</comment>\n",
        serial = record.serial,
        id = record.id,
        application = record.application,
    );
}

fn optics(text: &mut String) {
    text.push_str(
        "\t\t<usedWavelength intended=\"K-Alpha\">\n\
         \t\t\t<kAlpha1 unit=\"Angstrom\">1.5405980</kAlpha1>\n\
         \t\t\t<kAlpha2 unit=\"Angstrom\">1.5444260</kAlpha2>\n\
         \t\t\t<kBeta unit=\"Angstrom\">1.3922500</kBeta>\n\
         \t\t\t<ratioKAlpha2KAlpha1>0.5000</ratioKAlpha2KAlpha1>\n\
         \t\t</usedWavelength>\n\
         \t\t<incidentBeamPath>\n\
         \t\t\t<radius unit=\"mm\">145.00</radius>\n\
         \t\t\t<xRayTube id=\"1\" name=\"Aeris Cu tube\">\n\
         \t\t\t\t<tension unit=\"kV\">40</tension>\n\
         \t\t\t\t<current unit=\"mA\">15</current>\n\
         \t\t\t\t<anodeMaterial>Cu</anodeMaterial>\n\
         \t\t\t\t<focus type=\"Line\">\n\
         \t\t\t\t\t<length unit=\"mm\">10.0</length>\n\
         \t\t\t\t\t<width unit=\"mm\">0.4</width>\n\
         \t\t\t\t\t<takeOffAngle unit=\"deg\">5.1</takeOffAngle>\n\
         \t\t\t\t</focus>\n\
         \t\t\t</xRayTube>\n\
         \t\t\t<filter id=\"2\" name=\"Nickel\">\n\
         \t\t\t\t<thickness unit=\"mm\">0.020</thickness>\n\
         \t\t\t\t<material>Ni</material>\n\
         \t\t\t</filter>\n\
         \t\t\t<sollerSlit id=\"3\" name=\"Soller 0.04 rad\">\n\
         \t\t\t\t<opening unit=\"rad\">0.0400</opening>\n\
         \t\t\t</sollerSlit>\n\
         \t\t</incidentBeamPath>\n\
         \t\t<diffractedBeamPath>\n\
         \t\t\t<radius unit=\"mm\">145.00</radius>\n\
         \t\t\t<detector id=\"4\" name=\"PIXcel1D-Medipix3\" xsi:type=\"pixcel1DDetectorType\">\n\
         \t\t\t\t<phd>\n\t\t\t\t\t<lowerLevel unit=\"%\">25.5</lowerLevel>\n\
         \t\t\t\t\t<upperLevel unit=\"%\">80.0</upperLevel>\n\t\t\t\t</phd>\n\
         \t\t\t\t<mode>Scanning</mode>\n\
         \t\t\t\t<activeLength unit=\"deg\">5.542</activeLength>\n\
         \t\t\t</detector>\n\
         \t\t</diffractedBeamPath>\n",
    );
}

fn data(text: &mut String, record: &ScanRecord<'_>) {
    let scan = record.scan;
    let end_deg = scan.start_deg + scan.step_deg * record.counts.len().saturating_sub(1) as f64;
    let _ = write!(
        text,
        "\t\t<scan appendNumber=\"0\" mode=\"Continuous\" scanAxis=\"Gonio\" status=\"Completed\">\n\
         \t\t\t<header>\n\
         \t\t\t\t<startTimeStamp>{start}</startTimeStamp>\n\
         \t\t\t\t<endTimeStamp>{end}</endTimeStamp>\n\
         \t\t\t\t<author>\n\t\t\t\t\t<name>UAI</name>\n\t\t\t\t</author>\n\
         \t\t\t\t<source>\n\
         \t\t\t\t\t<applicationSoftware version=\"1.0\">Aeris simulator</applicationSoftware>\n\
         \t\t\t\t\t<instrumentControlSoftware version=\"1.0\">Aeris simulator</instrumentControlSoftware>\n\
         \t\t\t\t\t<instrumentID>{serial}</instrumentID>\n\
         \t\t\t\t</source>\n\
         \t\t\t</header>\n\
         \t\t\t<dataPoints>\n\
         \t\t\t\t<positions axis=\"2Theta\" unit=\"deg\">\n\
         \t\t\t\t\t<startPosition>{first:.8}</startPosition>\n\
         \t\t\t\t\t<endPosition>{last:.8}</endPosition>\n\
         \t\t\t\t</positions>\n\
         \t\t\t\t<positions axis=\"Omega\" unit=\"deg\">\n\
         \t\t\t\t\t<startPosition>{half_first:.8}</startPosition>\n\
         \t\t\t\t\t<endPosition>{half_last:.8}</endPosition>\n\
         \t\t\t\t</positions>\n\
         \t\t\t\t<commonCountingTime unit=\"seconds\">{counting:.3}</commonCountingTime>\n\
         \t\t\t\t<counts unit=\"counts\">",
        start = time_stamp(record.started_s),
        end = time_stamp(record.ended_s),
        serial = record.serial,
        first = scan.start_deg,
        last = end_deg,
        half_first = scan.start_deg / 2.0,
        half_last = end_deg / 2.0,
        counting = scan.counting_s,
    );
    for (index, count) in record.counts.iter().enumerate() {
        let gap = if index == 0 { "" } else { " " };
        let _ = write!(text, "{gap}{count}");
    }
    text.push_str("</counts>\n\t\t\t</dataPoints>\n\t\t</scan>\n");
}

/// Simulated time as the instrument's clock shows it; the simulation starts with the year 2026.
fn time_stamp(simulated_s: f64) -> String {
    let seconds = simulated_s.max(0.0).round() as u64;
    let (mut day, mut month, mut year) = (seconds / 86_400, 1, 2026_u64);
    loop {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 => 28 + u64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day < length {
            break;
        }
        day -= length;
        (month, year) = if month == 12 { (1, year + 1) } else { (month + 1, year) };
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}+00:00", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_follow_the_calendar() {
        assert_eq!(time_stamp(0.0), "2026-01-01T00:00:00+00:00");
        assert_eq!(time_stamp(86_400.0 * 59.0 + 3661.0), "2026-03-01T01:01:01+00:00");
        assert_eq!(time_stamp(86_400.0 * 365.0), "2027-01-01T00:00:00+00:00");
    }

    #[test]
    fn the_file_holds_positions_counting_time_and_counts() {
        let scan = Application { start_deg: 10.0, end_deg: 10.04, step_deg: 0.02, scan_s: 1.0, counting_s: 0.5 };
        let record = ScanRecord {
            id: "S01",
            application: "film_fast",
            serial: "SIM-1",
            scan: &scan,
            started_s: 0.0,
            ended_s: 1.0,
            counts: &[5, 0, 17],
        };
        let text = write(&record);
        for wanted in [
            "<counts unit=\"counts\">5 0 17</counts>",
            "<startPosition>10.00000000</startPosition>",
            "<endPosition>10.04000000</endPosition>",
            "<commonCountingTime unit=\"seconds\">0.500</commonCountingTime>",
            "<kAlpha1 unit=\"Angstrom\">1.5405980</kAlpha1>",
            "<id>S01</id>",
        ] {
            assert!(text.contains(wanted), "{wanted}");
        }
        assert_eq!(text.matches("<positions").count(), 2);
    }
}
