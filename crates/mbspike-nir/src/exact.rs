//! Neurons in NIR's words, exactly.
//!
//! NIR's spiking nodes fire on `v > θ`, spike once or not at all, and reset to a potential. The
//! neuron of multi-bit networks fires on `h ≥ jθ/L` at each of `L` levels (`L = 2^bits − 1`) and may
//! subtract what it fired:
//!
//! ```text
//! h[t] = β v[t−1] + g x[t],   β = 1 − 1/τ,   g = 1 or 1/τ
//! s[t] = clamp(⌊h[t] L/θ⌋, 0, L) / L
//! v[t] = h[t] − θ s[t]
//! ```
//!
//! [`Neuron::lif`] is the node for one bit and a hard reset, [`Neuron::graph`] a nested graph for
//! everything else that linear nodes can say:
//!
//! ```text
//! input → membrane (LI) → level_1 … level_L (Threshold) → spikes (Scale 1/L) → output
//!              ↑                     │
//!              └──── reset (Scale −βθ/(gL)) ←┘   one step later
//! ```
//!
//! The membrane there is `h`, never reset; taking `θs` off it after a step and `βθs` off it in the
//! next one are the same. `≥` becomes `>` by thresholds one representable number lower.
//!
//! ```
//! use mbspike_nir::exact::{Neuron, Reset};
//!
//! let neuron =
//!     Neuron { levels: 3, tau: 2.0, decay_input: false, v_threshold: 1.0, reset: Reset::Soft };
//! let graph = neuron.graph(&[16, 14, 14], 1e-4)?;
//! assert_eq!(graph.nodes.len(), 7);
//! assert_eq!(Neuron::of_graph(&graph, 1e-4), Some(neuron));
//! # Ok::<(), mbspike_nir::Error>(())
//! ```

use crate::{
    Array, Error, Graph, Kind, Li, Lif, Metadata, Problem, Result, Scale, Threshold, Value,
};

/// What a spike does to the membrane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reset {
    /// `v = h − θ s`.
    Soft,
    /// `v = h − s (h − v_reset)`; the leak pulls towards `v_reset`.
    Hard {
        /// The potential after a full spike.
        v_reset: f64,
    },
    /// `v = h`.
    None,
}

/// A multi-bit neuron in discrete time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neuron {
    /// Levels L of a spike, `1..=65535`: `2^bits − 1`.
    pub levels: u32,
    /// Time constant τ in steps, finite and at least 1.
    pub tau: f64,
    /// Whether the input is multiplied by `1/τ`.
    pub decay_input: bool,
    /// Threshold θ of a full spike.
    pub v_threshold: f64,
    /// What a spike does.
    pub reset: Reset,
}

/// Levels of 16 bits.
const MAX_LEVELS: u32 = (1 << 16) - 1;

/// The most numbers that a graph of levels may have: a file of them is 4 GiB.
const MAX_NUMBERS: usize = 1 << 30;

impl Neuron {
    /// Bits that a spike takes: the smallest number with `L < 2^bits`.
    pub fn bits(&self) -> u32 {
        u32::BITS - self.levels.leading_zeros()
    }

    fn validate(&self, dt: f64) -> Result<()> {
        let refuse = |name: &str, expected: &str, value: String| {
            Err(Error::expected(expected, value).in_attribute(name))
        };
        if !(1..=MAX_LEVELS).contains(&self.levels) {
            return refuse("levels", "1 to 65535 levels", self.levels.to_string());
        }
        if !(self.tau >= 1.0 && self.tau.is_finite()) {
            return refuse(
                "tau",
                "a finite time constant of at least 1 step",
                self.tau.to_string(),
            );
        }
        let theta = self.v_threshold as f32;
        if !(theta >= f32::MIN_POSITIVE && theta.is_finite()) {
            return refuse("v_threshold", "a positive threshold", self.v_threshold.to_string());
        }
        let tau = (self.tau * dt) as f32;
        if !(dt > 0.0 && tau >= f32::MIN_POSITIVE && tau.is_finite()) {
            return refuse("dt", "a time step in seconds above 0", dt.to_string());
        }
        Ok(())
    }

