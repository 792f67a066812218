//! What an application shares with its handlers.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

use broker_core::{Error, ErrorKind, Result};

/// What an application shares with its handlers, one value of each type.
#[derive(Default)]
pub struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    /// Keeps `value`, in place of one of the same type.
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// A clone of the value of this type.
    #[must_use]
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }

    /// Refuses where there is no value of this type, which is found out at the start.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] that names the type and the line to add.
    pub fn need<T: Send + Sync + 'static>(&self) -> Result<()> {
        if self.0.contains_key(&TypeId::of::<T>()) {
            return Ok(());
        }
        let name = type_name::<T>();
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "a handler takes `State<{name}>` and none was given; add `.state(…)` with one to the engine"
            ),
        ))
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("States").field(&self.0.len()).finish()
    }
}
