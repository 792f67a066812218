//! Where a command reads and writes.

use std::io::Write;

use tokio::io::AsyncBufRead;

/// Where a command reads and writes: the process's own streams, or those of a test.
pub struct Terminal<'a> {
    /// What `publish` reads when no data is given.
    pub input: &'a mut (dyn AsyncBufRead + Unpin + Send),
    /// Results.
    pub output: &'a mut (dyn Write + Send),
    /// Errors, one line each.
    pub errors: &'a mut (dyn Write + Send),
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}
