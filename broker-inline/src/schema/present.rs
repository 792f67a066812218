//! With a schema.

use broker_core::registry::Provider;

use crate::config::InlineConfig;

pub(crate) const fn describe(provider: Provider) -> Provider {
    provider.schema(|| schemars::schema_for!(InlineConfig).to_value())
}
