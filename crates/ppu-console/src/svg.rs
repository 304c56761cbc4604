//! Plots as SVG text: pure functions, drawn with classes so that one style sheet serves light, dark and print, and a strict
//! content security policy holds.

use std::fmt::Write as _;

use crate::view::format::fixed;

/// A linear axis with round ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    min: f64,
    max: f64,
    step: f64,
}

/// What a point stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A measured value.
    Measured,
    /// The measured value of the best trial.
    Best,
    /// A value that is only expected: its trial has not been measured.
    Expected,
}

/// One value of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Place on the vertical axis.
    pub y: f64,
    /// Standard uncertainty of `y`; zero draws no bar.
    pub sd: f64,
    /// What it stands for.
    pub mark: Mark,
    /// What a pointer over it tells.
    pub title: String,
}

/// A plot of values against a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// Name of the horizontal axis.
    pub x_label: String,
    /// What the plot shows, for those who do not see it.
    pub description: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Values.
    pub points: Vec<Point>,
    /// A stair through these, held to the right until the next: the best so far.
    pub stair: Vec<(f64, f64)>,
    /// Where the stair ends on the horizontal axis.
    pub stair_end: f64,
    /// A line across, with its label: the goal.
    pub goal: Option<(f64, String)>,
    /// Limits between which the goal is fully met.
    pub band: Option<(f64, f64)>,
}

const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 36.0;

impl Axis {
    /// The axis with exactly these ends.
    pub fn exact(min: f64, max: f64, ticks: u32) -> Self {
        let max = if max > min { max } else { min + 1.0 };
        Self { min, max, step: round_step((max - min) / f64::from(ticks.max(1))) }
    }

    /// The axis of trial numbers, from 0 to a little beyond the last one, with whole steps.
    pub fn counting(last: u32) -> Self {
        let max = f64::from(last.max(5)) + 0.5;
        Self { min: 0.0, max, step: round_step(max / 6.0).max(1.0).round() }
    }

    /// The axis that shows all of these values with a margin, its ends on ticks.
    pub fn around(values: impl IntoIterator<Item = f64>, ticks: u32) -> Self {
        let (min, max) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)));
        if min > max {
            return Self::exact(0.0, 1.0, ticks);
        }
        let width = (max - min).max(min.abs().max(max.abs()) * 1e-3).max(1e-9);
        let step = round_step(width * 1.1 / f64::from(ticks.max(1)));
        let (low, high) = ((min / step).floor() * step, (max / step).ceil() * step);
        Self { min: low, max: if high > low { high } else { low + step }, step }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.min) / (self.max - self.min)
    }

    fn ticks(&self) -> Vec<f64> {
        let first = (self.min / self.step - 1e-9).ceil();
        // The bound keeps a degenerate axis from drawing without end.
        (0..40)
            .map(|index| (first + f64::from(index)) * self.step)
            .take_while(|tick| *tick <= self.max + self.step * 1e-6)
            .collect()
    }

    fn decimals(&self) -> usize {
        (-self.step.log10().floor()).clamp(0.0, 6.0) as usize
    }
}

impl Chart {
    /// The plot as an SVG element.
    pub fn svg(&self) -> String {
        let mut out = String::with_capacity(4096);
        let (width, height) = (self.width, self.height);
        let description = escape(&self.description);
        let _ = write!(
            out,
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{description}\"><title>{description}</title>"
        );
        self.draw_frame(&mut out);
        self.draw_goal(&mut out);
        self.draw_stair(&mut out);
        for point in &self.points {
            self.draw_point(&mut out, point);
        }
        out.push_str("</svg>");
        out
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (self.width - LEFT - RIGHT)
    }

    fn at_y(&self, value: f64) -> f64 {
        // Values outside are drawn at the edge; the title of the point tells the number.
        self.height - BOTTOM - self.y.share(value).clamp(-0.02, 1.02) * (self.height - TOP - BOTTOM)
    }

    fn draw_frame(&self, out: &mut String) {
        let (left, right, base) = (LEFT, self.width - RIGHT, self.height - BOTTOM);
        for tick in self.y.ticks() {
            let y = self.at_y(tick);
            let text = fixed(tick, self.y.decimals());
            let _ = write!(out, "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>");
            let _ = write!(out, "<text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", left - 8.0, y + 4.0);
        }
        for tick in self.x.ticks() {
            let x = self.at_x(tick);
            let text = fixed(tick, self.x.decimals());
            let _ = write!(out, "<path class=\"axis\" d=\"M{x:.1} {base}v4\"/>");
            let _ = write!(out, "<text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>", base + 16.0);
        }
        let _ = write!(out, "<path class=\"axis\" d=\"M{left} {base}H{right}\"/>");
        let _ = write!(out, "<text class=\"label\" x=\"0\" y=\"12\">{}</text>", escape(&self.y_label));
        let _ = write!(
            out,
            "<text class=\"tick end\" x=\"{right}\" y=\"{:.1}\">{}</text>",
            self.height - 4.0,
            escape(&self.x_label)
        );
    }

    fn draw_goal(&self, out: &mut String) {
        let (left, right) = (LEFT, self.width - RIGHT);
        if let Some((low, high)) = self.band {
            let (top, bottom) = (self.at_y(high), self.at_y(low));
            let _ = write!(
                out,
                "<rect class=\"band\" x=\"{left}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                right - left,
                (bottom - top).max(1.0)
            );
        }
        if let Some((value, label)) = &self.goal {
            let y = self.at_y(*value);
            let _ = write!(out, "<path class=\"goal\" d=\"M{left} {y:.1}H{right}\"/>");
            let _ = write!(out, "<text class=\"tick end goal-label\" x=\"{right}\" y=\"12\">{}</text>", escape(label));
        }
    }

