//! Random sequences of operations beside a reference.

use broker_core::Capabilities;

use crate::check::check;
use crate::{CheckResult, Gate, Stop, Trial, model};

check!(
    random_operations,
    "model.random_operations",
    Full,
    Gate::needs(Capabilities::SIMPLE_QUEUING),
    "After any sequence of operations the broker did what a reference of plain data does."
);

async fn random_operations(t: &Trial) -> CheckResult {
    let harness = t.harness();
    let waits = t.has(Capabilities::MESSAGE_ACKNOWLEDGEMENT) && harness.clock().is_none();
    let cases = if waits { 8 } else { 256 };
    // The model has a runtime of its own, whose clock may stand still, and so it has a thread of its own.
    let played = std::thread::scope(|scope| scope.spawn(|| model::run(harness, cases, t.seed())).join());
    match played {
        Ok(Ok(played)) => {
            t.note(format!("{played} sequences"));
            Ok(())
        }
        Ok(Err(difference)) => Err(Stop::failed(difference)),
        Err(_) => Err(Stop::failed("the model panicked")),
    }
}
