//! Neurons of random parameters and shapes.

use mbspike_core::cuda::Window;
use mbspike_core::lif::levels_of;
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate, n_subnormal};

use crate::elements::{Bf16, Element, from, to, uniform};
use crate::lif::{
    Backward, SURROGATES, bits, cpu_backward, cpu_forward, lif_fwd, lif_pool_fwd, rounded,
};

/// A number of `0..n` that depends on all of `of`.
fn draw(of: [u32; 2], n: usize) -> usize {
    let place = Place { sample: of[0], step: of[1], ..Place::default() };
    let mut u = [0.0];
    Stream::new(11, Domain::Simulate, place).fill_uniform(&mut u);
    ((u[0] * n as f32) as usize).min(n - 1)
}

/// Neurons, their input and the gradients of what they put out.
pub struct Case {
    name: String,
    /// At the time constant that is learned where `tau` is one.
    params: LifParams,
    /// What the kernel is given: the same, or parameters whose decay must not be used.
    given: LifParams,
    tau: Option<f32>,
    kind: usize,
    x: Vec<f32>,
    v_init: Vec<f32>,
    grad_s: Vec<f32>,
    grad_v: Option<Vec<f32>>,
    window: Window,
    n_steps: usize,
}

impl Case {
    pub fn new(case: u32) -> Self {
        let pick = |what: u32, n: usize| draw([case, what], n);
        let real = |what: u32, low: f64, high: f64| {
            low + (high - low) * pick(what, 10_007) as f64 / 10_007.0
        };
        // A learned τ is an f32.
        let tau = [1.0, real(0, 1.0, 3.0), real(0, 1.0, 100.0), 5.0][pick(1, 4)] as f32;
        let kind = pick(2, SURROGATES.len());
        let alpha = real(3, 0.3, 12.0);
        let surrogate = match SURROGATES[kind] {
            Surrogate::Sigmoid { .. } => Surrogate::Sigmoid { alpha },
            Surrogate::Atan { .. } => Surrogate::Atan { alpha },
            Surrogate::FastSigmoid { .. } => Surrogate::FastSigmoid { alpha },
            Surrogate::Triangle { .. } => Surrogate::Triangle { alpha },
            other @ (Surrogate::StraightThrough {} | Surrogate::Rectangle {}) => other,
            Surrogate::Staircase { .. } => Surrogate::Staircase { alpha },
        };
        let v_reset = [real(4, -1.0, 1.0), 0.3][pick(16, 2)];
        let params = LifParams {
            levels: levels_of(1 + pick(5, 8) as u32),
            decay: Decay::Tau(f64::from(tau)),
            decay_input: pick(6, 2) == 1,
            v_threshold: [1.0, real(7, 0.05, 4.0), 0.5][pick(8, 3)],
            reset: [Reset::Soft {}, Reset::Hard { v_reset }, Reset::None {}][pick(9, 3)],
            detach_reset: pick(10, 2) == 1,
            surrogate,
            shift: [Shift::Centred, Shift::Unshifted, Shift::By(real(11, -1.0, 1.0))][pick(12, 3)],
        };
        let is_learned = pick(17, 2) == 1;
        let given =
            if is_learned { LifParams { decay: Decay::Tau(77.0), ..params } } else { params };
        let (height, width) = (1 + pick(14, 17) as u32, 1 + pick(18, 17) as u32);
        let window = Window { height, width, size: 2 + pick(19, 3) as u32 };
        let (n_steps, n) = (1 + pick(13, 100), (height * width) as usize * (1 + pick(20, 3)));
        // Silence in between, long enough for membranes and gradients to decay to nothing.
        let scale = [1.0, 10.0, 1e-18][pick(15, 3)];
        let mut x = uniform(n_steps * n, case, -0.5 * scale, 1.5 * scale);
        if n_steps > 8 {
            x[4 * n..(n_steps - 4) * n].fill(0.0);
        }
        let gradient = |sample: u32| uniform(n_steps * n, sample + case, -scale, scale);
        Self {
            name: format!("case {case}: {params:?}, T = {n_steps}, N = {n}, {window:?}"),
            params,
            given,
            tau: is_learned.then_some(tau),
            kind,
            x,
            v_init: uniform(n, 1000 + case, -0.5, 1.0),
            grad_s: gradient(2000),
            grad_v: (pick(21, 2) == 1).then(|| gradient(3000)),
            window,
            n_steps,
        }
    }

