//! The spike function and the surrogates that stand for it (thesis Figs. 2.1, 3.1, 3.2), computed
//! by the kernels' own functions.

use mbspike_core::lif::fire;
use mbspike_core::{LifParams, Shift, Surrogate};
use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, chart};
use super::canvas::{Figure, pt, units};
use super::legend::{Entry, Key, Legend};
use super::{AXIS_PT, COLUMN_IN, INK, LINE, OKABE_ITO, PAGE_IN, Result, TICK_PT};
use super::{Error, text_width};

/// Points of a curve.
const N_POINTS: usize = 1201;
/// Membranes drawn, in thresholds.
const RANGE: std::ops::Range<f64> = -0.75..1.75;

fn membranes() -> Vec<f64> {
    let width = RANGE.end - RANGE.start;
    (0..N_POINTS).map(|i| RANGE.start + width * i as f64 / (N_POINTS - 1) as f64).collect()
}

fn shifted(bits: u32, shift: Shift) -> LifParams {
    LifParams { shift, ..LifParams::new(bits) }
}

fn key(label: &str, colour: RGBColor) -> Entry {
    Entry { label: label.to_owned(), colour, key: Key::Line }
}

/// The staircase of 1, 2 and 3 bits with the sigmoid at the threshold and in the staircase's
/// middle. At 1 bit the two sigmoids are one.
pub fn spike_function() -> Result<Figure> {
    const NAME: &str = "spike-function";
    let error = |e: mbspike_core::Error| Error::Draw { figure: NAME.into(), reason: e.to_string() };
    let h = membranes();
    let mut panels = Vec::new();
    for bits in [1, 2, 3] {
        let mut staircase = vec![0.0; h.len()];
        fire(&mut staircase, &h, &LifParams::new(bits)).map_err(error)?;
        let sigmoid = |shift| {
            let p = shifted(bits, shift);
            let at =
                |h: &f64| p.surrogate.primitive(*h, p.n_levels(), p.v_threshold, p.shift_value());
            h.iter().map(at).collect::<Vec<f64>>()
        };
        panels.push((bits, staircase, sigmoid(Shift::Unshifted), sigmoid(Shift::Centred)));
    }
    let [unshifted, centred] = [OKABE_ITO[1], OKABE_ITO[0]];
    let legend = Legend::new(
        vec![
            key("spike s", INK),
            key("sigmoid at the threshold", unshifted),
            key("sigmoid in the middle (centred)", centred),
        ],
        units(PAGE_IN) - pt(6.0),
    );
    let height = legend.height_in() + 2.0;
    Figure::draw(
        NAME,
        "spikes of 1, 2 and 3 bits and their surrogates",
        (PAGE_IN, height),
        |area| {
            let area = legend.draw(area)?;
            let x = Axis::over("membrane h / θ", RANGE, 5);
            let y = Axis::over("s", -0.05..1.05, 4);
            let cells = area.split_evenly((1, 3));
            for ((bits, staircase, at_threshold, in_middle), cell) in panels.iter().zip(&cells) {
                let title = format!("{bits} bit");
                let y = if *bits == 1 { y.clone() } else { y.clone().without_label() };
                let mut chart = chart(cell, Some(&title), &x, &y, text_width("0.0", TICK_PT))?;
                for (values, ink) in
                    [(at_threshold, unshifted), (in_middle, centred), (staircase, INK)]
                {
                    let points = h.iter().copied().zip(values.iter().copied());
                    chart
                        .draw_series(LineSeries::new(points, ink.stroke_width(pt(LINE) as u32)))?;
                }
            }
            Ok(())
        },
    )
}

/// The gradient that the backward pass uses at `bits` bits, for every place of the sigmoid and for
/// the staircase surrogate.
pub fn spike_function_shifts(bits: u32) -> Result<Figure> {
    let h = membranes();
    let staircase =
        LifParams { surrogate: Surrogate::Staircase { alpha: 4.0 }, ..LifParams::new(bits) };
    let curves = [
        ("centred", shifted(bits, Shift::Centred)),
        ("at the threshold", shifted(bits, Shift::Unshifted)),
        ("shifted by θ", shifted(bits, Shift::By(1.0))),
        ("staircase", staircase),
    ];
    let entries =
        curves.iter().zip(OKABE_ITO).map(|((label, _), colour)| key(label, colour)).collect();
    let legend = Legend::new(entries, units(COLUMN_IN) - pt(6.0));
    let derivative = |p: &LifParams, h: f64| {
        p.surrogate.derivative(h, p.n_levels(), p.v_threshold, p.shift_value())
    };
    let highest =
        curves.iter().flat_map(|(_, p)| h.iter().map(|h| derivative(p, *h))).fold(0.0, f64::max);
    let size = (COLUMN_IN, legend.height_in() + 2.0 + AXIS_PT / 72.0);
    let title = format!("surrogate gradients of a {bits}-bit spike");
    Figure::draw("surrogate-gradient", &title, size, |area| {
        let area = legend.draw(area)?;
        let x = Axis::over("membrane h / θ", RANGE, 5);
        let y = Axis::over("∂s/∂h", 0.0..1.05 * highest, 4);
        let width = y.label_width();
        let mut chart = chart(&area, None, &x, &y, width)?;
        for ((_, p), ink) in curves.iter().zip(OKABE_ITO) {
            let points = h.iter().map(|h| (*h, derivative(p, *h)));
            chart.draw_series(LineSeries::new(points, ink.stroke_width(pt(LINE) as u32)))?;
        }
        Ok(())
    })
}
