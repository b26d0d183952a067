//! clustergate: one REST gateway over every vendor that runs or watches a company's clusters.

pub mod adapters;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod export;
pub mod inventory;
pub mod provider;
pub mod sandbox;
pub mod telemetry;
pub mod upstream;
