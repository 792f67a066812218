//! When a group is given to whoever is next: while this process has it, no other gets anything.

use std::time::Duration;

use super::group::Group;

/// How long nobody may read before others get the messages.
const IDLE: Duration = Duration::from_secs(5);

/// The same once the last member was dropped.
const GRACE: Duration = Duration::from_secs(1);

impl Group {
    /// Whether nobody has read or settled for long, and nobody has anything in hand.
    pub(super) fn is_idle(&self) -> bool {
        if self.has_readers() {
            return false;
        }
        let now = self.now();
        let mut state = self.state();
        let idle = state.used.elapsed();
        let is_left = state.users == 0 && (state.has_left || idle > GRACE);
        if let Some(session) = &mut state.session {
            session.window.tick(now);
            if session.is_in_hand() {
                return false;
            }
        }
        state.claim.is_some() && (is_left || idle > IDLE)
    }
}
