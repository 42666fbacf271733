//! What processes used, as the system counted it. Nothing (`NaN`, 0) where it does not tell.

/// Processor time and peak memory.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Seconds of all threads, in and out of the kernel.
    pub cpu_seconds: f64,
    /// Most resident memory at a time; of several processes that of the largest.
    pub peak_bytes: u64,
}

/// Of this process, or of its children that have ended.
#[cfg(unix)]
pub fn usage(children: bool) -> Usage {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let who = if children { UsageWho::RUSAGE_CHILDREN } else { UsageWho::RUSAGE_SELF };
    let Ok(used) = getrusage(who) else { return Usage { cpu_seconds: f64::NAN, peak_bytes: 0 } };
    let microseconds = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    Usage { cpu_seconds: microseconds as f64 * 1e-6, peak_bytes: used.max_rss() as u64 * unit }
}

/// Not written for this system.
#[cfg(not(unix))]
pub fn usage(_: bool) -> Usage {
    Usage { cpu_seconds: f64::NAN, peak_bytes: 0 }
}
