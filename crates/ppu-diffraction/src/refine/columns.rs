//! Which columns of the Jacobian a line adds to.

use super::crystal::PlaneState;
use super::lines::{Line, Shape};
use super::model::{Kind, Model, add};
use crate::kernel::Window;

/// Where the parameters of one phase stand in the list.
pub(super) struct Places {
    zero: Option<usize>,
    displacement: Option<usize>,
    alpha: Option<usize>,
    beta: Option<usize>,
    gamma: Option<usize>,
    ratio: Option<usize>,
    pub(super) axial: Option<usize>,
    size: Option<usize>,
    strain: Option<usize>,
    march: Option<usize>,
    cell: Vec<(usize, usize)>,
    b: Vec<(usize, usize)>,
}

impl Places {
    pub(super) fn new(model: &Model<'_>, phase: usize) -> Self {
        let of = |kind: Kind| model.place_of(kind);
        let crystal = &model.crystals[phase];
        Self {
            zero: of(Kind::Zero),
            displacement: of(Kind::Displacement),
            alpha: of(Kind::Alpha),
            beta: of(Kind::Beta),
            gamma: of(Kind::Gamma),
            ratio: of(Kind::Ratio),
            axial: of(Kind::Axial),
            size: of(Kind::Size(phase)),
            strain: of(Kind::Strain(phase)),
            march: of(Kind::March(phase)),
            cell: (0..crystal.cell_basis.len()).filter_map(|i| Some((i, of(Kind::Cell(phase, i))?))).collect(),
            b: (0..crystal.site_count()).filter_map(|i| Some((i, of(Kind::B(phase, i))?))).collect(),
        }
    }

    /// Parameters that change the height of a line alone.
    pub(super) fn add_intensity(
        &self,
        columns: &mut [Vec<f64>],
        line: &Line,
        scale: f64,
        plane: &PlaneState,
        by_b: &[f64],
        window: &Window,
    ) {
        let mut put = |place: usize, factor: f64| add(&mut columns[place][line.points.clone()], factor, &window.value);
        for &(site, place) in &self.b {
            put(place, scale * by_b[site]);
        }
        if let Some(place) = self.march {
            put(place, scale * plane.strength_by_ln_march);
        }
        if let (Some(place), true) = (self.ratio, line.second) {
            put(place, scale * plane.strength);
        }
    }

    /// Parameters that change its place and shape alone.
    pub(super) fn add_profile(
        &self,
        columns: &mut [Vec<f64>],
        line: &Line,
        shape: &Shape,
        intensity: f64,
        window: &Window,
        model: &Model<'_>,
    ) {
        let tan = line.sin / line.cos;
        let slanted = (shape.alpha + shape.beta * tan) / line.gaussian;
        let shift = -2.0 / model.settings.instrument.radius_mm * 1_f64.to_degrees() * line.cos;
        let mut put = |place: Option<usize>, factor: f64, basis: &[f64]| {
            if let Some(place) = place {
                add(&mut columns[place][line.points.clone()], factor * intensity, basis);
            }
        };
        put(self.zero, 1.0, &window.by_place);
        put(self.displacement, shift, &window.by_place);
        put(self.alpha, shape.alpha * slanted, &window.by_gaussian);
        put(self.beta, tan * slanted, &window.by_gaussian);
        put(self.gamma, (shape.gamma * tan).powi(2) / line.gaussian, &window.by_gaussian);
        put(self.size, line.size, &window.by_lorentzian);
        put(self.strain, line.strain, &window.by_lorentzian);
        put(self.axial, shape.axial, &window.by_axial);
    }

    /// The cell changes everything: place, widths, and through sinθ/λ the height.
    pub(super) fn add_cell(
        &self,
        columns: &mut [Vec<f64>],
        line: &Line,
        scale: f64,
        plane: &PlaneState,
        window: &Window,
        mixed: &mut Vec<f64>,
    ) {
        if self.cell.is_empty() {
            return;
        }
        let theta_by_q = line.sin / line.cos / (2.0 * plane.q);
        let intensity = scale * line.factor * plane.strength * theta_by_q;
        let height = scale * (line.factor * plane.strength_by_q + line.factor_by_theta * plane.strength * theta_by_q);
        let (place, gaussian, lorentzian) =
            (intensity * line.place_by_theta, intensity * line.gaussian_by_theta, intensity * line.lorentzian_by_theta);
        mixed.clear();
        mixed.extend(
            window.value.iter().zip(&window.by_place).zip(&window.by_gaussian).zip(&window.by_lorentzian).map(
                |(((value, by_place), by_gaussian), by_lorentzian)| {
                    height * value + place * by_place + gaussian * by_gaussian + lorentzian * by_lorentzian
                },
            ),
        );
        for &(index, target) in &self.cell {
            add(&mut columns[target][line.points.clone()], plane.q_by_cell[index], mixed);
        }
    }
}
