//! `kernels/*.cu` compiled as C++ and launched on the host.

use std::any::Any;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use libloading::{Library, Symbol};
use mbspike_core::cuda::BLOCK;

type Launcher = unsafe extern "C" fn(*mut *mut c_void, u32, u32, u32);

/// The library of all kernels, compiled by `$CXX` or `c++` on first use.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_kernels");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kernels.so");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let output = Command::new(&compiler)
            .args(["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"])
            .args(["-Wno-unknown-pragmas", "-shared", "-fPIC", "-include"])
            .arg(source.join("shim.hpp"))
            .arg(source.join("host.cpp"))
            .arg("-o")
            .arg(&file)
            .output()
            .unwrap_or_else(|e| panic!("the kernels' tests need a C++ compiler: {compiler}: {e}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // SAFETY: the library was just compiled from this crate and runs nothing when loaded.
        unsafe { Library::new(&file) }.unwrap()
    })
}

/// A launch in the making: a kernel and its arguments so far.
pub struct Launch<'a> {
    kernel: String,
    arguments: Vec<Box<dyn Any>>,
    pointers: Vec<*mut c_void>,
    borrowed: PhantomData<&'a mut ()>,
}

impl<'a> Launch<'a> {
    pub fn of(kernel: impl Into<String>) -> Self {
        Self { kernel: kernel.into(), arguments: vec![], pointers: vec![], borrowed: PhantomData }
    }

    /// A number or a struct, by value; it must be what the kernel declares.
    pub fn value<V: Copy + 'static>(mut self, value: V) -> Self {
        let argument = Box::new(value);
        self.pointers.push((&raw const *argument).cast_mut().cast());
        self.arguments.push(argument);
        self
    }

    pub fn output<V: 'static>(self, slice: &'a mut [V]) -> Self {
        self.value(slice.as_mut_ptr())
    }

    pub fn input<V: 'static>(self, slice: &'a [V]) -> Self {
        self.value(slice.as_ptr())
    }

    pub fn optional<V: 'static>(self, slice: Option<&'a [V]>) -> Self {
        self.value(slice.map_or(std::ptr::null(), <[V]>::as_ptr))
    }

    pub fn null(self) -> Self {
        self.value(std::ptr::null::<u8>())
    }

    /// Runs the kernel with at least `n_threads` threads.
    pub fn run(mut self, n_threads: usize, shared_bytes: u32) {
        let grid = n_threads.div_ceil(BLOCK as usize) as u32;
        let name = format!("launch_{}", self.kernel);
        // SAFETY: every function of this name in host.cpp has this type.
        let launch: Symbol<'_, Launcher> = unsafe { library().get(name.as_bytes()) }.unwrap();
        // SAFETY: there is one pointer an argument, in the order and of the types that the kernel
        // declares, as the tests write them; slices are borrowed until here.
        unsafe { launch(self.pointers.as_mut_ptr(), grid, BLOCK, shared_bytes) };
    }
}
