//! How capabilities are written, for editors.

use std::borrow::Cow;

use bitflags::Flags as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::Capabilities;

impl JsonSchema for Capabilities {
    fn schema_name() -> Cow<'static, str> {
        "Capabilities".into()
    }

    /// A text such as `RELIABLE_MESSAGING + REPLAY`, or a list of such texts, mostly of single names.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::FLAGS.iter().map(bitflags::Flag::name).collect();
        let text = json_schema!({ "anyOf": [{ "enum": names }, { "type": "string" }] });
        json_schema!({ "anyOf": [text, { "type": "array", "items": text }] })
    }
}
