//! The excitonic fit of the tallest edge with everything it determines.

use super::fit::{self, EdgeFit, Ground};
use super::{BandGapError, GapFlag, GapSettings, binding_trend, bins, edges, flags, tallest};
use crate::absorbance::Absorbance;
use crate::raw::Estimate;

/// A quantity whose uncertainty is more than this share of its prior's was told by the prior.
const TOLD_BY_PRIOR: f64 = 0.7;

/// Parameters of the tallest edge by Elliott's model.
#[derive(Debug, Clone, PartialEq)]
pub struct ElliottFit {
    /// Optical gap in eV.
    pub gap_ev: Estimate,
    /// Exciton binding energy in eV.
    pub binding_ev: Estimate,
    /// Standard deviation of the broadening in eV.
    pub broadening_ev: Estimate,
    /// Urbach energy in eV as far as the edge itself tells; see [`super::urbach_tail`] for the tail alone.
    pub urbach_ev: Estimate,
    /// Absorbance 0.3 eV above the continuum edge.
    pub step: f64,
    /// Reduced χ².
    pub reduced_chi_squared: f64,
    /// What else to know: among them each quantity that rests on its prior.
    pub flags: Vec<GapFlag>,
}

/// Fits the tallest edge with Elliott's model, broadened, with an Urbach tail, on a straight background. At room temperature
/// binding energy, broadening and tail of a film are nearly degenerate: what the data do not tell is flagged.
///
/// # Errors
/// As [`super::band_gap`].
pub fn elliott(absorbance: &Absorbance, settings: &GapSettings) -> Result<ElliottFit, BandGapError> {
    let bins = bins(absorbance, settings)?;
    let found = edges::find(&bins, settings.smallest_edge)?;
    let main = tallest(&found);
    let binding = settings.binding_ev.unwrap_or_else(|| binding_trend(main.energy_ev));
    let fit = fit::fit(&bins, main.energy_ev, binding, fit::WIDE, Ground::Straight, None)?;
    let narrow = fit::fit(&bins, main.energy_ev, binding, fit::NARROW, Ground::Straight, Some(fit.p)).ok();
    let estimate = |of: &dyn Fn(&EdgeFit) -> (f64, f64)| {
        let (value, u_stat) = of(&fit);
        let spread = narrow.as_ref().map_or(0.0, |narrow| (of(narrow).0 - value).abs() / 3f64.sqrt());
        Estimate { value, u_stat, u_total: u_stat.hypot(spread) }
    };
    let mut flags = flags(absorbance, &bins, &found, main, fit.step);
    if fit.reduced_chi_squared > 4.0 && fit.rms > 0.02 * fit.step {
        flags.push(GapFlag::PoorFit { reduced_chi_squared: fit.reduced_chi_squared, rms: fit.rms });
    }
    for (what, share) in ["Urbach energy", "broadening", "exciton binding energy"].into_iter().zip(fit.prior_share) {
        if share > TOLD_BY_PRIOR {
            flags.push(GapFlag::FromPrior { what });
        }
    }
    Ok(ElliottFit {
        gap_ev: estimate(&|fit| (fit.gap_ev, fit.u_gap_ev)),
        binding_ev: estimate(&|fit| (fit.binding_ev, fit.u_binding_ev)),
        broadening_ev: estimate(&|fit| (fit.broadening_ev, fit.u_broadening_ev)),
        urbach_ev: estimate(&|fit| (fit.urbach_ev, fit.u_urbach_ev)),
        step: fit.step,
        reduced_chi_squared: fit.reduced_chi_squared,
        flags,
    })
}