    /// `k = clamp(⌊h L/θ⌋, 0, L)` in single precision, as the neuron computes it.
    fn code(&self, h: f32) -> f32 {
        let levels = self.levels as f32;
        (h * levels / self.v_threshold as f32).clamp(0.0, levels).floor()
    }

    /// For each level `j` in `1..=L` the number `t` with `h > t` exactly where the neuron, which
    /// computes in single precision, fires at least `j` levels. For one bit that is the largest
    /// number below `θ`.
    ///
    /// # Errors
    /// If a parameter is out of its range.
    pub fn thresholds(&self) -> Result<Vec<f32>> {
        self.validate(1.0)?;
        let levels = f64::from(self.levels);
        Ok((1..=self.levels)
            .map(|level| {
                let level = level as f32;
                let mut t = (f64::from(level) * self.v_threshold / levels) as f32;
                while self.code(t) >= level {
                    t = t.next_down();
                }
                while self.code(t.next_up()) < level {
                    t = t.next_up();
                }
                t
            })
            .collect())
    }

    /// The node for one bit and a hard reset; spike for spike the neuron, but for what rounding of
    /// its time constant, `τ·dt`, to single precision changes.
    ///
    /// # Errors
    /// If the neuron is another, or a parameter is out of its range.
    pub fn lif(&self, shape: &[usize], dt: f64) -> Result<Lif> {
        self.validate(dt)?;
        let (1, Reset::Hard { v_reset }) = (self.levels, self.reset) else {
            return Err(Error::new(Problem::Inexpressible(format!(
                "spikes of {} levels with {} in one node; an LIF node spikes once and resets to a \
                 potential",
                self.levels,
                self.reset.describe()
            ))));
        };
        let full = |value: f64| Array::full(shape, value as f32);
        Ok(Lif {
            tau: full(self.tau * dt),
            r: full(if self.decay_input { 1.0 } else { self.tau }),
            v_leak: full(v_reset),
            v_threshold: Array::full(shape, self.thresholds()?[0]),
            v_reset: full(v_reset),
        })
    }

    /// The membrane without threshold, for an output layer that is read by its potential.
    ///
    /// # Errors
    /// If a parameter is out of its range.
    pub fn li(&self, shape: &[usize], dt: f64) -> Result<Li> {
        self.validate(dt)?;
        let full = |value: f64| Array::full(shape, value as f32);
        Ok(Li {
            tau: full(self.tau * dt),
            r: full(if self.decay_input { 1.0 } else { self.tau }),
            v_leak: full(match self.reset {
                Reset::Hard { v_reset } => v_reset,
                Reset::Soft | Reset::None => 0.0,
            }),
        })
    }

