//! What users call. All cleverness is here, once.