    pub fn forward_agrees<E: Element>(&self) {
        let (x, v_init) = (to::<E>(&self.x), to::<E>(&self.v_init));
        let got = lif_fwd::<E>(&x, &v_init, self.tau, &self.given);
        let [s, v] = cpu_forward(&self.x, &self.v_init, &self.params);
        assert_eq!(bits(&from(&got.s_seq)), bits(&rounded::<E>(&s)), "s_seq: {}", self.name);
        assert_eq!(bits(&from(&got.v_seq)), bits(&rounded::<E>(&v)), "v_seq: {}", self.name);
        assert_eq!(n_subnormal(&v), 0, "{}", self.name);
        let levels = self.params.n_levels() as f32;
        let n_nonzero = s.iter().filter(|s| **s != 0.0).count() as u64;
        let sum: u64 = s.iter().map(|s| (s * levels).round() as u64).sum();
        assert_eq!(got.counts, [n_nonzero, sum, 0], "{}", self.name);

        let (y, counts) = lif_pool_fwd::<E>(&x, &v_init, self.tau, &self.given, self.window);
        assert_eq!(bits(&from(&y)), bits(&rounded::<E>(&self.pooled(&s))), "pool: {}", self.name);
        assert_eq!(counts, got.counts, "{}", self.name);
    }

    /// The mean over each whole window, its elements added row by row.
    fn pooled(&self, s_seq: &[f32]) -> Vec<f32> {
        let [height, width, size] =
            [self.window.height, self.window.width, self.window.size].map(|n| n as usize);
        let scale = 1.0 / (size * size) as f32;
        let mut y_seq = Vec::new();
        for image in s_seq.chunks_exact(height * width) {
            for (y, x) in (0..height / size).flat_map(|y| (0..width / size).map(move |x| (y, x))) {
                let of = |j: usize| image[(y * size + j / size) * width + x * size + j % size];
                y_seq.push((0..size * size).fold(0.0, |sum, j| sum + of(j)) * scale);
            }
        }
        y_seq
    }

    pub fn backward_agrees<E: Element>(&self) {
        let grad_v: Option<Vec<E>> = self.grad_v.as_deref().map(to);
        let backward = Backward::<E> {
            x_seq: &to(&self.x),
            v_init: &to(&self.v_init),
            tau: self.tau,
            grad_s_seq: &to(&self.grad_s),
            grad_v_seq: grad_v.as_deref(),
            window: Window::NONE,
        };
        let got = backward.run(&self.given);
        let (grad_x, grad_v_init, grad_tau) =
            cpu_backward(&self.x, &self.v_init, &self.grad_s, self.grad_v.as_deref(), &self.params);
        let name = &self.name;
        for (what, got, want) in
            [("grad_x", &got.x_seq, &grad_x), ("grad_v_init", &got.v_init, &grad_v_init)]
        {
            assert_eq!(bits(&from(got)), bits(&rounded::<E>(want)), "{what}: {name}");
            assert_eq!(n_subnormal(want), 0, "{what}: {name}");
        }
        let of_neurons: f32 = got.tau.iter().map(|g| g.abs()).sum();
        let sum: f32 = got.tau.iter().sum();
        assert!((sum - grad_tau).abs() <= 1e-4 * of_neurons.max(1e-20), "grad_tau: {name}");
    }
}

#[test]
fn random_parameters_shapes_and_time_constants_agree_with_the_cpu() {
    let mut n_seen = [0; SURROGATES.len()];
    let (mut n_learned, mut n_long) = (0, 0);
    for case in 0..400 {
        let case = Case::new(case);
        n_seen[case.kind] += 1;
        n_learned += usize::from(case.tau.is_some());
        n_long += usize::from(case.n_steps > 64);
        case.forward_agrees::<f32>();
        case.forward_agrees::<Bf16>();
        case.backward_agrees::<f32>();
        case.backward_agrees::<Bf16>();
    }
    assert!(n_seen.iter().all(|n| *n > 20), "{n_seen:?}");
    assert!(n_learned > 100 && n_long > 50, "{n_learned}, {n_long}");
}