    /// The nested graph for any number of bits with soft reset or none.
    ///
    /// # Errors
    /// If the reset is hard, which multiplies where linear nodes only add; if a parameter is out of
    /// its range; or if the graph were larger than 2³⁰ numbers.
    pub fn graph(&self, shape: &[usize], dt: f64) -> Result<Graph> {
        self.validate(dt)?;
        if let Reset::Hard { .. } = self.reset {
            let one_bit = if self.levels == 1 { "; with 1 bit an LIF node does" } else { "" };
            return Err(Error::new(Problem::Inexpressible(format!(
                "the hard reset of a graded spike multiplies the membrane by the spike, and linear \
                 nodes only add{one_bit}"
            ))));
        }
        let levels = self.levels;
        let size = shape
            .iter()
            .try_fold(levels as usize + 5, |n, &size| n.checked_mul(size))
            .filter(|&n| n <= MAX_NUMBERS);
        if size.is_none() {
            return Err(Error::new(Problem::Inexpressible(format!(
                "{levels} thresholds for each neuron of a layer {shape:?}, more than 2³⁰ numbers"
            ))));
        }
        let full = |value: f64| Array::full(shape, value as f32);
        let mut graph = Graph::default();
        graph.insert("input", Kind::Input { shape: shape.to_vec() });
        graph.insert("membrane", Kind::from(self.li(shape, dt)?));
        graph.insert("spikes", Kind::from(Scale { scale: full(1.0 / f64::from(levels)) }));
        graph.insert("output", Kind::Output { shape: shape.to_vec() });
        graph.connect("input", "membrane");
        if self.reset == Reset::Soft {
            let gain = if self.decay_input { 1.0 / self.tau } else { 1.0 };
            let beta = 1.0 - 1.0 / self.tau;
            let scale = full(-beta * self.v_threshold / f64::from(levels) / gain);
            graph.insert("reset", Kind::from(Scale { scale }));
            graph.connect("reset", "membrane");
        }
        let digits = levels.to_string().len();
        for (level, threshold) in (1..=levels).zip(self.thresholds()?) {
            let name = format!("level_{level:0digits$}");
            let threshold = Array::full(shape, threshold);
            graph.insert(&name, Kind::from(Threshold { threshold }));
            graph.connect("membrane", &name);
            graph.connect(name.clone(), "spikes");
            if self.reset == Reset::Soft {
                graph.connect(name, "reset");
            }
        }
        graph.connect("spikes", "output");
        graph.metadata.insert("mbspike".into(), Value::Map(self.metadata(dt)));
        Ok(graph)
    }

    /// The parameters and `dt` as metadata, which [`Neuron::of_metadata`] reads.
    pub fn metadata(&self, dt: f64) -> Metadata {
        let mut entries = Metadata::from([
            ("bits".into(), Value::integer(i64::from(self.bits()))),
            ("levels".into(), Value::integer(i64::from(self.levels))),
            ("tau".into(), Value::number(self.tau)),
            ("decay_input".into(), Value::integer(i64::from(self.decay_input))),
            ("v_threshold".into(), Value::number(self.v_threshold)),
            ("reset".into(), self.reset.name().into()),
            ("dt".into(), Value::number(dt)),
        ]);
        if let Reset::Hard { v_reset } = self.reset {
            entries.insert("v_reset".into(), Value::number(v_reset));
        }
        entries
    }

    /// The neuron that metadata describe, and `dt`; `None` where they do not.
    pub fn of_metadata(metadata: &Metadata) -> Option<(Self, f64)> {
        let number = |name: &str| metadata.get(name)?.as_number();
        let reset = match metadata.get("reset")?.as_text()? {
            "soft" => Reset::Soft,
            "none" => Reset::None,
            "hard" => Reset::Hard { v_reset: number("v_reset")? },
            _ => return None,
        };
        let levels = number("levels")?;
        let is_whole = levels.fract() == 0.0 && (1.0..=f64::from(MAX_LEVELS)).contains(&levels);
        let neuron = Self {
            levels: is_whole.then_some(levels as u32)?,
            tau: number("tau")?,
            decay_input: number("decay_input")? != 0.0,
            v_threshold: number("v_threshold")?,
            reset,
        };
        Some((neuron, number("dt")?))
    }

    /// The neuron that a nested graph is the construction of; `None` where it is anything else,
    /// one whose metadata no longer say what its nodes do included.
    pub fn of_graph(graph: &Graph, dt: f64) -> Option<Self> {
        let (neuron, its_dt) = Self::of_metadata(graph.metadata.get("mbspike")?.as_map()?)?;
        let input = graph.inputs().next()?;
        let Kind::Input { shape } = &graph.nodes[input].kind else { return None };
        let is_it = its_dt == dt && neuron.graph(shape, dt).is_ok_and(|built| built == *graph);
        is_it.then_some(neuron)
    }
}

impl Reset {
    fn name(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard { .. } => "hard",
            Self::None => "none",
        }
    }

    fn describe(self) -> String {
        match self {
            Self::None => "no reset".into(),
            other => format!("{} reset", other.name()),
        }
    }
}
