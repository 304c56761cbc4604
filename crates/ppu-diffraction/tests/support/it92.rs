//! Other form factors than the crate's own: International Tables 1992, volume C, table 6.1.1.4 (four Gaussians), as the
//! program that calculated the reference lists has them. They serve to compare |F|² with equal coefficients.

use ppu_diffraction::structure::{Element, Scattering};

/// Form factor of an element with the given f', f''; nothing for an element that no list holds.
pub(crate) fn scattering(element: Element, [f1, f2]: [f64; 2]) -> Option<Scattering> {
    let (a, b, offset) = match element {
        Element::B => ([2.0545, 1.3326, 1.0979, 0.7068], [23.2185, 1.021, 60.3498, 0.1403], -0.1932),
        Element::O => ([3.0485, 2.2868, 1.5463, 0.867], [13.2771, 5.7011, 0.3239, 32.9089], 0.2508),
        Element::F => ([3.5392, 2.6412, 1.517, 1.0243], [10.2825, 4.2944, 0.2615, 26.1476], 0.2776),
        Element::Na => ([4.7626, 3.1736, 1.2674, 1.1128], [3.285, 8.8422, 0.3136, 129.424], 0.676),
        Element::Si => ([6.2915, 3.0353, 1.9891, 1.541], [2.4386, 32.3337, 0.6785, 81.6937], 1.1407),
        Element::Cl => ([11.4604, 7.1964, 6.2556, 1.6455], [0.0104, 1.1662, 18.5194, 47.7784], -9.5574),
        Element::Ca => ([8.6266, 7.3873, 1.5899, 1.0211], [10.4421, 0.6599, 85.7484, 178.437], 1.3751),
        Element::Ti => ([9.7595, 7.3558, 1.6991, 1.9021], [7.8508, 0.5, 35.6338, 116.105], 1.2807),
        Element::Zn => ([14.0743, 7.0318, 5.1652, 2.41], [3.2655, 0.2333, 10.3163, 58.7097], 1.3041),
        Element::I => ([20.1472, 18.9949, 7.5138, 2.2735], [4.347, 0.3814, 27.766, 66.8776], 4.0712),
        Element::Cs => ([20.3892, 19.1062, 10.662, 1.4953], [3.569, 0.3107, 24.3879, 213.904], 3.3352),
        Element::La => ([20.578, 19.599, 11.3727, 3.28719], [2.94817, 0.244475, 18.7726, 133.124], 2.14678),
        Element::Pb => ([31.0617, 13.0637, 18.442, 5.9696], [0.6902, 2.3576, 8.618, 47.2579], 13.4118),
        _ => return None,
    };
    let fifth = |[x, y, z, t]: [f64; 4]| [x, y, z, t, 0.0];
    Some(Scattering { offset, scale: fifth(a), exponent: fifth(b), f1, f2 })
}
