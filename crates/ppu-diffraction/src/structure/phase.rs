use super::{Cell, Element, Reflection, Scattering, SpaceGroup, StructureError, Tube, reflections};

/// Atoms per cubic ångström and g/mol to g/cm³: 1e24 Å³/cm³ divided by Avogadro's number.
const GRAMS_PER_CM3: f64 = 1.660_539_07;
/// Images of a site closer than this in fractional coordinates are one atom: files print 0.3333 for 1/3.
const SAME_POINT: f64 = 1e-3;
/// Displacement parameters above this are a mistake such as U given in pm².
const LARGEST_B: f64 = 100.0;
/// A molecule on one site (formamidinium carries five H) stays below this.
const LARGEST_OCCUPANCY: f64 = 20.0;

/// An element on a site with its occupancy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occupant {
    /// The element.
    pub element: Element,
    /// Atoms of this element on the site, averaged over the crystal. May exceed 1 where a whole molecule that turns
    /// freely is gathered at one point (formamidinium: C 1, N 2, H 5).
    pub occupancy: f64,
}

/// A crystallographic site: position, isotropic displacement and what stands there.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Label for messages.
    pub label: String,
    /// Fractional coordinates.
    pub position: [f64; 3],
    /// Everything that shares the site.
    pub occupants: Vec<Occupant>,
    /// Isotropic displacement B = 8π²⟨u²⟩ in Å². With [`Site::u_aniso`] it is not used.
    pub b_iso: f64,
    /// Anisotropic displacement U11, U22, U33, U12, U13, U23 in Å² in the convention of CIF, in place of `b_iso`.
    pub u_aniso: Option<[f64; 6]>,
}

impl Site {
    /// A site with several occupants, each an element and its occupancy; occupancies of zero are dropped.
    #[must_use]
    pub fn new(label: &str, position: [f64; 3], occupants: &[(Element, f64)], b_iso: f64) -> Self {
        let occupants = occupants
            .iter()
            .filter(|(_, occupancy)| *occupancy != 0.0)
            .map(|&(element, occupancy)| Occupant { element, occupancy })
            .collect();
        Self { label: label.to_owned(), position, occupants, b_iso, u_aniso: None }
    }

    /// The same site with anisotropic displacement U11, U22, U33, U12, U13, U23 in Å².
    #[must_use]
    pub fn with_u_aniso(self, u: [f64; 6]) -> Self {
        Self { u_aniso: Some(u), ..self }
    }
}

/// One atom of an orbit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Image {
    /// Fractional coordinates from 0 to 1.
    pub(crate) position: [f64; 3],
    /// Rotation of the operation that brought the site here.
    pub(crate) rotation: [[i32; 3]; 3],
}

/// A crystalline phase: a checked cell, the operations of its space group and its sites.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    name: String,
    cell: Cell,
    group: SpaceGroup,
    sites: Vec<Site>,
    orbits: Vec<Vec<Image>>,
    pseudo_equivalent_axes: Vec<[i32; 3]>,
}

impl Phase {
    /// Checks the numbers and generates every atom of the cell.
    ///
    /// # Errors
    /// [`StructureError`] names the cell or the site that cannot be used.
    pub fn new(name: &str, cell: Cell, group: SpaceGroup, sites: Vec<Site>) -> Result<Self, StructureError> {
        cell.check()?;
        if sites.iter().all(|site| site.occupants.is_empty()) {
            return Err(StructureError::NoSites { phase: name.to_owned() });
        }
        for site in &sites {
            check_site(name, site)?;
        }
        let orbits = sites.iter().map(|site| orbit(&group, site.position)).collect();
        Ok(Self { name: name.to_owned(), cell, group, sites, orbits, pseudo_equivalent_axes: Vec::new() })
    }

    /// The same structure in another cell (fractional coordinates kept).
    ///
    /// # Errors
    /// [`StructureError::Cell`].
    pub fn with_cell(&self, cell: Cell) -> Result<Self, StructureError> {
        cell.check()?;
        Ok(Self { cell, ..self.clone() })
    }

