//! A fitted pattern as SVG: observed points, calculated line, background, line positions of each phase, difference.

use std::fmt::Write as _;

/// Size of the drawing and of its parts in pixels.
const WIDTH: f64 = 1200.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 1176.0;
const TOP: f64 = 52.0;
const MAIN_HEIGHT: f64 = 430.0;
const ROW: f64 = 20.0;
const DIFFERENCE_HEIGHT: f64 = 120.0;
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b"];

/// Columns of equal length.
pub(super) struct Curves<'a> {
    pub(super) x: &'a [f64],
    pub(super) observed: &'a [f64],
    pub(super) calculated: &'a [f64],
    pub(super) background: &'a [f64],
}

/// The drawing. `rows` are the phases: label and line positions in degrees. Intensities are drawn over their square root,
/// so that weak lines show and noise has the same height everywhere.
pub(super) fn svg(title: &str, curves: &Curves<'_>, rows: &[(String, Vec<f64>)]) -> String {
    let (first, last) = (curves.x[0], curves.x[curves.x.len() - 1]);
    let across = |x: f64| LEFT + (x - first) / (last - first).max(1e-9) * (RIGHT - LEFT);
    let most = curves.observed.iter().chain(curves.calculated).copied().fold(1.0, f64::max);
    let root = (1.04 * most).sqrt();
    let up = |y: f64| TOP + MAIN_HEIGHT - y.max(0.0).sqrt() / root * MAIN_HEIGHT;
    let ticks_top = TOP + MAIN_HEIGHT + 14.0;
    let difference_top = ticks_top + ROW * rows.len() as f64 + 14.0;
    let height = difference_top + DIFFERENCE_HEIGHT + 54.0;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"system-ui, \
         'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
    );
    let _ =
        writeln!(text, "<text x=\"{LEFT}\" y=\"28\" font-size=\"17\" font-weight=\"600\">{}</text>", escaped(title));
    legend(&mut text);
    let bottom = difference_top + DIFFERENCE_HEIGHT;
    axis(&mut text, first, last, &across, bottom);
    intensity_axis(&mut text, most, &up);
    frame(&mut text, TOP, MAIN_HEIGHT);
    frame(&mut text, difference_top, DIFFERENCE_HEIGHT);
    line(&mut text, curves.x, curves.background, &across, &up, "stroke=\"#9a9a9a\" stroke-dasharray=\"5 4\"");
    dots(&mut text, curves, &across, &up);
    line(&mut text, curves.x, curves.calculated, &across, &up, "stroke=\"#c1121f\" stroke-width=\"1.3\"");
    for (index, (label, positions)) in rows.iter().enumerate() {
        let (y, colour) = (ticks_top + ROW * index as f64, COLOURS[index % COLOURS.len()]);
        let mut path = String::new();
        for x in positions.iter().filter(|x| (first..=last).contains(*x)) {
            let _ = write!(path, "M{:.1} {:.1}v11", across(*x), y);
        }
        let _ = writeln!(text, "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"1.4\" fill=\"none\"/>");
        let place = TOP + 44.0 + 19.0 * index as f64;
        let _ = writeln!(
            text,
            "<path d=\"M{0} {1}v11\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{2}\" y=\"{3}\" text-anchor=\"end\" \
             fill=\"{colour}\" font-weight=\"600\" paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"4\">{4}</text>",
            RIGHT - 12.0,
            place - 10.0,
            RIGHT - 22.0,
            place,
            escaped(label)
        );
    }
    difference(&mut text, curves, &across, difference_top);
    text.push_str("</svg>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn legend(text: &mut String) {
    let x = RIGHT - 362.0;
    let _ = writeln!(
        text,
        "<g fill=\"#333\"><circle cx=\"{0}\" cy=\"24\" r=\"2.2\" fill=\"#1d3557\"/><text x=\"{1}\" y=\"28\">observed</text>\
         <path d=\"M{2} 24h26\" stroke=\"#c1121f\" stroke-width=\"2\"/><text x=\"{3}\" y=\"28\">calculated</text>\
         <path d=\"M{4} 24h26\" stroke=\"#9a9a9a\" stroke-dasharray=\"5 4\"/><text x=\"{5}\" y=\"28\">background</text></g>",
        x,
        x + 10.0,
        x + 110.0,
        x + 144.0,
        x + 250.0,
        x + 284.0
    );
}

fn frame(text: &mut String, top: f64, height: f64) {
    let _ = writeln!(
        text,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{}\" height=\"{height}\" fill=\"none\" stroke=\"#444\"/>",
        RIGHT - LEFT
    );
}

/// A round step that cuts `span` into five to twelve parts.
fn round_step(span: f64) -> f64 {
    let raw = span / 8.0;
    let power = 10f64.powf(raw.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(10.0 * power)
}

fn axis(text: &mut String, first: f64, last: f64, across: &impl Fn(f64) -> f64, bottom: f64) {
    let step = round_step(last - first);
    let mut angle = (first / step).ceil() * step;
    while angle <= last + 1e-9 {
        let x = across(angle);
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} {TOP}V{bottom:.1}\" stroke=\"#000\" stroke-opacity=\"0.07\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{angle:.0}</text>",
            bottom + 18.0
        );
        angle += step;
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">2θ / degree</text>",
        0.5 * (LEFT + RIGHT),
        bottom + 40.0
    );
}

