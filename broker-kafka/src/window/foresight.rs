//! What a window will be once deliveries are settled that are not yet.

use std::collections::BTreeSet;

use super::progress::Progress;
use super::slot::Who;
use super::window::Window;

impl Window {
    /// Position and text of a commit by which the offsets in `done` are settled as well.
    pub(crate) fn progress_with(&self, generation: u64, done: &BTreeSet<u64>) -> (u64, Progress) {
        let mut progress = Progress {
            generation,
            runs: Vec::new(),
        };
        let mut low = self.low;
        for (offset, slot) in (self.low..self.next).zip(
            self.ring
                .pieces(self.low, self.next - self.low)
                .into_iter()
                .flatten(),
        ) {
            let settled = slot.tag.who() == Who::SETTLED || done.contains(&offset);
            if settled && low == offset {
                low = offset + 1;
            } else {
                progress.push(1, (!settled).then(|| slot.tag.delivered()));
            }
        }
        (low, progress)
    }
}