    fn draw_stair(&self, out: &mut String) {
        let Some((first, rest)) = self.stair.split_first() else { return };
        let _ = write!(out, "<path class=\"stair\" d=\"M{:.1} {:.1}", self.at_x(first.0), self.at_y(first.1));
        for (x, y) in rest {
            let _ = write!(out, "H{:.1}V{:.1}", self.at_x(*x), self.at_y(*y));
        }
        let _ = write!(out, "H{:.1}\"/>", self.at_x(self.stair_end));
    }

    fn draw_point(&self, out: &mut String, point: &Point) {
        if !(point.x.is_finite() && point.y.is_finite()) {
            return;
        }
        let (x, y) = (self.at_x(point.x), self.at_y(point.y));
        let class = match point.mark {
            Mark::Measured => "measured",
            Mark::Best => "best",
            Mark::Expected => "expected",
        };
        let _ = write!(out, "<g class=\"point {class}\"><title>{}</title>", escape(&point.title));
        if point.sd.is_finite() && point.sd > 0.0 {
            let (top, bottom) = (self.at_y(point.y + point.sd), self.at_y(point.y - point.sd));
            let _ = write!(out, "<path class=\"sd\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>");
        }
        match point.mark {
            // A diamond and a larger size tell the best trial without colour.
            Mark::Best => {
                let _ = write!(out, "<path d=\"M{x:.1} {:.1}l5 5-5 5-5-5z\"/>", y - 5.0);
            }
            _ => {
                let _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
            }
        }
        out.push_str("</g>");
    }
}

/// A horizontal bar filled to this share, 0 to 1.
pub fn share_bar(share: f64) -> String {
    let filled = if share.is_finite() { share.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" width=\"100\" height=\"4\"/><rect class=\"fill\" width=\"{filled:.1}\" height=\"4\"/></svg>"
    )
}

/// A bar from `start` to `end`, shares of the width of a timeline, 0 to 1.
pub fn span_bar(start: f64, end: f64, class: &str) -> String {
    let start = if start.is_finite() { start.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    let end = if end.is_finite() { end.clamp(0.0, 1.0) * 100.0 } else { start };
    let class = escape(class);
    format!(
        "<svg class=\"span {class}\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" y=\"3\" width=\"100\" height=\"2\"/><rect class=\"fill\" x=\"{start:.2}\" width=\"{:.2}\" height=\"8\"/></svg>",
        (end - start).max(0.6)
    )
}

/// A plot as a file of its own: with its style inside, and a name space.
pub fn standalone(svg: &str) -> String {
    const STYLE: &str = "<style>svg{font:12px sans-serif;background:#fff}.grid,.axis,.goal,.stair,.sd{fill:none;stroke:#c8ced2}\
        .axis{stroke:#5b656c}.goal{stroke:#22282c;stroke-dasharray:4 4}.band{fill:#e4e8ea}.stair{stroke:#1d5fa6;stroke-width:2}\
        .sd{stroke:#8a949b}.measured{fill:#6c767d}.best{fill:#1d5fa6}.expected circle{fill:#fff;stroke:#6c767d}\
        .end{text-anchor:end}.middle{text-anchor:middle}</style>";
    match svg.find('>') {
        Some(end) => format!("{} xmlns=\"http://www.w3.org/2000/svg\">{STYLE}{}", &svg[..end], &svg[end + 1..]),
        None => String::new(),
    }
}

fn round_step(raw: f64) -> f64 {
    if !(raw.is_finite() && raw > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| raw / power <= factor + 1e-9).unwrap_or(10.0);
    factor * power
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart {
            width: 320.0,
            height: 200.0,
            y_label: "score".into(),
            x_label: "trial".into(),
            description: "best <so far>".into(),
            x: Axis::counting(8),
            y: Axis::exact(0.0, 1.0, 4),
            points: vec![
                Point { x: 1.0, y: 0.2, sd: 0.05, mark: Mark::Measured, title: "trial 1".into() },
                Point { x: 2.0, y: 0.7, sd: 0.0, mark: Mark::Best, title: "trial 2".into() },
                Point { x: 3.0, y: f64::NAN, sd: 0.0, mark: Mark::Measured, title: "not drawn".into() },
            ],
            stair: vec![(1.0, 0.2), (2.0, 0.7)],
            stair_end: 3.0,
            goal: Some((0.9, "wanted 0.9".into())),
            band: Some((0.85, 0.95)),
        }
    }

    #[test]
    fn a_chart_is_as_approved() {
        insta::assert_snapshot!(chart().svg().replace("><", ">\n<"));
    }

    #[test]
    fn a_chart_escapes_and_styles_nothing_inline() {
        let svg = chart().svg();
        assert!(svg.contains("best &lt;so far&gt;") && !svg.contains("style=") && !svg.contains("NaN"));
        assert!(!svg.contains("not drawn"));
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let axis = Axis::around([1.613, 1.742], 4);
        assert_eq!(
            axis.ticks().iter().map(|tick| fixed(*tick, axis.decimals())).collect::<Vec<_>>(),
            ["1.60", "1.65", "1.70", "1.75"]
        );
        assert_eq!(Axis::around([f64::NAN], 4), Axis::exact(0.0, 1.0, 4), "nothing to show still gives an axis");
        assert!(Axis::around([5.0, 5.0], 4).ticks().len() >= 2);
    }

    #[test]
    fn a_file_of_its_own_has_a_name_space() {
        let file = standalone(&chart().svg());
        assert!(file.starts_with("<svg class=\"plot\"") && file.contains("xmlns=") && file.contains("<style>"));
    }
}
