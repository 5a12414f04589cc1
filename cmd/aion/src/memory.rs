//! Memory that the process holds without need, given back to the system.

use std::time::Duration;

use tokio::time::Instant;

/// By then most of what only the start needs was used for the last time.
const FIRST: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(30);

/// Has the allocator give freed pages back soon, not after a second: buffers come and go quickly, and what is kept would
/// count against the memory. Not at once either, as each page that is needed again costs a fault. `MIMALLOC_PURGE_DELAY`
/// still overrides it.
#[allow(unsafe_code, reason = "the allocator's settings are reached through its C interface only")]
pub fn settings() {
    /// `mi_option_purge_delay` of mimalloc.h, which the binding does not name.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    const DELAY_MS: std::ffi::c_long = 10;
    // SAFETY: sets one number of the allocator's settings; no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, DELAY_MS) };
}

/// Gives back what was freed and what the program itself takes, now and then, as long as it is polled.
pub async fn give_back() {
    let mut at = tokio::time::interval_at(Instant::now() + FIRST, EVERY);
    loop {
        at.tick().await;
        freed();
        program();
    }
}

/// The allocator looks for pages to give back only while others are freed: what was freed before the process came to rest
/// would stay.
#[allow(unsafe_code, reason = "the allocator is reached through its C interface only")]
fn freed() {
    // SAFETY: any thread may call it at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Pages of the program count as long as memory is not short, though most were used once, at the start. What is used again is
/// mapped again, from the system's cache of files.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "where the program lies is known to the linker, and the kernel takes an address")]
fn program() {
    use rustix::mm::{Advice, madvise};
    // SAFETY: linkers define both; only their addresses are used.
    unsafe extern "C" {
        static __executable_start: u8;
        static etext: u8;
    }
    let (begin, end) = (&raw const __executable_start, &raw const etext);
    let bytes = end.addr().saturating_sub(begin.addr());
    // SAFETY: nothing is ever written from the program's begin to the end of its code: what is read there is what its file has,
    // as it was before.
    let done = unsafe { madvise(begin.cast_mut().cast(), bytes, Advice::LinuxDontNeed) };
    // Pages that stay cost memory alone.
    _ = done;
}

#[cfg(not(target_os = "linux"))]
fn program() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Where the program's code lies, and how many KiB of it are in memory.
    fn code() -> (*const u8, usize, u64) {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let program = std::env::current_exe().unwrap();
        let mut lines = smaps.lines();
        let is_code = |line: &&str| line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap());
        let (begin, rest) = lines.find(is_code).unwrap().split_once('-').unwrap();
        let at = |hex: &str| usize::from_str_radix(hex, 16).unwrap();
        let bytes = at(rest.split(' ').next().unwrap()) - at(begin);
        let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        (std::ptr::with_exposed_provenance(at(begin)), bytes, rss.trim().strip_suffix(" kB").unwrap().parse().unwrap())
    }

    #[test]
    #[allow(unsafe_code, reason = "code is read as bytes")]
    fn the_program_goes_on_without_what_it_gave_back() {
        let (begin, bytes, _) = code();
        // SAFETY: the system says that these bytes are mapped, and they are readable.
        let read = || (0..bytes).step_by(4096).fold(0, |sum, at| sum ^ unsafe { begin.add(at).read_volatile() });
        let before = read();
        let (.., all_kib) = code();
        program();
        let (.., left_kib) = code();
        assert!(left_kib < all_kib, "{left_kib} of {all_kib} KiB");
        assert_eq!(read(), before);
    }
}
