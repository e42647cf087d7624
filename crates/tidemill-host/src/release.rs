//! Gives memory that this process has freed back to the system.

/// Asks the allocator of the C library to give back what it keeps of freed memory. True when it gave something; false when
/// there was nothing, or where no such call is known: elsewhere than on Linux with glibc, whose `malloc_trim(3)` this is.
///
/// A program with another allocator loses nothing by it and gains nothing. It walks the heap under the allocator's locks, a
/// few milliseconds for a large one: call it seldom, and off the async threads.
#[must_use]
pub fn release_memory() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        malloc_trim(0) != 0
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        false
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
// SAFETY: the signature is that of malloc_trim(3), which may be called at any time from any thread.
unsafe extern "C" {
    safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
}
