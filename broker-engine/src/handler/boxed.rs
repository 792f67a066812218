//! From a handler's error to one whose type can be told.

use std::any::Any;

use super::BoxError;

/// Boxes a handler's error.
///
/// Left to itself, `anyhow::Error` boxes what hides the type of the error in it, and no policy would know a
/// [`Permanent`](super::Permanent) or one of the types that it was told of.
pub(super) fn boxed<E: Into<BoxError> + 'static>(error: E) -> BoxError {
    let mut error = Some(error);
    let wrapped = (&mut error as &mut dyn Any).downcast_mut::<Option<anyhow::Error>>();
    if let Some(wrapped) = wrapped.and_then(Option::take) {
        return wrapped.reallocate_into_boxed_dyn_error_without_backtrace();
    }
    match error {
        Some(error) => error.into(),
        None => "an error that is gone".into(),
    }
}
