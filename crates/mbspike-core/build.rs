//! With the feature `cuda`: compiles `kernels/*.cu` to PTX in `OUT_DIR`, for compute capability 8.0 and
//! 9.0 and for what `CUDA_COMPUTE_CAP` names, if it is newer. Without it: nothing.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compute capabilities, times ten, that the kernels are always compiled for: the oldest that they run on
/// and one whose compiler knows more.
const CAPABILITIES: [u32; 2] = [80, 90];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed=kernels");
    for variable in ["CUDA_COMPUTE_CAP", "CUDA_HOME", "NVCC"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut capabilities = CAPABILITIES.to_vec();
    if let Ok(named) = std::env::var("CUDA_COMPUTE_CAP") {
        let named = named.parse().expect("CUDA_COMPUTE_CAP is a number such as 90");
        if capabilities.iter().all(|capability| named > *capability) {
            capabilities.push(named);
        }
    }
    let mut sources: Vec<PathBuf> = std::fs::read_dir("kernels")
        .expect("the folder of kernels can be read")
        .map(|entry| entry.expect("the folder of kernels can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cu"))
        .collect();
    sources.sort();

    let mut list = String::from("&[\n");
    for capability in capabilities {
        for source in &sources {
            let module = source.file_stem().expect("a source has a name").to_string_lossy();
            let ptx = out.join(format!("{module}_{capability}.ptx"));
            compile(source, &ptx, capability);
            writeln!(list, "({capability}, {module:?}, include_str!({:?})),", ptx.display())
                .expect("a string takes text");
        }
    }
    list.push(']');
    std::fs::write(out.join("ptx.rs"), list).expect("OUT_DIR can be written");
}

fn compile(source: &Path, ptx: &Path, capability: u32) {
    let nvcc = match (std::env::var_os("NVCC"), std::env::var_os("CUDA_HOME")) {
        (Some(nvcc), _) => PathBuf::from(nvcc),
        (None, Some(home)) => Path::new(&home).join("bin/nvcc"),
        (None, None) => "nvcc".into(),
    };
    let status = Command::new(&nvcc)
        // Multiplication and addition rounded each on its own, as on the CPU: kernels/device.cuh.
        .args(["-ptx", "--fmad=false"])
        .arg(format!("-arch=compute_{capability}"))
        .arg("-o")
        .args([ptx, source])
        .status()
        .unwrap_or_else(|error| {
            panic!("the feature `cuda` needs nvcc: {}: {error}", nvcc.display())
        });
    assert!(status.success(), "nvcc could not compile {}", source.display());
}
