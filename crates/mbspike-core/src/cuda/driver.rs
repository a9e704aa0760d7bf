//! The CUDA driver, opened when a GPU is asked for.
//!
//! candle links the driver's library, `libcuda.so.1`, so that the system's loader would refuse to start
//! the program where there is none, before the program can say why. Here every function of the driver
//! that candle calls is defined as a jump through a slot, so that the linker has no need of the library,
//! and [`load`] fills the slots from it, at the latest when `cuInit` is called, which comes before all
//! others. Where candle comes to call a function that is not listed here, the program is linked against
//! the library again: `scripts/check-cuda-build.sh` notices.

use std::error::Error as _;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// The library's name on Linux.
const LIBRARY: &str = "libcuda.so.1";

/// Opens the driver's library, once.
///
/// # Errors
/// The loader's words, if there is no such library.
pub(super) fn load() -> Result<(), String> {
    static LOADED: LazyLock<Result<(), String>> = LazyLock::new(|| {
        // SAFETY: it is the driver's own library, whose initialization asks nothing of its caller.
        let library =
            unsafe { Library::open(Some(LIBRARY), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| {
                error.source().map_or_else(|| error.to_string(), ToString::to_string)
            })?;
        for (name, slot) in SLOTS {
            // SAFETY: the symbol is a function, whose address is only taken here.
            if let Ok(function) = unsafe { library.get::<*mut c_void>(name.to_bytes_with_nul()) } {
                slot.store(*function, Ordering::Release);
            }
        }
        // The functions are called as long as the program runs.
        std::mem::forget(library);
        Ok(())
    });
    LOADED.clone()
}

/// `CUDA_ERROR_NOT_INITIALIZED`.
const NOT_INITIALIZED: c_int = 3;

/// What an empty slot leads to.
extern "C" fn not_loaded() -> c_int {
    NOT_INITIALIZED
}

/// What `cuInit` is until the driver is opened: opens it and calls its `cuInit`.
extern "C" fn initialize(flags: c_uint) -> c_int {
    let empty = initialize as *mut c_void;
    match load().map(|()| cuInit::SLOT.load(Ordering::Acquire)) {
        Ok(function) if function != empty => {
            // SAFETY: the slot was filled with the driver's `cuInit`, which has this signature.
            let init: extern "C" fn(c_uint) -> c_int = unsafe { std::mem::transmute(function) };
            init(flags)
        }
        _ => NOT_INITIALIZED,
    }
}

/// Defines each function as a jump to what its slot holds, whatever its arguments are. The symbols are
/// hidden: a shared library that is made from this crate does not put them in the driver's place for
/// others. Before a list of functions stands what their slots hold in the beginning.
macro_rules! driver_functions {
    ($($empty:ident: $($name:ident)*;)*) => {
        const SLOTS: &[(&CStr, &AtomicPtr<c_void>)] = &[$($((
            match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name ends where its only 0 is"),
            },
            &$name::SLOT,
        ),)*)*];
        $($(
            #[expect(non_snake_case, reason = "the driver's names")]
            mod $name {
                use super::{AtomicPtr, c_void};

                pub(super) static SLOT: AtomicPtr<c_void> =
                    AtomicPtr::new(super::$empty as *mut c_void);
            }
            // SAFETY: a jump passes on registers and stack as they are, so that the function it leads
            // to sees its caller's arguments; a slot always holds a function.
            #[cfg(target_arch = "x86_64")]
            std::arch::global_asm!(
                ".text",
                concat!(".globl ", stringify!($name)),
                concat!(".hidden ", stringify!($name)),
                concat!(".type ", stringify!($name), ", @function"),
                concat!(stringify!($name), ":"),
                "jmp [rip + {slot}]",
                slot = sym $name::SLOT,
            );
            // SAFETY: as above; x16 is the register that a call may change on its way.
            #[cfg(target_arch = "aarch64")]
            std::arch::global_asm!(
                ".text",
                concat!(".globl ", stringify!($name)),
                concat!(".hidden ", stringify!($name)),
                concat!(".type ", stringify!($name), ", %function"),
                ".p2align 2",
                concat!(stringify!($name), ":"),
                "adrp x16, {slot}",
                "ldr x16, [x16, :lo12:{slot}]",
                "br x16",
                slot = sym $name::SLOT,
            );
        )*)*
    };
}

driver_functions! {
    initialize: cuInit;
    not_loaded: cuCtxDestroy_v2 cuCtxGetCurrent cuCtxSetCurrent cuDeviceGet cuDeviceGetAttribute
        cuDeviceGetCount cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRetain cuEventCreate
        cuEventDestroy_v2 cuEventRecord cuGetErrorString cuLaunchKernel cuMemAllocAsync
        cuMemAlloc_v2 cuMemFreeAsync cuMemFree_v2 cuMemcpyDtoDAsync_v2 cuMemcpyDtoHAsync_v2
        cuMemcpyHtoDAsync_v2 cuMemcpyPeerAsync cuMemsetD8Async cuModuleGetFunction cuModuleLoad
        cuModuleLoadData cuModuleUnload cuStreamDestroy_v2 cuStreamIsCapturing
        cuStreamSynchronize cuStreamWaitEvent;
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    #[test]
    fn a_device_that_candle_opens_itself_finds_the_driver_or_an_error() {
        let found = Device::new_cuda(0).is_ok();
        assert_eq!(found, crate::DeviceName::Cuda(0).open().is_ok());
    }
}
