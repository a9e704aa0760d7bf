//! The spike function and the surrogates that stand for it (thesis Figs. 2.1, 3.1, 3.2), from values that
//! the kernels' own functions gave.

use mbspike_results::neuron::NeuronCurves;
use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, chart};
use super::canvas::Figure;
use super::error::Result;
use super::legend::{Entry, Key, Legend};
use super::style::{
    AXIS_PT, COLUMN_IN, INK, LINE, OKABE_ITO, PAGE_IN, TICK_PT, pt, text_width, units,
};

/// The spike function and its surrogate gradients, which need no runs.
pub fn neuron_figures(neuron: &NeuronCurves) -> Vec<Result<Figure>> {
    vec![spike_function(neuron), surrogate_gradient(neuron)]
}

fn key(label: &str, colour: RGBColor) -> Entry {
    Entry { label: label.to_owned(), colour, key: Key::Line }
}

fn range(neuron: &NeuronCurves) -> std::ops::Range<f64> {
    let ends = (neuron.membranes.first(), neuron.membranes.last());
    ends.0.copied().unwrap_or(0.0)..ends.1.copied().unwrap_or(1.0)
}

/// The staircases with the sigmoid at the threshold and in the staircase's middle. At 1 bit the two
/// sigmoids are one.
fn spike_function(neuron: &NeuronCurves) -> Result<Figure> {
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
    let bits: Vec<String> = neuron.spikes.iter().map(|curves| curves.bits.to_string()).collect();
    let title = format!("spikes of {} bits and their surrogates", bits.join(", "));
    Figure::draw("spike-function", &title, (PAGE_IN, height), |area| {
        let area = legend.draw(area)?;
        let x = Axis::over("membrane h / θ", range(neuron), 5);
        let y = Axis::over("s", -0.05..1.05, 4);
        let cells = area.split_evenly((1, neuron.spikes.len().max(1)));
        for (i, (curves, cell)) in neuron.spikes.iter().zip(&cells).enumerate() {
            let title = mbspike_results::bits_in_words(&curves.bits.to_string());
            let y = if i == 0 { y.clone() } else { y.clone().without_label() };
            let mut chart = chart(cell, &[title], &x, &y, text_width("0.0", TICK_PT))?;
            for (values, ink) in [
                (&curves.at_threshold, unshifted),
                (&curves.centred, centred),
                (&curves.spike, INK),
            ] {
                let points = neuron.membranes.iter().copied().zip(values.iter().copied());
                chart.draw_series(LineSeries::new(points, ink.stroke_width(pt(LINE) as u32)))?;
            }
        }
        Ok(())
    })
}

/// The gradients that the backward pass uses.
fn surrogate_gradient(neuron: &NeuronCurves) -> Result<Figure> {
    let curves = || neuron.gradients.iter().zip(OKABE_ITO);
    let entries = curves().map(|(curve, colour)| key(&curve.label, colour)).collect();
    let legend = Legend::new(entries, units(COLUMN_IN) - pt(6.0));
    let highest = neuron.gradients.iter().flat_map(|curve| &curve.values).copied();
    let highest = highest.fold(0.0, f64::max);
    let size = (COLUMN_IN, legend.height_in() + 2.0 + AXIS_PT / 72.0);
    let title = format!("surrogate gradients of a {}-bit spike", neuron.gradient_bits);
    Figure::draw("surrogate-gradient", &title, size, |area| {
        let area = legend.draw(area)?;
        let x = Axis::over("membrane h / θ", range(neuron), 5);
        let y = Axis::over("∂s/∂h", 0.0..1.05 * highest, 4);
        let width = y.label_width();
        let mut chart = chart(&area, &[], &x, &y, width)?;
        for (curve, ink) in curves() {
            let points = neuron.membranes.iter().copied().zip(curve.values.iter().copied());
            chart.draw_series(LineSeries::new(points, ink.stroke_width(pt(LINE) as u32)))?;
        }
        Ok(())
    })
}
