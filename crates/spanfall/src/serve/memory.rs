//! What the process asks of the system's memory.

/// Huge pages cost a fifth of all CPU here: they are cleared whole and used in part.
pub fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
}

/// Lets go of the code that was needed to start: arguments, configuration, certificates. It is
/// most of what an idle process holds. What is needed again comes back from the system's cache at
/// the price of a fault a page.
pub fn give_back_code() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::give_back_code() {
        tracing::debug!(%error, "the code that was needed to start stays in memory");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use rustix::mm::{Advice, madvise};

    pub(super) fn give_back_code() -> io::Result<()> {
        let program = std::fs::read_link("/proc/self/exe")?;
        let program = program.to_string_lossy();
        // proc(5): address range, permissions, offset, device, inode, path.
        for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
            let Some((range, rest)) = line.split_once(' ') else { continue };
            if rest.starts_with("r-xp") && rest.ends_with(&*program) {
                let bounds = range.split_once('-').and_then(|(from, to)| {
                    let number = |text| usize::from_str_radix(text, 16).ok();
                    Some((number(from)?, number(to)?))
                });
                let Some((from, to)) = bounds.filter(|(from, to)| from < to) else { continue };
                let start = std::ptr::with_exposed_provenance_mut(from);
                // SAFETY: the mapping is a file's and cannot be written to, so that every page of
                // it can be read again from the file as it is now.
                unsafe { madvise(start, to - from, Advice::LinuxDontNeed) }?;
            }
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn code_comes_back() {
        super::linux::give_back_code().unwrap();
        // Formatting and parsing are code of this program.
        assert_eq!(format!("{:x}", "48879".parse::<u32>().unwrap()), "beef");
    }
}
