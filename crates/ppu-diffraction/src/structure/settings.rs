//! Space groups by their Hermann-Mauguin symbol or number, for files that list no operators.

use super::{Cell, SpaceGroup, hall};

/// Number, symbol, extension and Hall symbol of every tabulated setting.
const TABLE: &str = include_str!("space_groups.txt");
/// Names that the table of 1992 gave to groups with glide planes in two directions, and the older ones.
const DOUBLE_GLIDES: [(&str, &str); 5] =
    [("aem2", "abm2"), ("aea2", "aba2"), ("cmce", "cmca"), ("cmme", "cmma"), ("ccce", "ccca")];
/// A cell whose metric changes by less than this share under the rotations of a group belongs to it.
const METRIC_TOLERANCE: f64 = 0.01;
/// Monoclinic groups, whose short symbols leave out the axes without symmetry.
const MONOCLINIC: std::ops::RangeInclusive<u16> = 3..=15;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) number: u16,
    /// Hermann-Mauguin symbol with blanks.
    pub(crate) symbol: &'static str,
    /// Origin choice 1 or 2, axes H or R, or a dash.
    extension: &'static str,
    hall: &'static str,
}

impl Setting {
    /// Symbol with its extension, for example `F d -3 m :2`.
    pub(crate) fn name(&self) -> String {
        if self.extension == "-" { self.symbol.to_owned() } else { format!("{} :{}", self.symbol, self.extension) }
    }

    /// The operations.
    pub(crate) fn group(&self) -> SpaceGroup {
        hall::group(self.symbol, self.hall).expect("a test reads every symbol of the table")
    }
}

fn table() -> impl Iterator<Item = Setting> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut parts = line.split(';');
        let number = parts.next()?.parse().ok()?;
        Some(Setting { number, symbol: parts.next()?, extension: parts.next()?, hall: parts.next()? })
    })
}

/// Every setting that a symbol may mean: both origins and both kinds of axes where it does not tell. Spaces, underscores,
/// brackets and capitals do not matter; short monoclinic, double-glide and old cubic symbols (`F m 3 m`) are understood.
pub(crate) fn by_symbol(symbol: &str) -> Vec<Setting> {
    let (symbol, extension) = split_extension(symbol);
    let mut key = compact(&symbol);
    if let Some((_, old)) = DOUBLE_GLIDES.iter().find(|(new, _)| *new == key) {
        key = (*old).to_owned();
    }
    let wanted = |key: &str| -> Vec<Setting> {
        let fits = |setting: &Setting| extension.is_none_or(|wanted| setting.extension.eq_ignore_ascii_case(wanted));
        let full = |setting: &Setting| compact(setting.symbol) == key;
        let short =
            |setting: &Setting| MONOCLINIC.contains(&setting.number) && compact(&shortened(setting.symbol)) == key;
        let exact: Vec<Setting> = table().filter(|setting| full(setting) && fits(setting)).collect();
        if exact.is_empty() { table().filter(|setting| short(setting) && fits(setting)).collect() } else { exact }
    };
    let found = wanted(&key);
    if !found.is_empty() {
        return found;
    }
    // Before 1983 the inversion of the cubic classes m3 and m3m was not written.
    match key.char_indices().skip(2).find(|(_, letter)| *letter == '3') {
        Some((at, _)) => wanted(&format!("{}-{}", &key[..at], &key[at..])),
        None => found,
    }
}

/// The standard setting of a number, in both origins and both kinds of axes where there are two.
pub(crate) fn by_number(number: u16) -> Vec<Setting> {
    let Some(first) = table().find(|setting| setting.number == number) else { return Vec::new() };
    table().filter(|setting| setting.number == number && setting.symbol == first.symbol).collect()
}

/// True when the rotations of the group leave the lengths and angles of the cell as they are.
pub(crate) fn suits(group: &SpaceGroup, cell: &Cell) -> bool {
    let metric = cell.metric();
    group.laue_rotations().iter().all(|rotation| {
        let r = nalgebra::Matrix3::from_fn(|i, j| f64::from(rotation[i][j]));
        let turned = r.transpose() * metric * r;
        let length = |i: usize| metric[(i, i)].sqrt();
        (0..3)
            .all(|i| (0..3).all(|j| (turned[(i, j)] - metric[(i, j)]).abs() < METRIC_TOLERANCE * length(i) * length(j)))
    })
}

