//! Small files of each format, for tests of the readers.
#![allow(dead_code, reason = "each test binary uses its own part")]

/// A zip archive with stored members.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 })
        })
    };
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = file.len() as u32;
        let length = (content.len() as u32).to_le_bytes();
        let common =
            [&[0u8; 8][..4], &crc(content).to_le_bytes(), &length, &length, &(name.len() as u16).to_le_bytes()]
                .concat();
        file.extend([&b"PK\x03\x04\x14\0\0\0\0\0"[..], &common, &[0, 0], name.as_bytes(), content].concat());
        let entry = [&b"PK\x01\x02\x14\0\x14\0\0\0\0\0"[..], &common, &[0; 12], &offset.to_le_bytes(), name.as_bytes()];
        directory.extend(entry.concat());
    }
    let count = (members.len() as u16).to_le_bytes();
    let (size, start) = ((directory.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    file.extend(directory);
    file.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &start, &[0, 0]].concat());
    file
}

pub(crate) const BRML_RAW: &str = r#"<?xml version="1.0"?><RawData><MeasurementStatus>Measured</MeasurementStatus><DataRoutes>
    <DataRoute RouteFlag="Measured"><ScanInformation VisibleName="TwoTheta Scan"><MeasurementPoints>3</MeasurementPoints>
    </ScanInformation><Datum>2,1,10,7,4</Datum><Datum>2,8.5,10.5,7,85</Datum><Datum>2,1,11,7,16</Datum><DataViews>
    <RawDataView Start="0" Length="1" LogicName="MeasuredTime"/><RawDataView Start="1" Length="1" LogicName="AbsorptionFactor"/>
    <RawDataView Start="2" Length="2"><Varying><FieldDefinitions AxisId="TwoTheta"/><FieldDefinitions AxisId="Theta"/></Varying>
    </RawDataView><RawDataView Start="4" Length="1"><Recording LogicName="ScanCounter"/></RawDataView></DataViews></DataRoute>
    </DataRoutes><Tube><WaveLengthAlpha1 Unit="A" Value="1.5406"/></Tube></RawData>"#;

pub(crate) const BRML_LIST: &str =
    "<DataContainer><RawDataReferenceList><string>E0/RawData0.xml</string></RawDataReferenceList></DataContainer>";

pub(crate) fn brml_file(data: &[u8]) -> Vec<u8> {
    zip(&[("E0/DataContainer.xml", BRML_LIST.as_bytes()), ("E0/RawData0.xml", data)])
}

pub(crate) const RASX_ROOT: &str = r#"<Root><Data0 Type="Profile"><ContentHashList Name="Profile0.txt"/>
    <ContentHashList Name="MesurementConditions0.xml"/></Data0></Root>"#;
pub(crate) const RASX_CONDITIONS: &str =
    "<MeasurementConditions><ScanInformation><AxisName>TwoTheta</AxisName><Step>0.5</Step>
    <Speed>30</Speed><SpeedUnit>deg/min</SpeedUnit><IntensityUnit>counts</IntensityUnit><DataCount>3</DataCount>
    </ScanInformation></MeasurementConditions>";
pub(crate) const RASX_ROWS: &str = "\u{feff}10.0\t4\t1\r\n10.5\t9\t1\r\n11.0\t16\t1\r\n";

pub(crate) fn rasx_file(rows: &[u8], conditions: &[u8]) -> Vec<u8> {
    zip(&[
        ("root.xml", RASX_ROOT.as_bytes()),
        ("Data0/Profile0.txt", rows),
        ("Data0/MesurementConditions0.xml", conditions),
    ])
}

pub(crate) const RAS: &str = "*RAS_DATA_START\r\n*RAS_HEADER_START\r\n*FILE_SAMPLE \"S 1\"\r\n*MEAS_SCAN_AXIS_X \"TwoThetaTheta\"\r\n\
    *MEAS_DATA_COUNT \"3\"\r\n*MEAS_SCAN_UNIT_Y \"counts\"\r\n*MEAS_SCAN_STEP \"0.5\"\r\n*MEAS_SCAN_SPEED \"30\"\r\n\
    *MEAS_SCAN_SPEED_UNIT \"deg/min\"\r\n*RAS_HEADER_END\r\n*RAS_INT_START\r\n10.0 4 1.0\r\n10.5 9 1.0\r\n11.0 16 1.0\r\n\
    *RAS_INT_END\r\n*RAS_DATA_END\r\n";

pub(crate) fn raw3_file() -> Vec<u8> {
    let mut file = vec![0; 712 + 304];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RAW1.01");
    put(8, &1u32.to_le_bytes());
    put(12, &1u32.to_le_bytes());
    put(326, b"S 1");
    put(624, &1.5406f64.to_le_bytes());
    put(712, &304u32.to_le_bytes());
    put(716, &3u32.to_le_bytes());
    put(712 + 16, &10f64.to_le_bytes());
    put(712 + 176, &0.5f64.to_le_bytes());
    put(712 + 192, &2f32.to_le_bytes());
    put(712 + 252, &4u32.to_le_bytes());
    file.extend([4f32, 9.0, 16.0].iter().flat_map(|value| value.to_le_bytes()));
    file
}

pub(crate) fn raw4_file(kind: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 61];
    file[..7].copy_from_slice(b"RAW4.00");
    let mut name = [&10u32.to_le_bytes()[..], &40u32.to_le_bytes(), &[0; 4], b"SAMPLEID"].concat();
    name.resize(36, 0);
    name.extend(b"S 1\0");
    file.extend(name);
    let mut range = vec![0; 160];
    range[32..32 + kind.len()].copy_from_slice(kind);
    range[72..80].copy_from_slice(&10f64.to_le_bytes());
    range[80..88].copy_from_slice(&0.5f64.to_le_bytes());
    range[88..92].copy_from_slice(&3u32.to_le_bytes());
    range[92..96].copy_from_slice(&2f32.to_le_bytes());
    range[136..140].copy_from_slice(&8u32.to_le_bytes());
    range[140..144].copy_from_slice(&64u32.to_le_bytes());
    file.extend(range);
    let mut drive = [&50u32.to_le_bytes()[..], &64u32.to_le_bytes(), &[2, 0, 0, 0], b"2Theta"].concat();
    drive.resize(56, 0);
    drive.extend(10f64.to_le_bytes());
    file.extend(drive);
    file.extend([4f32, 9.0, 16.0].iter().flat_map(|value| [value.to_le_bytes(), 1u32.to_le_bytes()].concat()));
    file
}

pub(crate) const PDCIF: &str = "data_a_calc\nloop_ _pd_proc_2theta_corrected _pd_proc_intensity_total\n10 1 10.5 2 11 3\n\
    data_a_meas\n_pd_spec_description 'S 1'\n_pd_meas_step_count_time 2\nloop_ _pd_proc_2theta_corrected\n\
    _pd_proc_intensity_total _pd_proc_ls_weight\n10 4 0.25\n10.5 9 0.111111111111111111\n11 16 0.0625\n";
