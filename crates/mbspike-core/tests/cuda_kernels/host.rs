//! `kernels/*.cu` compiled as C++ and launched on the host.

use std::ffi::c_void;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use libloading::{Library, Symbol};
use mbspike_core::cuda::BLOCK;

use crate::launch::{Argument, Launch};

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

/// Runs a kernel with `grid` blocks, one after another.
pub fn launch(launch: Launch<'_>, grid: u32, shared_bytes: u32) {
    let name = format!("launch_{}", launch.kernel);
    // SAFETY: every function of this name in host.cpp has this type.
    let function: Symbol<'_, Launcher> = unsafe { library().get(name.as_bytes()) }.unwrap();
    let mut pointers: Vec<*mut c_void> = launch
        .arguments
        .iter()
        .map(|argument| match argument {
            Argument::Value(value) => (&raw const **value).cast_mut().cast(),
            Argument::Array { start, .. } => (&raw const *start).cast_mut().cast(),
        })
        .collect();
    // SAFETY: there is one pointer an argument, in the order and of the types that the kernel
    // declares, as the tests write them; `launch` borrows the slices until here.
    unsafe { function(pointers.as_mut_ptr(), grid, BLOCK, shared_bytes) };
}