fn intensity_axis(text: &mut String, most: f64, up: &impl Fn(f64) -> f64) {
    let step = most.sqrt() / 5.0;
    for index in 0..=5 {
        let value = (step * f64::from(index)).powi(2);
        let power = 10f64.powf(value.max(1.0).log10().floor());
        let value = (value / power).round() * power;
        let y = up(value);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {y:.1}h-5\" stroke=\"#444\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            LEFT - 9.0,
            y + 4.5
        );
    }
    let middle = TOP + 0.5 * MAIN_HEIGHT;
    let _ = writeln!(
        text,
        "<text transform=\"translate(20 {middle}) rotate(-90)\" text-anchor=\"middle\">counts (square-root scale)</text>"
    );
}

fn line(text: &mut String, x: &[f64], y: &[f64], across: &impl Fn(f64) -> f64, up: &impl Fn(f64) -> f64, style: &str) {
    let mut points = String::new();
    for (x, y) in x.iter().zip(y) {
        let _ = write!(points, "{:.1},{:.1} ", across(*x), up(*y));
    }
    let _ = writeln!(text, "<polyline points=\"{}\" fill=\"none\" {style}/>", points.trim_end());
}

fn dots(text: &mut String, curves: &Curves<'_>, across: &impl Fn(f64) -> f64, up: &impl Fn(f64) -> f64) {
    let mut path = String::new();
    for (x, y) in curves.x.iter().zip(curves.observed) {
        let _ = write!(path, "M{:.1} {:.1}h0", across(*x), up(*y));
    }
    let _ = writeln!(
        text,
        "<path d=\"{path}\" stroke=\"#1d3557\" stroke-width=\"2.4\" stroke-linecap=\"round\" stroke-opacity=\"0.75\" fill=\"none\"/>"
    );
}

/// A whole number with its sign as it is printed: a true minus, and none for zero.
fn signed(value: f64) -> String {
    match value.round() {
        0.0 => "0".to_owned(),
        whole if whole < 0.0 => format!("\u{2212}{:.0}", -whole),
        whole => format!("+{whole:.0}"),
    }
}

/// Observed minus calculated in units of √calculated.
fn difference(text: &mut String, curves: &Curves<'_>, across: &impl Fn(f64) -> f64, top: f64) {
    let of = |i: usize| (curves.observed[i] - curves.calculated[i]) / curves.calculated[i].max(1.0).sqrt();
    let values: Vec<f64> = (0..curves.x.len()).map(of).collect();
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // The largest thousandth may leave the panel rather than flatten the rest.
    let reach = sizes[(sizes.len() - 1) - sizes.len() / 1000].max(4.0);
    let middle = top + 0.5 * DIFFERENCE_HEIGHT;
    let up = |value: f64| middle - (value / reach).clamp(-1.0, 1.0) * 0.47 * DIFFERENCE_HEIGHT;
    let _ = writeln!(text, "<path d=\"M{LEFT} {middle:.1}H{RIGHT}\" stroke=\"#444\" stroke-opacity=\"0.5\"/>");
    line(text, curves.x, &values, across, &up, "stroke=\"#1d3557\" stroke-width=\"0.9\"");
    for value in [-reach, 0.0, reach] {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 9.0,
            up(value) + 4.5,
            signed(value)
        );
    }
    let _ =
        writeln!(text, "<text transform=\"translate(20 {middle}) rotate(-90)\" text-anchor=\"middle\">(o−c)/√c</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_every_part_and_is_sound_xml() {
        let x: Vec<f64> = (0..200).map(|i| 10.0 + 0.1 * f64::from(i)).collect();
        let y: Vec<f64> = x.iter().map(|x| 100.0 + 1000.0 * (-(x - 20.0) * (x - 20.0)).exp()).collect();
        let background = vec![100.0; 200];
        let curves = Curves { x: &x, observed: &y, calculated: &y, background: &background };
        let text = svg("a <b> & c", &curves, &[("A & B".to_owned(), vec![5.0, 20.0, 99.0])]);
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
        assert!(text.contains("a &lt;b&gt; &amp; c") && text.contains("A &amp; B"));
        // One of the three lines lies within the range.
        assert_eq!(text.matches("v11\" stroke=\"#0072b2\" stroke-width=\"1.4\"").count(), 1);
        assert!(!text.contains("NaN") && !text.contains("inf"));
        assert_eq!([-3.6, 0.2, 7.0].map(signed), ["\u{2212}4", "0", "+7"]);
        assert!((round_step(90.0) - 20.0).abs() < 1e-12 && (round_step(4.0) - 0.5).abs() < 1e-12);
    }
}
