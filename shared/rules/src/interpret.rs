//! What words could mean: every type and order of a reading whose documentation is missing.
