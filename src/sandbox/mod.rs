//! Simulated vendors over real HTTP.
