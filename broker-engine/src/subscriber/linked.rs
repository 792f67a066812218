//! The subscribers that linked crates declare by attribute.

use super::Declared;

/// A subscriber declared by attribute, wherever it is in the program.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Linked(pub fn() -> Declared);

inventory::collect!(Linked);

/// The subscribers that this program's crates declare by attribute. A crate that the program mentions nowhere is not
/// linked, and its subscribers with it.
#[must_use]
pub fn linked() -> Vec<Declared> {
    inventory::iter::<Linked>
        .into_iter()
        .map(|Linked(declare)| declare())
        .collect()
}
