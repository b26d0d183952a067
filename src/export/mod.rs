//! Whole-list exports.