/// The symbol and the origin or axes behind a colon, or the letters S and Z by which some databases tell the origin.
fn split_extension(symbol: &str) -> (String, Option<&str>) {
    if let Some((symbol, extension)) = symbol.split_once(':') {
        return (symbol.to_owned(), Some(extension.trim()));
    }
    match symbol.trim().rsplit_once(' ') {
        Some((rest, "S" | "s")) => (rest.to_owned(), Some("1")),
        Some((rest, "Z" | "z")) => (rest.to_owned(), Some("2")),
        Some((rest, letter @ ("H" | "h" | "R" | "r"))) => (rest.to_owned(), Some(letter)),
        _ => (symbol.to_owned(), None),
    }
}

fn compact(symbol: &str) -> String {
    symbol
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '_' | '(' | ')' | '\t'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// `P 1 21/c 1` without the directions that carry no symmetry.
fn shortened(symbol: &str) -> String {
    symbol.split(' ').filter(|part| *part != "1").collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_table_is_a_group_of_its_order() {
        let mut numbers = std::collections::BTreeSet::new();
        let mut sum = 0;
        for setting in table() {
            let group = setting.group();
            let lattice = group.centring().len() + 1;
            let order = group.operators().len();
            assert_eq!(order % lattice, 0, "{}", setting.name());
            assert!(matches!(order / lattice, 1 | 2 | 3 | 4 | 6 | 8 | 12 | 16 | 24 | 48), "{}", setting.name());
            numbers.insert(setting.number);
            sum += order;
        }
        assert_eq!(numbers.into_iter().collect::<Vec<_>>(), (1..=230).collect::<Vec<u16>>());
        assert_eq!(table().count(), 564);
        assert_eq!(sum, 7740);
    }

    #[test]
    fn operations_of_every_setting_are_those_of_an_independent_program() {
        // FNV-1a over rotations and translations (in 1/24) of gemmi 0.7.5, in the order of the table, sorted in each setting.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for setting in table() {
            for operator in setting.group().operators() {
                for number in operator.rotation.as_flattened().iter().chain(&operator.translation) {
                    hash = (hash ^ u64::from(*number as u8)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
        assert_eq!(hash, 0xfc12_e265_31ed_efcb);
    }

    #[test]
    fn settings_of_one_number_have_one_point_group() {
        for number in 1..=230 {
            let of = |setting: &Setting| {
                let group = setting.group();
                let mut traces: Vec<i32> =
                    group.operators().iter().map(|o| (0..3).map(|i| o.rotation[i][i]).sum()).collect();
                traces.sort_unstable();
                let step = group.centring().len() + 1;
                traces.into_iter().step_by(step).collect::<Vec<_>>()
            };
            let all: Vec<Vec<i32>> = table().filter(|setting| setting.number == number).map(|s| of(&s)).collect();
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{number}");
        }
    }

    #[test]
    fn symbols_are_found_in_every_usual_spelling() {
        for (symbol, number, settings) in [
            ("P m 3 m", 221, 1),
            ("Fm-3m", 225, 1),
            ("F d 3 m", 227, 2),
            ("F d -3 m :2", 227, 1),
            ("Fd-3m S", 227, 1),
            ("P 21/c", 14, 2),
            ("P 1 21/c 1", 14, 1),
            ("P 6_3/m m c", 194, 1),
            ("P 6(3) m c", 186, 1),
            ("R -3 c", 167, 2),
            ("R -3 m H", 166, 1),
            ("I a 3", 206, 1),
            ("C m c e", 64, 1),
            ("P b n m", 62, 1),
            ("I 41/a m d", 141, 2),
            ("nonsense", 0, 0),
            ("3", 0, 0),
            ("", 0, 0),
        ] {
            let found = by_symbol(symbol);
            assert_eq!(found.len(), settings, "{symbol}: {found:?}");
            assert!(found.iter().all(|setting| setting.number == number), "{symbol}: {found:?}");
        }
        assert_eq!(by_number(227).len(), 2);
        assert_eq!(by_number(62).first().map(Setting::name), Some("P n m a".to_owned()));
        assert!(by_number(231).is_empty() && by_number(0).is_empty());
    }

    #[test]
    fn a_cell_suits_only_groups_of_its_system() {
        let group = |symbol: &str| by_symbol(symbol)[0].group();
        assert!(suits(&group("P m -3 m"), &Cell::cubic(4.0)));
        assert!(!suits(&group("P m -3 m"), &Cell::tetragonal(4.0, 4.2)));
        assert!(suits(&group("R -3 c :H"), &Cell::hexagonal(4.76, 12.99)));
        assert!(!suits(&group("R -3 c :R"), &Cell::hexagonal(4.76, 12.99)));
        let monoclinic = Cell { beta: 99.0, ..Cell::orthorhombic(5.0, 6.0, 7.0) };
        assert!(suits(&group("P 1 21/c 1"), &monoclinic) && !suits(&group("P 1 1 21/a"), &monoclinic));
    }
}
