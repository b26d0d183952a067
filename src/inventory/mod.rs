//! What is known now.
