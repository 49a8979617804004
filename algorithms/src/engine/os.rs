//! The operating system's random generator.

use crate::Error;

/// getrandom(2), which waits for the generator to be seeded after boot, and returns short when interrupted.
pub(crate) fn random(mut out: &mut [u8]) -> Result<(), Error> {
    while !out.is_empty() {
        // SAFETY: `out` is writable for its length.
        let got = unsafe { libc::getrandom(out.as_mut_ptr().cast(), out.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => out = &mut out[got..],
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Error::EngineFailed),
        }
    }
    Ok(())
}
