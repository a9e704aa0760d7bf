//! Launches of the kernels: on the host, or on the first GPU where `MBSPIKE_KERNELS_ON_GPU` is set.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::marker::PhantomData;

use mbspike_core::cuda::{BLOCK, LifKernelParams, Window};

thread_local! {
    /// The kernels that this thread has launched.
    pub static LAUNCHED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// What a kernel takes by value.
#[cfg(not(feature = "cuda"))]
pub trait Value: 'static {}
/// What a kernel takes by value.
#[cfg(feature = "cuda")]
pub trait Value: crate::gpu::Push + 'static {}

impl Value for u32 {}
impl Value for u64 {}
impl Value for Window {}
impl Value for LifKernelParams {}

/// An argument of a kernel.
pub enum Argument {
    Value(Box<dyn Value>),
    /// An array of the host's; null where there is none.
    Array {
        start: *mut c_void,
        #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the host needs no copy"))]
        n_bytes: usize,
        #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the host needs no copy"))]
        is_output: bool,
    },
}

/// A launch in the making: a kernel and its arguments so far.
pub struct Launch<'a> {
    pub kernel: String,
    pub arguments: Vec<Argument>,
    borrowed: PhantomData<&'a mut ()>,
}

impl<'a> Launch<'a> {
    pub fn of(kernel: impl Into<String>) -> Self {
        Self { kernel: kernel.into(), arguments: vec![], borrowed: PhantomData }
    }

    fn with(mut self, argument: Argument) -> Self {
        self.arguments.push(argument);
        self
    }

    /// A number or a struct, by value; it must be what the kernel declares.
    pub fn value(self, value: impl Value) -> Self {
        self.with(Argument::Value(Box::new(value)))
    }

    pub fn output<V: 'static>(self, slice: &'a mut [V]) -> Self {
        let start = slice.as_mut_ptr().cast();
        self.with(Argument::Array { start, n_bytes: size_of_val(slice), is_output: true })
    }

    pub fn input<V: 'static>(self, slice: &'a [V]) -> Self {
        let start = slice.as_ptr().cast_mut().cast();
        self.with(Argument::Array { start, n_bytes: size_of_val(slice), is_output: false })
    }

    pub fn optional<V: 'static>(self, slice: Option<&'a [V]>) -> Self {
        match slice {
            Some(slice) => self.input(slice),
            None => self.null(),
        }
    }

    pub fn null(self) -> Self {
        let start = std::ptr::null_mut();
        self.with(Argument::Array { start, n_bytes: 0, is_output: false })
    }

    /// Runs the kernel with at least `n_threads` threads.
    pub fn run(self, n_threads: usize, shared_bytes: u32) {
        LAUNCHED.with_borrow_mut(|all| all.insert(self.kernel.clone()));
        let grid = n_threads.div_ceil(BLOCK as usize) as u32;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = crate::gpu::asked_for() {
            return crate::gpu::launch(gpu, self, grid, shared_bytes);
        }
        crate::host::launch(self, grid, shared_bytes);
    }
}
