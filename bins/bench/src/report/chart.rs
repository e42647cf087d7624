//! Line charts as inline SVG: no script is needed to see them, nothing is loaded.

use std::fmt::Write as _;

use super::escape::markup;
use super::number::number;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// How values become heights.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scale {
    /// From 0.
    #[default]
    Linear,
    /// By powers of ten; what is not above 0 is not drawn.
    Logarithmic,
}

/// One line; a `None` leaves a gap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// One value for each of the chart's `at`.
    pub values: Vec<Option<f64>>,
}

/// One chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Of the values.
    pub unit: String,
    /// Of the values' heights.
    pub scale: Scale,
    /// Where each value stands, ascending.
    pub at: Vec<f64>,
    /// Labels below the axis, each at its place; by default some of `at` as seconds.
    pub ticks: Vec<(f64, String)>,
    /// The lines, at most eight are told apart by colour.
    pub lines: Vec<Line>,
    /// Vertical marks with a name: change points.
    pub marks: Vec<(f64, String)>,
}

impl Chart {
    /// The chart as a `figure` element; nothing when there is no value to draw.
    #[must_use]
    pub fn figure(&self) -> String {
        let Some(axis) = self.axis() else { return String::new() };
        let mut out = format!(
            "<figure class=\"chart\"><figcaption><b>{}</b> <span class=\"unit\">{}</span>{}</figcaption>",
            markup(&self.title),
            markup(&self.unit),
            self.legend()
        );
        // Writing to a String does not fail.
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            markup(&self.title)
        );
        for (value, label) in axis.steps() {
            let y = axis.y(value);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            );
        }
        for (place, label) in self.x_ticks() {
            let x = axis.x(place);
            // The last label must not stick out.
            let anchor = if x > WIDTH - RIGHT - 20.0 { "end" } else { "middle" };
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                HEIGHT - 6.0,
                markup(&label)
            );
        }
        for (place, name) in &self.marks {
            let x = axis.x(*place);
            let _ = write!(
                out,
                "<path class=\"mark\" d=\"M{x:.1} {TOP}V{:.1}\"><title>{}</title></path>",
                HEIGHT - BOTTOM,
                markup(name)
            );
        }
        for (index, line) in self.lines.iter().enumerate() {
            let _ = write!(out, "<path class=\"line s{}\" d=\"{}\"/>", index % 8, self.path(line, &axis));
        }
        out + "</svg></figure>"
    }

    fn legend(&self) -> String {
        let entry = |(index, line): (usize, &Line)| {
            format!("<span class=\"key s{}\">{}</span>", index % 8, markup(&line.name))
        };
        self.lines.iter().enumerate().map(entry).collect()
    }

    /// Pieces of line between gaps; a value alone becomes a short stroke, so that it is seen.
    fn path(&self, line: &Line, axis: &Axis) -> String {
        let mut path = String::new();
        let mut pen_is_down = false;
        let drawn = |value: &Option<f64>| value.filter(|value| self.scale == Scale::Linear || *value > 0.0);
        for (index, (at, value)) in self.at.iter().zip(&line.values).enumerate() {
            let Some(value) = drawn(value) else {
                pen_is_down = false;
                continue;
            };
            let (x, y) = (axis.x(*at), axis.y(value));
            let _ = write!(path, "{}{x:.1} {y:.1}", if pen_is_down { 'L' } else { 'M' });
            let is_last = line.values.get(index + 1).and_then(drawn).is_none();
            if !pen_is_down && is_last {
                path.push_str("h1.5");
            }
            pen_is_down = true;
        }
        path
    }

    fn x_ticks(&self) -> Vec<(f64, String)> {
        if !self.ticks.is_empty() {
            return self.ticks.clone();
        }
        let (Some(first), Some(last)) = (self.at.first(), self.at.last()) else { return Vec::new() };
        let step = round_step((last - first) / 6.0);
        let count = ((last - first) / step).floor() as usize;
        (0..=count.min(12))
            .map(|n| (first / step).ceil().mul_add(step, n as f64 * step))
            .filter(|at| at <= last)
            .map(|at| (at, seconds(at)))
            .collect()
    }

    fn axis(&self) -> Option<Axis> {
        let known = self.lines.iter().flat_map(|line| line.values.iter().flatten().copied());
        let usable: Vec<f64> =
            known.filter(|v| v.is_finite() && (self.scale == Scale::Linear || *v > 0.0)).collect();
        let high = usable.iter().copied().reduce(f64::max)?;
        let low = usable.iter().copied().reduce(f64::min)?;
        let (from, to) = (*self.at.first()?, *self.at.last()?);
        let (low, high) = match self.scale {
            Scale::Linear => {
                let step = round_step((high - low.min(0.0)) / 4.0);
                ((low.min(0.0) / step).floor() * step, ((high / step).ceil() * step).max(step))
            }
            Scale::Logarithmic => {
                let (low, high) = (low.log10().floor(), high.log10().ceil());
                (low, if high > low { high } else { low + 1.0 })
            }
        };
        Some(Axis { from, to: if to > from { to } else { from + 1.0 }, low, high, scale: self.scale })
    }
}