    /// The same structure under another name.
    #[must_use]
    pub fn renamed(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Declares lattice planes whose normals were one family before a small distortion lowered the symmetry. A texture
    /// on one of them is then averaged over all: grains choose the axis before the distortion sets in on cooling.
    #[must_use]
    pub fn with_pseudo_equivalent_axes(self, axes: &[[i32; 3]]) -> Self {
        Self { pseudo_equivalent_axes: axes.to_vec(), ..self }
    }

    /// The texture axes to average over when a texture names `axis`.
    pub(crate) fn texture_axes(&self, axis: [i32; 3]) -> Vec<[i32; 3]> {
        if self.pseudo_equivalent_axes.contains(&axis) { self.pseudo_equivalent_axes.clone() } else { vec![axis] }
    }

    /// Name of the phase.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Unit cell.
    #[must_use]
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// Space group.
    #[must_use]
    pub fn group(&self) -> &SpaceGroup {
        &self.group
    }

    /// The asymmetric unit.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Cell volume V in Å³.
    #[must_use]
    pub fn cell_volume_a3(&self) -> f64 {
        self.cell.volume_a3()
    }

    /// Atoms of one element in the cell.
    #[must_use]
    pub fn atoms_per_cell(&self, element: Element) -> f64 {
        self.contents().filter(|(found, _)| *found == element).map(|(_, atoms)| atoms).sum()
    }

    /// Mass of the cell contents Z·M in g/mol, hydrogen included.
    #[must_use]
    pub fn cell_mass_g_per_mol(&self) -> f64 {
        self.contents().map(|(element, atoms)| atoms * element.molar_mass()).sum()
    }

    /// X-ray density in g/cm³.
    #[must_use]
    pub fn density_g_per_cm3(&self) -> f64 {
        GRAMS_PER_CM3 * self.cell_mass_g_per_mol() / self.cell_volume_a3()
    }

    /// Linear attenuation coefficient μ in cm⁻¹ at Cu Kα for the dense crystal.
    #[must_use]
    pub fn linear_attenuation_per_cm(&self) -> f64 {
        self.linear_attenuation_at(Tube::Cu)
    }

    /// Reflections with spacing d ≥ `d_min` Å in the order of falling d; extinct and vanishing ones are left out.
    #[must_use]
    pub fn reflections(&self, d_min: f64) -> Vec<Reflection> {
        self.reflections_with(d_min, &|element| element.scattering(Tube::Cu))
    }

    /// [`Phase::reflections`] with other scattering data, for example of another tube.
    #[must_use]
    pub fn reflections_with(&self, d_min: f64, scattering: &dyn Fn(Element) -> Scattering) -> Vec<Reflection> {
        reflections::list(self, d_min, scattering)
    }

    /// Fractional coordinates from 0 to 1 of every atom of each site in one cell, in the order of [`Phase::sites`].
    pub fn atoms(&self) -> impl Iterator<Item = (&Site, Vec<[f64; 3]>)> {
        let positions = self.orbits.iter().map(|orbit| orbit.iter().map(|image| image.position).collect());
        self.sites.iter().zip(positions)
    }

    /// Every atom of each site, in the order of [`Phase::sites`].
    pub(crate) fn orbits(&self) -> &[Vec<Image>] {
        &self.orbits
    }

    /// Linear attenuation coefficient μ in cm⁻¹ of the dense crystal for the Kα lines of a tube.
    #[must_use]
    pub fn linear_attenuation_at(&self, tube: Tube) -> f64 {
        let absorbed: f64 = self
            .contents()
            .map(|(element, atoms)| atoms * element.molar_mass() * element.mass_attenuation_at(tube))
            .sum();
        GRAMS_PER_CM3 * absorbed / self.cell_volume_a3()
    }

    pub(crate) fn contents(&self) -> impl Iterator<Item = (Element, f64)> + '_ {
        self.sites.iter().zip(&self.orbits).flat_map(|(site, orbit)| {
            site.occupants.iter().map(|occupant| (occupant.element, occupant.occupancy * orbit.len() as f64))
        })
    }
}

fn check_site(phase: &str, site: &Site) -> Result<(), StructureError> {
    let bad = |what| StructureError::Site { phase: phase.to_owned(), site: site.label.clone(), what };
    if !site.position.iter().all(|x| x.is_finite() && x.abs() < 10.0) {
        return Err(bad("position"));
    }
    if !(0.0..=LARGEST_B).contains(&site.b_iso) {
        return Err(bad("displacement parameter"));
    }
    // U = B/8π², so that the largest U is the largest B over 79.
    let fits = |u: [f64; 6]| u.iter().all(|u| u.abs() < LARGEST_B / 79.0) && u[..3].iter().all(|u| *u >= 0.0);
    if !site.u_aniso.is_none_or(fits) {
        return Err(bad("anisotropic displacement parameter"));
    }
    if !site.occupants.iter().all(|occupant| (0.0..=LARGEST_OCCUPANCY).contains(&occupant.occupancy)) {
        return Err(bad("occupancy"));
    }
    Ok(())
}

/// The distinct images of a point in one cell.
fn orbit(group: &SpaceGroup, position: [f64; 3]) -> Vec<Image> {
    let mut points: Vec<Image> = Vec::new();
    for operator in group.operators() {
        let image = operator.apply(position).map(|x| x.rem_euclid(1.0));
        let known = points.iter().any(|point| {
            point.position.iter().zip(&image).all(|(a, b)| {
                let gap = (a - b).abs();
                gap.min(1.0 - gap) < SAME_POINT
            })
        });
        if !known {
            points.push(Image { position: image, rotation: operator.rotation });
        }
    }
    points
}
