//! Lanes save time.

use engine_laws::lanes;

use crate::support::inline;

#[tokio::test(start_paused = true)]
async fn eight_lanes_are_seven_times_as_fast_with_order_kept_inline() {
    let one = lanes(&inline(), "orders", 1, 2000).await;
    let eight = lanes(&inline(), "orders", 8, 2000).await;
    assert!(one >= eight * 7, "one lane {one:?}, eight {eight:?}");
}