/// Where values stand on the paper.
struct Axis {
    from: f64,
    to: f64,
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * ((at - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Logarithmic { value.log10() } else { value };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    }

    /// The horizontal lines, each with its label.
    fn steps(&self) -> Vec<(f64, String)> {
        let labelled = |value: f64| (value, number(value));
        match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / 4.0);
                let count = ((self.high - self.low) / step).round() as usize;
                (0..=count.min(8)).map(|n| labelled(self.low + n as f64 * step)).collect()
            }
            Scale::Logarithmic => {
                let stride = (((self.high - self.low) / 5.0).ceil() as i32).max(1);
                let powers =
                    (self.low as i32..=self.high as i32).step_by(usize::try_from(stride).unwrap_or(1));
                powers.map(|power| labelled(10_f64.powi(power))).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, at least so much.
fn round_step(least: f64) -> f64 {
    if !least.is_finite() || least <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= least * (1.0 - 1e-9)).unwrap_or(10.0);
    (step * power).max(f64::MIN_POSITIVE)
}

fn seconds(at: f64) -> String {
    let whole = at.max(0.0).round() as u64;
    match whole {
        _ if at.fract() != 0.0 && at < 60.0 => format!("{} s", number(at)),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[Option<f64>]) -> Chart {
        Chart {
            title: "a < b".into(),
            unit: "ms".into(),
            at: (1..=values.len()).map(|n| n as f64).collect(),
            lines: vec![Line { name: "p<99>".into(), values: values.to_vec() }],
            ..Chart::default()
        }
    }

    #[test]
    fn a_gap_lifts_the_pen_and_a_lonely_value_is_seen() {
        let figure = chart(&[Some(1.0), Some(2.0), None, Some(3.0)]).figure();
        let path = figure.split("class=\"line s0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(
            (path.matches('M').count(), path.matches('L').count(), path.matches('h').count()),
            (2, 1, 1),
            "{path}"
        );
        assert!(!figure.contains("p<99>") && figure.contains("p&lt;99&gt;"));
    }

    #[test]
    fn nothing_to_draw_is_no_chart() {
        assert_eq!(chart(&[None, None]).figure(), "");
        assert_eq!(chart(&[]).figure(), "");
        let log = Chart { scale: Scale::Logarithmic, ..chart(&[Some(0.0)]) };
        assert_eq!(log.figure(), "");
    }

    #[test]
    fn no_values_break_the_paper() {
        for values in [
            vec![Some(0.0)],
            vec![Some(-5.0), Some(5.0)],
            vec![Some(1e300), Some(1e-300)],
            vec![Some(7.0); 3],
        ] {
            for scale in [Scale::Linear, Scale::Logarithmic] {
                let figure = Chart { scale, ..chart(&values) }.figure();
                assert!(!figure.contains("NaN") && !figure.contains("inf"), "{values:?}: {figure}");
            }
        }
    }

    #[test]
    fn steps_are_round_numbers() {
        assert_eq!([0.7, 1.0, 1.2, 3.0, 8.0, 26.0].map(round_step), [1.0, 1.0, 2.0, 5.0, 10.0, 50.0]);
        assert_eq!([5.0, 65.0, 3_700.0].map(seconds), ["5 s", "1:05", "1:01 h"]);
    }
}
