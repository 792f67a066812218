//! The application under test.

mod builder;
mod settling;
mod test_app;

pub use builder::TestAppBuilder;
pub use test_app::TestApp;
