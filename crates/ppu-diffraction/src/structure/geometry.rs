//! Geometric sums G(h) = Σ exp(2πi h·x) over groups of atoms, by products of powers.

use std::f64::consts::{PI, TAU};
use std::ops::Range;

use super::Phase;
use super::planes::Plane;

/// Rotation that brought an atom from its site, and U of the site in Å².
type Displaced = ([[i32; 3]; 3], [f64; 6]);

/// Atoms of a cell in groups that share scattering and isotropic displacement.
pub(crate) struct Atoms {
    points: Vec<[f64; 3]>,
    /// Rotation and U of each atom, where a group has anisotropic displacement.
    displaced: Vec<Option<Displaced>>,
    groups: Vec<Range<usize>>,
    reciprocal_edges: [f64; 3],
}

impl Atoms {
    /// One group for each list of sites.
    pub(crate) fn new(phase: &Phase, sites: &[Vec<usize>]) -> Self {
        let (mut points, mut displaced, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for members in sites {
            let start = points.len();
            for &site in members {
                for image in &phase.orbits()[site] {
                    points.push(image.position);
                    displaced.push(phase.sites()[site].u_aniso.map(|u| (image.rotation, u)));
                }
            }
            groups.push(start..points.len());
        }
        let g = phase.cell().reciprocal_metric().unwrap_or_else(nalgebra::Matrix3::zeros);
        Self { points, displaced, groups, reciprocal_edges: [0, 1, 2].map(|i| g[(i, i)].sqrt()) }
    }

    /// The sum of every group for every plane, real and imaginary part; planes in the outer order.
    pub(crate) fn sums(&self, planes: &[Plane]) -> Vec<[f64; 2]> {
        let count = self.points.len();
        let tables: [Powers; 3] = std::array::from_fn(|axis| {
            let most = planes.iter().map(|plane| plane.hkl[axis].unsigned_abs()).max().unwrap_or(0);
            Powers::new(self.points.iter().map(|point| point[axis]), most as usize)
        });
        let mut sums = Vec::with_capacity(planes.len() * self.groups.len());
        let (mut re, mut im) = (vec![0.0; count], vec![0.0; count]);
        let mut last = None;
        let mut thermal = vec![1.0; count];
        let any_displaced = self.displaced.iter().any(Option::is_some);
        for plane in planes {
            let [h, k, l] = plane.hkl;
            if last != Some((h, k)) {
                last = Some((h, k));
                let (xr, xi, xs) = tables[0].at(h);
                let (yr, yi, ys) = tables[1].at(k);
                for atom in 0..count {
                    re[atom] = xr[atom] * yr[atom] - xs * ys * xi[atom] * yi[atom];
                    im[atom] = ys * xr[atom] * yi[atom] + xs * xi[atom] * yr[atom];
                }
            }
            let (zr, zi, zs) = tables[2].at(l);
            if any_displaced {
                self.thermal_factors(plane.hkl, &mut thermal);
            }
            for group in &self.groups {
                let range = group.clone();
                let slices = [&re, &im].map(|values| &values[range.clone()]);
                let (zr, zi) = (&zr[range.clone()], &zi[range.clone()]);
                let sum = if any_displaced {
                    weighted_product(slices, [zr, zi], zs, &thermal[range])
                } else {
                    product(slices, [zr, zi], zs)
                };
                sums.push(sum);
            }
        }
        sums
    }

    /// exp(-2π² Σ U_ij a*_i a*_j h'_i h'_j) for each atom, with h' = hᵀR for an atom that R brought from its site.
    fn thermal_factors(&self, hkl: [i32; 3], factors: &mut [f64]) {
        for (factor, displaced) in factors.iter_mut().zip(&self.displaced) {
            let Some((rotation, u)) = displaced else { continue };
            let turned = super::symmetry::turn(hkl, rotation);
            let [x, y, z]: [f64; 3] = std::array::from_fn(|i| f64::from(turned[i]) * self.reciprocal_edges[i]);
            let square =
                u[0] * x * x + u[1] * y * y + u[2] * z * z + 2.0 * (u[3] * x * y + u[4] * x * z + u[5] * y * z);
            *factor = (-2.0 * PI * PI * square).exp();
        }
    }
}

/// Σ (re + i im)(zr + i s zi) in four strands, which the compiler can keep in vector registers.
fn product([re, im]: [&[f64]; 2], [zr, zi]: [&[f64]; 2], sign: f64) -> [f64; 2] {
    let (mut c, mut s) = ([0.0; 4], [0.0; 4]);
    let whole = re.len() / 4 * 4;
    for start in (0..whole).step_by(4) {
        for lane in 0..4 {
            let at = start + lane;
            c[lane] += re[at] * zr[at] - sign * im[at] * zi[at];
            s[lane] += sign * re[at] * zi[at] + im[at] * zr[at];
        }
    }
    for at in whole..re.len() {
        c[at - whole] += re[at] * zr[at] - sign * im[at] * zi[at];
        s[at - whole] += sign * re[at] * zi[at] + im[at] * zr[at];
    }
    [c.iter().sum(), s.iter().sum()]
}

fn weighted_product([re, im]: [&[f64]; 2], [zr, zi]: [&[f64]; 2], sign: f64, weights: &[f64]) -> [f64; 2] {
    let mut sum = [0.0; 2];
    for (at, weight) in weights.iter().enumerate() {
        sum[0] += weight * (re[at] * zr[at] - sign * im[at] * zi[at]);
        sum[1] += weight * (sign * re[at] * zi[at] + im[at] * zr[at]);
    }
    sum
}

/// cos and sin of 2πnx for n = 0 to a highest index, for many x.
struct Powers {
    count: usize,
    re: Vec<f64>,
    im: Vec<f64>,
}

impl Powers {
    fn new(x: impl Iterator<Item = f64>, most: usize) -> Self {
        let (first_im, first_re): (Vec<f64>, Vec<f64>) = x.map(|x| (TAU * x).sin_cos()).unzip();
        let count = first_re.len();
        let (mut re, mut im) = (vec![1.0; count], vec![0.0; count]);
        re.reserve(count * most);
        im.reserve(count * most);
        for n in 1..=most {
            for atom in 0..count {
                let (c, s) = (re[(n - 1) * count + atom], im[(n - 1) * count + atom]);
                re.push(c * first_re[atom] - s * first_im[atom]);
                im.push(c * first_im[atom] + s * first_re[atom]);
            }
        }
        Self { count, re, im }
    }

    /// Real parts, imaginary parts of |n|, and the sign that the imaginary ones take.
    fn at(&self, n: i32) -> (&[f64], &[f64], f64) {
        let start = n.unsigned_abs() as usize * self.count;
        let range = start..start + self.count;
        (&self.re[range.clone()], &self.im[range], if n < 0 { -1.0 } else { 1.0 })
    }
}
